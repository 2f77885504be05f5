"""What no well-behaved peer sends: the core answers what fits or nothing, leaves nothing behind, and goes on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import Capacity
from proxy.events import BASIS_NAMES
from proxy.sip.message import SipMessage
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, Datagram, Play, response

STRANGER = ("203.0.113.99", 40000)
TAGGED = "+8616512345678"
REJECTED = "+862066660000"
VERDICT = "X-Callsieve-Verdict"
COPIED = frozenset(("via", "from", "to", "call-id", "cseq"))
OWN_REQUEST = {"max-forwards", "max-breadth", "record-route", "content-length", VERDICT.lower()}
OWN_REJECTION = {"server", "content-length", "reason", "unsupported"}


def quiet(play: Play) -> bool:
    """After five minutes nothing is open, armed or held but the blocks kept for reuse."""
    play.wait(300)
    play.core.refresh_gauges()
    gauges = ("server_transactions", "client_transactions", "calls")
    return not any(play.counters[name] for name in gauges) and play.core.next_deadline() == 0


def still_serves(play: Play) -> None:
    (invite,) = play.receive(request(branch="z9hG4bK-after", call_id="after"))
    assert invite.to == SOFTSWITCH


# One fault at a time


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("From: <sip:+8613800138000@192.0.2.10>;tag=from1\r\n", "", 400),
        ("To: <sip:+862088886666@203.0.113.5>\r\n", "", 400),
        ("Call-ID: call-1@carrier\r\n", "", 400),
        ("CSeq: 1 INVITE\r\n", "", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", 400),
        ("CSeq: 1 INVITE", "CSeq: x INVITE", 400),
        ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE", 400),
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("Max-Forwards: 70", "Max-Forwards: -1", 400),
        ("Max-Forwards: 70", "Proxy-Require: teleport", 420),
        ("SIP/2.0\r\nVia", "SIP/9.0\r\nVia", 505),
        ("INVITE sip:+862088886666@203.0.113.5:5060", "INVITE nobody:knows", 416),
        ("INVITE sip:+862088886666@203.0.113.5:5060", "INVITE nobody", 400),
        ("Content-Length: 0", "Content-Length: 1", 400),
        ("Content-Length: 0", "Content-Length: -1", 400),
        ("Content-Length: 0", "Content-Length: 0\r\nl: 0", 400),
        ("Max-Forwards: 70", "Route: <sip:a@b", 400),
        ("Max-Forwards: 70", "Route: sip:a@b", 400),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nno colon", 400),
        ("Max-Forwards: 70", "Max-Forwards: 70\nX: y", 400),
    ],
)
def test_refused(old: str, new: str, status: int) -> None:
    play = Play()
    data = request().replace(old.encode(), new.encode(), 1)
    assert data != request()
    (reply,) = play.receive(data)
    assert (reply.status, reply.to) == (status, CARRIER)
    assert own_headers(reply) <= OWN_REJECTION
    assert (play.counters["screened"], play.counters["internal_errors"]) == (0, 0)
    still_serves(play)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n", b"\r\n\r\n", b"\0", b"\0" * 4, b"\0" * 65_507, b"\xff" * 65_507, b"A" * 65_507, b"\r\n" * 30_000,
        b"INVITE", b"INVITE sip:a@b SIP/2.0", b"INVITE sip:a@b SIP/2.0\r\n", b"INVITE sip:a@b SIP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b":" * 9000,
        b"INVITE sip:a@b SIP/2.0\r\n" + b"X:y\r\n" * 12_000, b"INVITE " + b"a" * 65_000 + b" SIP/2.0\r\n\r\n",
    ],
    ids=lambda data: f"{data[:12]!r}*{len(data)}",
)  # fmt: skip
def test_nothing_to_answer(data: bytes) -> None:
    play = Play()
    assert play.receive(data) == []
    assert play.core.next_deadline() == 0
    still_serves(play)


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "ACK", "CANCEL", "BYE", "REGISTER", "NEW"])
def test_a_stranger_gets_no_answer_at_all(method: str) -> None:
    play = Play()
    for data in (request(method), request(method, to_tag="x"), request(method).replace(b"Call-ID", b"X"), b"x" * 500):
        assert play.receive(data, STRANGER) == []
    assert play.core.next_deadline() == 0


@pytest.mark.parametrize("call_id", ["a" * 200, "a" * 5000])
def test_long_values_are_values(call_id: str) -> None:
    play = Play()
    (invite,) = play.receive(request(call_id=call_id, branch="z9hG4bK" + "b" * 3000))
    assert invite.one("Call-ID") == call_id
    assert quiet(play)


# Room for what a proxy adds


@pytest.mark.parametrize(("headers", "status"), [(200, 0), (250, 513), (255, 513), (2000, 513)])
def test_too_many_headers(headers: int, status: int) -> None:
    play = Play()
    sent = play.receive(request(headers=["X: y"] * headers))
    assert [datagram.status for datagram in sent] == [status]
    assert play.counters["internal_errors"] == 0
    assert quiet(play)


@pytest.mark.parametrize(("size", "status"), [(60_000, 0), (62_000, 513), (65_000, 513)])
def test_datagram_too_large_to_pass_on(size: int, status: int) -> None:
    play = Play()
    data = request(headers=["X: " + "y" * size])
    assert [datagram.status for datagram in play.receive(data)] == [status]
    play.receive(data)
    assert play.counters["screened"] == (1 if status == 0 else 0)
    assert quiet(play)


# Transactions


def test_ack_of_a_stateless_answer_goes_nowhere() -> None:
    play = Play()
    (refused,) = play.receive(request().replace(b"Content-Length: 0", b"Content-Length: 9"))
    assert play.receive(request("ACK", to_tag=refused.tag("To"))) == []
    play.core.drain()
    (draining,) = play.receive(request(branch="z9hG4bK-2", call_id="c2"))
    assert draining.status == 503
    assert play.receive(request("ACK", branch="z9hG4bK-2", call_id="c2", to_tag=draining.tag("To"))) == []


def test_in_dialog_request_that_names_only_this_proxy_goes_nowhere() -> None:
    play = Play()
    assert play.receive(request("ACK", branch="z9hG4bK-a", to_tag="x")) == []
    assert [reply.status for reply in play.receive(request("BYE", branch="z9hG4bK-b", to_tag="x"))] == [480]


def test_invented_to_tag_does_not_pass_the_screening() -> None:
    play = Play()
    (reply,) = play.receive(request(caller=REJECTED, to_tag="invented", uri="sip:+862088886666@198.51.100.20"))
    assert (reply.status, play.counters["screened"]) == (481, 0)


def test_re_invite_of_a_call_passes() -> None:
    play = Play()
    (invite,) = play.receive(request())
    (ok,) = play.receive(response(invite, 200), SOFTSWITCH)
    again = {"uri": "sip:gw@198.51.100.20", "to_tag": "to1", "cseq": 2}
    for number, headers in enumerate(([], [f"Route: {ok.one('Record-Route')}"])):
        (sent,) = play.receive(request(branch=f"z9hG4bK-re{number}", headers=headers, **again))  # type: ignore[arg-type]
        assert (sent.method, sent.to) == ("INVITE", SOFTSWITCH)
    assert play.counters["screened"] == 1


def test_line_ends_before_a_response_are_not_passed_on() -> None:
    play = Play()
    (invite,) = play.receive(request())
    (passed,) = play.receive(b"\r\n" + response(invite, 180), SOFTSWITCH)
    assert passed.data.startswith(b"SIP/2.0 180")


@pytest.mark.parametrize("lower", [b"", b"Via: nonsense\r\n"])
def test_response_that_nobody_below_asked_for_is_dropped(lower: bytes) -> None:
    play = Play()
    (invite,) = play.receive(request())
    second = f"Via: {invite.all('Via')[1]}\r\n".encode()
    assert play.receive(response(invite, 200).replace(second, lower), SOFTSWITCH) == []
    assert (play.counters["stray_responses"], play.counters["answered"]) == (1, 0)


def test_same_invite_from_a_flood_is_screened_once() -> None:
    play = Play()
    for _ in range(500):
        play.receive(request(caller=REJECTED))
    assert play.counters["screened"] == 1


def test_memory_comes_back_when_its_transactions_are_over() -> None:
    play = Play(capacity=Capacity(transactions=64, calls=64))
    taken = []
    for round_ in range(4):
        for number in range(200):
            play.receive(request(branch=f"z9hG4bK-{round_}-{number}", call_id=f"c{round_}-{number}", headers=["X: y"]))
        play.core.refresh_gauges()
        taken.append(play.counters["memory_taken"])
        assert quiet(play)
        assert play.counters["memory_taken"] == 0
    assert taken[0] > 0
    assert len(set(taken)) == 1


# X-Callsieve-* from a trunk that is not trusted


@pytest.mark.parametrize("byte", range(256))
def test_spoofed_verdict_whatever_stands_before_its_colon(byte: int) -> None:
    play = Play()
    data = request().replace(b"Max-Forwards", VERDICT.encode() + bytes((byte,)) + b": clean;score=0\r\nMax-Forwards", 1)
    for sent in play.receive(data):
        assert b"callsieve-verdict" not in sent.data.lower()
        assert b"score" not in sent.data


@pytest.mark.parametrize(
    "line",
    [
        "X-Callsieve-Verdict: spoof", "x-callsieve-verdict:spoof", "X-CALLSIEVE-VERDICT \t: spoof",
        "X-Callsieve: spoof",
        "X-Callsieve-Verdict:\r\n spoof", "X-Callsieve-Verdict: a\r\n\tspoof\r\n  spoof", "X-callSIEVE-Other: spoof",
        "X-Callsieve-Verdict: spoof\r\nX-Callsieve-Verdict: spoof", "X-Callsieve-Verdict: ;spoof,,;\0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("caller", ["+8613800138000", TAGGED])
def test_spoofed_verdict_in_every_spelling(line: str, caller: str) -> None:
    (invite,) = Play().receive(request(caller=caller, headers=[line]))
    assert b"spoof" not in invite.data
    assert invite.data.lower().count(b"x-callsieve") == (1 if caller == TAGGED else 0)
    assert SipMessage(invite.data).status == 0


def test_spoofed_verdict_within_a_dialog_and_without_a_transaction() -> None:
    play = Play()
    spoof = [f"{VERDICT}: spoof"]
    (bye,) = play.receive(request("BYE", uri="sip:gw@198.51.100.20", to_tag="to1", headers=spoof))
    (ack,) = play.receive(request("ACK", uri="sip:gw@198.51.100.20", branch="z9hG4bK-a", to_tag="to1", headers=spoof))
    (cancel,) = play.receive(request("CANCEL", branch="z9hG4bK-c", headers=spoof))
    assert all(b"spoof" not in sent.data for sent in (bye, ack, cancel))


# Header injection: nothing of the wire stands in a header of ours

HOSTILE = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n") | st.sampled_from(list('"\\;:<>@,\0\t% ')), max_size=40
)


def own_headers(sent: Datagram) -> set[str]:
    return {name.lower() for name, _ in SipMessage(sent.data).headers} - COPIED


@pytest.mark.parametrize("caller", [TAGGED, REJECTED])
def test_display_name_never_makes_a_header(caller: str) -> None:
    evil = '"x\\" \r\n X-Evil: 1\r\n\tReason: evil"'
    data = request(caller=caller).replace(b"From: <", f"From: {evil} <".encode())
    (sent,) = Play().receive(data)
    assert own_headers(sent) <= (OWN_REJECTION if sent.status else OWN_REQUEST) - {"reason"}


@settings(max_examples=60)
@given(name=HOSTILE, user=HOSTILE, callee=HOSTILE)
@pytest.mark.parametrize("caller", [TAGGED, REJECTED, ""])
def test_hostile_texts_never_make_a_header(caller: str, name: str, user: str, callee: str) -> None:
    play = Play()
    data = request(branch="z9hG4bK-2", call_id="c2", caller=f"{caller};{user}", uri=f"sip:{callee}@203.0.113.5:5060")
    for sent in play.receive(data.replace(b"From: <", f'From: "{name}" <'.encode())):
        if sent.status != 400:
            assert SipMessage(sent.data).status == 0
        assert own_headers(sent) <= (OWN_REJECTION if sent.status else OWN_REQUEST)
        verdicts = sent.all(VERDICT)
        assert all(verdict.startswith("tag;score=") and verdict.count('"') in (0, 4) for verdict in verdicts), verdicts


@pytest.mark.parametrize("caller", ["anybody", "%00", "+86138001", "++86", "+", "1" * 300, "1e9", "\xff"])
def test_caller_that_is_no_number_is_a_verdict(caller: str) -> None:
    play = Play()
    (reply,) = play.receive(request(caller=caller))
    (event,) = play.events()
    assert (reply.status, BASIS_NAMES[event.basis]) == (403, "invalid")
    assert (play.counters["bad_messages"], play.counters["internal_errors"]) == (0, 0)


# Mutations of valid messages

VALID = (
    request(headers=["Supported: timer", "X-Odd : a\r\n b", "Contact: <sip:a@192.0.2.10>"], body=b"v=0\r\n"),
    request(caller=TAGGED, headers=[f"{VERDICT}: spoof", "P-Asserted-Identity: <tel:+862088880001>", "Privacy: id"]),
    request(caller=REJECTED, headers=["Proxy-Require: x", "Timestamp: 1"]),
    request("OPTIONS"),
    request("OPTIONS", uri="sip:203.0.113.5"),
    request("REGISTER"),
    request("CANCEL"),
    request("ACK", to_tag="to1", uri="sip:gw@198.51.100.20"),
    request(
        "BYE", to_tag="to1", uri="sip:gw@198.51.100.20", headers=["Route: <sip:203.0.113.5;lr>, <sip:10.0.0.1;lr>"]
    ),
    request(to_tag="to1", headers=["Route: <sip:203.0.113.5:5060;lr;cs=000123456789abcdef>"]),
)
PIECES = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b";", b",", b"<", b">", b'"', b"\\", b"@", b"=", b"\xff", b"%00",
     b"\r\n ", b"\r\n\r\n", b";tag=", b"Via: SIP/2.0/UDP x\r\n", b"To: <sip:x>\r\n", b"Content-Length: 4294967296\r\n",
     b"[", b"]", b"\x7f", b"4294967296", b"-1", b"SIP/2.0 "]
)  # fmt: skip
PLACE = st.integers(0, 1 << 16)
MUTATIONS = st.lists(
    st.tuples(st.just("flip"), PLACE, st.integers(1, 255))
    | st.tuples(st.just("delete"), PLACE, st.integers(1, 40))
    | st.tuples(st.just("insert"), PLACE, PIECES | st.binary(min_size=1, max_size=8))
    | st.tuples(st.just("truncate"), PLACE, st.none())
    | st.tuples(st.just("splice"), PLACE, PLACE),
    max_size=4,
)


def mutate(data: bytes, other: bytes, mutations: list[tuple[str, int, object]]) -> bytes:
    for kind, place, value in mutations:
        at = place % (len(data) + 1)
        if kind == "flip" and at < len(data):
            assert isinstance(value, int)
            data = data[:at] + bytes((data[at] ^ value,)) + data[at + 1 :]
        elif kind == "delete":
            assert isinstance(value, int)
            data = data[:at] + data[at + value :]
        elif kind == "insert":
            assert isinstance(value, bytes)
            data = data[:at] + value + data[at:]
        elif kind == "truncate":
            data = data[:at]
        elif kind == "splice":
            assert isinstance(value, int)
            data = data[:at] + other[value % (len(other) + 1) :]
    return data


def check_sent(received: bytes, sent: list[Datagram]) -> None:
    """What leaves can be parsed again. Only the refusal of what could not be read repeats what made it so."""
    refused = SipMessage(received).status
    for datagram in sent:
        parsed = SipMessage(datagram.data)
        assert parsed.status == 0 or (refused > 0 and parsed.status > 0 and parsed.response_status == refused), datagram
        if parsed.is_request:
            verdicts = [value for name, value in parsed.headers if name.lower().startswith("x-callsieve")]
            assert not any(b"spoof" in value for value in verdicts), datagram


def play_mutations(play: Play, messages: list[bytes], source: tuple[str, int] = CARRIER) -> None:
    for data in messages:
        check_sent(data, play.receive(data, source))
        screened = play.counters["screened"]
        check_sent(data, play.receive(data, source))
        assert play.counters["screened"] == screened, "screened twice"
    assert play.counters["internal_errors"] == 0


@settings(max_examples=250)
@given(st.lists(st.tuples(st.sampled_from(VALID), st.sampled_from(VALID), MUTATIONS), min_size=1, max_size=6))
def test_mutated_requests(mutated: list[tuple[bytes, bytes, list[tuple[str, int, object]]]]) -> None:
    play = Play()
    play_mutations(play, [mutate(*parts) for parts in mutated])
    assert quiet(play)
    assert play.counters["memory_taken"] == 0


@settings(max_examples=250)
@given(
    st.lists(st.tuples(st.sampled_from((100, 180, 200, 302, 486, 503, 603)), MUTATIONS), min_size=1, max_size=6),
    st.data(),
)
def test_mutated_responses(mutated: list[tuple[int, list[tuple[str, int, object]]]], data: st.DataObject) -> None:
    play = Play()
    (invite,) = play.receive(request())
    for status, mutations in mutated:
        good = response(invite, status, headers=["Contact: <sip:gw@198.51.100.20>"])
        received = mutate(good, data.draw(st.sampled_from(VALID)), mutations)
        check_sent(received, play.receive(received, SOFTSWITCH))
        check_sent(b"", play.wait(data.draw(st.sampled_from((0, 0.3, 5, 40)))))
    assert play.counters["internal_errors"] == 0
    play.wait(300)
    play.core.refresh_gauges()
    assert (play.core.open_transactions, play.counters["client_transactions"]) == (0, 0)
    assert play.core.open_calls == play.counters["answered"]


@settings(max_examples=100)
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=60).map(b"".join))
def test_noise(noise: bytes) -> None:
    play = Play()
    for source in (CARRIER, SOFTSWITCH, STRANGER):
        check_sent(noise, play.receive(noise, source))
    assert quiet(play)


def test_configuration_trusts_no_trunk() -> None:
    """The tests above mean nothing otherwise."""
    assert "trusted" not in CONFIGURATION
