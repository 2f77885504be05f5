"""P2, P3, P9, P10: malformed, huge and hostile messages; answered or not, in bounded memory and time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.sip.message import SipMessage
from tests.abuse.exceptional_elements import cases
from tests.abuse.memory import resident_bytes
from tests.abuse.size import size
from tests.abuse.torture import TRUSTED
from tests.live.node import TRANSIT, Node
from tests.live.programs import LOOPBACK
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, SOFTSWITCH, Play, response

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
MEMORY_MARGIN = 5_000_000
MAX_UDP_PAYLOAD = 65_507


def still_serves(play: Play) -> None:
    (answer,) = play.receive(request("OPTIONS", uri="sip:203.0.113.5", branch="z9hG4bK-after", call_id="after"))
    assert answer.status == 200
    assert play.counters["internal_errors"] == 0


def forgets_everything(play: Play) -> None:
    play.wait(300)
    play.core.refresh_gauges()
    gauges = ("server_transactions", "client_transactions", "calls")
    assert not any(play.counters[name] for name in gauges)
    assert play.core.next_deadline() == 0


# P2: exceptional elements field by field

PROTOS_CASES = 4_527  # of c07-sip


def test_p2_options_is_answered_after_every_case_and_memory_stays() -> None:
    """Through the core alone, all of them: no fewer than the suite had."""
    all_cases = list(cases())
    assert len(all_cases) >= PROTOS_CASES
    play = Play()
    for warm in all_cases[:50]:
        play.receive(warm)
    before = resident_bytes()
    for number, data in enumerate(all_cases):
        play.receive(data)
        branch = f"z9hG4bK-options-{number}"
        (answer,) = play.receive(request("OPTIONS", uri="sip:203.0.113.5", branch=branch, call_id=branch))
        assert answer.status == 200, data
        if number % 100 == 0:
            play.wait(40)
            play.events()
    assert play.counters["internal_errors"] == 0
    assert resident_bytes() - before <= MEMORY_MARGIN
    forgets_everything(play)


def test_p2_running_node_answers_options_after_every_case(node: Node) -> None:
    some = list(cases())[:: size(4, 1)]
    answer_within_s = size(20.0, 0.2)  # the pass criterion is 0.2 s; a machine that is busy with other tests is slower
    (worker,) = node.workers()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((TRANSIT, 0))
        ask_options(peer, node.port, 0, answer_within_s)
        before = resident_bytes(worker)
        for number, data in enumerate(some, 1):
            peer.sendto(data, (LOOPBACK, node.port))
            ask_options(peer, node.port, number, answer_within_s)
    assert node.workers() == [worker]
    assert resident_bytes(worker) - before <= MEMORY_MARGIN


def ask_options(peer: socket.socket, port: int, number: int, within_s: float) -> None:
    """Sends OPTIONS and passes over everything but its answer."""
    call_id = f"options-{number}"
    peer.sendto(
        request("OPTIONS", uri=f"sip:{LOOPBACK}:{port}", branch=f"z9hG4bK-{call_id}", call_id=call_id), (LOOPBACK, port)
    )
    deadline = time.monotonic() + within_s
    while True:
        peer.settimeout(max(deadline - time.monotonic(), 0.001))
        answer = peer.recv(65_536)
        if answer.startswith(b"SIP/2.0 200 ") and f"Call-ID: {call_id}\r\n".encode() in answer:
            return


# P3: one golden file a class. A body belongs to the endpoints: what is wrong in it alone passes, byte for byte.

FORWARD, DROP = 0, -1
CLASSES: dict[str, int] = {
    # OpenSIPS audit 2022 (CVE-2023-27596 to 27601, 28095 to 28099)
    "content-length": 400,
    "register-challenged": 403,
    "sdp-line-deleted": FORWARD,  # delete_sdp_line: a body whose last line has no end
    "parameter-name": 400,  # parse_param_name
    "field-at-the-end": 400,  # extract_field: a header that ends with the datagram
    "rtpmap": FORWARD,  # extract_rtpmap
    "fmtp": FORWARD,  # extract_fmtp
    "header-appended": 513,  # append_hf: no room for one header more
    "reply-built": 400,  # an answer that has to repeat 150 Vias
    "to-tag": 400,  # calc_tag_suffix
    "to-tag-twice": 400,
    "reply-matched": DROP,  # t_reply_matching
    "header-name": 400,  # parse_hname2
    "header-name-cut": 400,
    "request-uri-rewritten": 400,  # rewrite_ruri
    "request-uri-without-host": 400,
    "management-request": DROP,  # parse_mi_request: commands do not come over SIP here
    "stream-of-two": 400,  # one message claims the next as its body
    # 2026: framing, hidden messages, hidden headers, commands by MESSAGE
    "content-length-negative": 400,
    "content-length-twice": 400,
    "content-length-signed": 400,
    "hidden-invite": 200,
    "hidden-header-bare-lf": 400,
    "hidden-header-bare-cr": 400,
    "command-message": 403,
    "two-identities": 400,
    "nul-in-uri": 400,
    "nul-in-name": 400,
}


def test_p3_every_golden_file_has_its_row() -> None:
    assert sorted(CLASSES) == sorted(path.stem for path in GOLDEN.iterdir())


@pytest.mark.parametrize("name", CLASSES)
def test_p3_refused_or_dropped(name: str) -> None:
    play = Play()
    data = (GOLDEN / f"{name}.sip").read_bytes()
    sent = play.receive(data)
    assert [reply.status for reply in sent] == ([] if CLASSES[name] == DROP else [CLASSES[name]])
    if CLASSES[name] == FORWARD:
        assert sent[0].to == SOFTSWITCH
        assert SipMessage(sent[0].data).body == SipMessage(data).body == data.split(b"\r\n\r\n", 1)[1]
    assert play.counters["screened"] == (1 if CLASSES[name] == FORWARD else 0)
    still_serves(play)
    forgets_everything(play)


# P9: sizes and bytes

SIZES = (1, 2, 63, 64, 255, 256, 1023, 1024, 8192, 32_768, 60_000, 65_000)
FIELDS: dict[str, Callable[[str], bytes]] = {
    "tag": lambda value: request(from_tag=value),
    "branch": lambda value: request(branch="z9hG4bK" + value),
    "Call-ID": lambda value: request(call_id=value),
    "CSeq": lambda value: request().replace(b"CSeq: 1", b"CSeq: " + value.encode()),
    "URI": lambda value: request(uri=f"sip:{value}@203.0.113.5:5060"),
    "display name": lambda value: request().replace(b"From: <", f'From: "{value}" <'.encode()),
}


@pytest.mark.parametrize("length", SIZES)
@pytest.mark.parametrize("field", FIELDS)
def test_p9_long_values_are_passed_on_whole_or_refused(field: str, length: int) -> None:
    play = Play()
    value = ("1" if field == "CSeq" else "J") * length
    data = FIELDS[field](value)
    (sent,) = play.receive(data)
    if field == "CSeq":
        assert sent.status == (0 if length < 10 else 400)
    elif length > 60_000:
        assert sent.status == 513
    elif field != "URI":  # letters are no callee's number: a verdict, whatever their length
        assert (sent.status, sent.to) == (0, SOFTSWITCH)
        assert sent.data.count(b"J" * length) == 1
    still_serves(play)
    forgets_everything(play)


@pytest.mark.parametrize("count", [10, 200, 10_000])
def test_p9_many_headers(count: int) -> None:
    play = Play()
    (sent,) = play.receive(request(headers=["X:y"] * count))
    assert sent.status == (0 if count <= 200 else 513)
    still_serves(play)
    forgets_everything(play)


@pytest.mark.parametrize("joined", [False, True], ids=["rows", "one row"])
@pytest.mark.parametrize("count", [10, 200, 1_000])
def test_p9_many_vias(count: int, joined: bool) -> None:
    """All come back in the answer, or the message is refused. In one row they are one header."""
    play = Play()
    vias = [f"SIP/2.0/UDP h{number}.example;branch=z9hG4bK{number}" for number in range(count)]
    rows = [f"Via: {', '.join(vias)}"] if joined else [f"Via: {via}" for via in vias]
    (sent,) = play.receive(request(headers=rows))
    if count == 1_000 and not joined:
        assert sent.status == 513
    else:
        (ringing,) = play.receive(response(sent, 180), SOFTSWITCH)
        assert [via.strip() for row in ringing.all("Via")[1:] for via in row.split(",")] == vias
    still_serves(play)


BYTES = {"NUL": b"\0", "bare CR": b"\r", "bare LF": b"\n", "bad UTF-8": b"\xff\xc0\xaf", "DEL": b"\x7f"}
PLACES = {
    "method": (b"INVITE sip", b"IN%sVITE sip"),
    "Request-URI": (b"sip:+862088886666@203.0.113.5:5060", b"sip:+8620888%s86666@203.0.113.5:5060"),
    "Via host": (b"192.0.2.10:5060", b"192.0.2%s.10:5060"),
    "branch": (b"z9hG4bK-1", b"z9hG4bK%s-1"),
    "From URI": (b"sip:+8613800138000", b"sip:+861380%s0138000"),
    "From tag": (b"tag=from1", b"tag=fr%som1"),
    "To host": (b"@203.0.113.5>", b"@203.%s0.113.5>"),
    "Call-ID": (b"call-1@carrier", b"call-1%s@carrier"),
    "CSeq": (b"CSeq: 1 INVITE", b"CSeq: 1%s INVITE"),
    "header name": (b"Call-ID", b"Call%s-ID"),
    "display name": (b"From: <", b"From: A%sB <"),
    "quoted name": (b"From: <", b'From: "A%sB" <'),
    "header value": (b"Max-Forwards: 70", b"Max-Forwards: 70\r\nSubject: a%sb"),
    "body": (b"Content-Length: 0\r\n\r\n", b"Content-Length: 4\r\n\r\n%s...."),
}
# Letters of no known alphabet harm nobody: what holds them is compared byte by byte, and passes as it came.
LETTERS = (
    "branch", "From URI", "From tag", "To host", "Call-ID", "display name", "quoted name", "header value",
    "Request-URI",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", BYTES)
def test_p9_bytes_that_have_no_place(what: str, place: str) -> None:
    play = Play()
    old, new = PLACES[place]
    data = request().replace(old, new.replace(b"%s", BYTES[what]), 1)
    assert data != request()
    sent = play.receive(data)
    passed = [datagram for datagram in sent if datagram.status == 0]
    if place == "body":
        assert SipMessage(passed[0].data).body == SipMessage(data).body
    elif passed:
        assert place in LETTERS
        assert what == "bad UTF-8" or (what, place) in (("NUL", "header value"), ("DEL", "header value"))
        assert SipMessage(passed[0].data).status == 0
    else:
        assert [reply.status for reply in sent] in ([], [400], [403], [404])
    still_serves(play)
    forgets_everything(play)


def test_p9_control_bytes_as_quoted_pairs_are_relayed() -> None:
    name = b'"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f"'
    (sent,) = Play().receive(request().replace(b"From: <", b"From: " + name + b" <"))
    assert sent.to == SOFTSWITCH
    assert name in sent.data


# P10: time to parse is linear

SHAPES: dict[str, Callable[[int], bytes]] = {
    "one long value": lambda room: request(headers=["X: " + "y" * room]),
    "folds": lambda room: request(headers=["X: y" + "\r\n y" * (room // 4)]),
    "parameters of From": lambda room: request().replace(b";tag=from1", b";a=b" * (room // 4) + b";tag=from1"),
    "parameters of Via": lambda room: request().replace(b";rport", b";a=b" * (room // 4) + b";rport"),
    "parameters of the Request-URI": lambda room: request(uri="sip:+862088886666@203.0.113.5" + ";a=b" * (room // 4)),
    "quoted pairs": lambda room: request().replace(b"From: <", b'From: "' + b"\\x" * (room // 2) + b'" <'),
    "Routes": lambda room: request(headers=["Route: " + ",".join(["<sip:203.0.113.5;lr>"] * (room // 21))]),
    "asserted identities": lambda room: request(
        headers=["P-Asserted-Identity: " + ",".join(["<sip:a.invalid>"] * (room // 16))]
    ),
    "Vias": lambda room: request(headers=["Via: " + ",".join(["SIP/2.0/UDP a;branch=z"] * (room // 23))]),
    "blanks": lambda room: request().replace(b"CSeq: 1 ", b"CSeq: 1" + b" " * room),
    "open quote": lambda room: request().replace(b"From: <", b'From: "' + b"<" * room),
    "commas": lambda room: request(headers=["Route: " + "," * room]),
    "header names": lambda room: request(headers=["X" * room]),
    "colons": lambda room: request(headers=[":" * room]),
    "short headers": lambda room: request(headers=["X:" + "y" * (room // 200)] * 200),
    "Reason": lambda room: request("BYE", to_tag="t", headers=["Reason: " + "cause=60" * (room // 8)]),
    "no head": lambda room: b"a" * room,
    "keep-alive": lambda room: b"\r\n" * (room // 2),
}  # fmt: skip
SMALL, LARGE, TIMES = 3 * 1024, 60 * 1024, 25


@pytest.mark.parametrize("shape", SHAPES)
def test_p10_time_is_linear(shape: str) -> None:
    """20 times the bytes take at most 25 times the time, on the whole way through the core. CPU time, best of many."""
    small, large = (SHAPES[shape](room - 400) for room in (SMALL, LARGE))
    assert len(large) >= 19 * len(small) - 8_000
    assert len(large) <= MAX_UDP_PAYLOAD
    play = Play(TRUSTED)
    ratios = []
    for _ in range(5):  # a machine that does something else meanwhile is asked again
        ratios.append(best_seconds(play, large) / best_seconds(play, small))
        if ratios[-1] <= TIMES:
            return
    pytest.fail(f"{shape}: {min(ratios):.1f} times as long")


def best_seconds(play: Play, data: bytes, rounds: int = 40) -> float:
    best = 1.0
    for _ in range(rounds):
        begun = time.thread_time_ns()
        SipMessage(data)
        play.core.receive_datagram(data, CARRIER, 0, play.now_us, play.out)
        best = min(best, (time.thread_time_ns() - begun) / 1e9)
        play.sent()
    return best


def test_p10_shapes_are_what_they_seem() -> None:
    """A shape that is refused at its first byte would measure nothing."""
    early = {"header names", "colons", "open quote", "no head", "keep-alive"}
    for name, shape in SHAPES.items():
        parsed = SipMessage(shape(SMALL))
        assert (parsed.status == 0) == (name not in early), name
