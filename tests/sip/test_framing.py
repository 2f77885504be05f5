"""Messages out of a byte stream: the same ones whatever the pieces, and none behind a Content-Length that lies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.sip.framing import StreamFramer
from proxy.sip.message import SipMessage
from tests.sip.heads import message

HIDDEN = message("Content-Length: 0", start="INVITE sip:hidden@203.0.113.5 SIP/2.0")
BLANKS = st.sampled_from([b"", b"\r\n", b"\r\n\r\n"])
BODIES = st.binary(max_size=80) | st.just(b"\r\n\r\n") | st.just(HIDDEN)


def framed(body: bytes = b"", *more: str) -> bytes:
    return message(*more, f"Content-Length: {len(body)}", body=body)


def feed(framer: StreamFramer, data: bytes, step: int | None = None) -> list[bytes]:
    """All messages in `data`, given in pieces of `step` bytes, or at once."""
    step = step or max(1, len(data))
    return [found for at in range(0, len(data), step) for found in fed(framer, data[at : at + step])]


def fed(framer: StreamFramer, piece: bytes) -> list[bytes]:
    framer.feed(piece)
    return list(iter(framer.next_message, None))


@given(bodies=st.lists(BODIES, max_size=5), blanks=st.lists(BLANKS), cuts=st.data())
@settings(max_examples=200, deadline=None)
def test_any_split_gives_the_same_messages(bodies: list[bytes], blanks: list[bytes], cuts: st.DataObject) -> None:
    messages = [framed(body) for body in bodies]
    stream = b""
    for position, whole in enumerate(messages):
        stream += (blanks[position] if position < len(blanks) else b"") + whole
    places = sorted(cuts.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    framer, replies, found = StreamFramer(), b"", []
    for begin, end in zip([0, *places], [*places, len(stream)], strict=True):
        found += fed(framer, stream[begin:end])
        replies += framer.take_replies()
    assert found == messages
    assert replies == b"\r\n" * blanks[: len(messages)].count(b"\r\n\r\n")
    assert (framer.status, framer.under_way) == (0, False)


@given(stream=st.binary(max_size=300) | st.binary(max_size=60).map(lambda noise: framed(b"v=0") + noise + HIDDEN))
@settings(max_examples=300, deadline=None)
def test_single_bytes_end_as_one_piece_does(stream: bytes) -> None:
    outcomes = []
    for step in (1, 7, len(stream) or 1):
        framer = StreamFramer(max_head=256, max_message=1024)
        found = feed(framer, stream, step)
        outcomes.append((found, framer.status, framer.refused, framer.take_replies(), framer.under_way))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@given(data=st.binary(max_size=400), step=st.integers(1, 50))
@settings(max_examples=300, deadline=None)
def test_what_is_framed_is_what_the_parser_reads(data: bytes, step: int) -> None:
    """A whole message, read as a datagram, ends where the framer ended it."""
    for found in feed(StreamFramer(), message(body=data) + framed(data), step):
        parsed = SipMessage(found)
        assert found.endswith(parsed.body)


@pytest.mark.parametrize("step", [1, None])
def test_bytes_behind_a_message_are_the_next(step: int | None) -> None:
    framer = StreamFramer()
    assert feed(framer, framed(b"v=0") + HIDDEN + HIDDEN[:-1], step) == [framed(b"v=0"), HIDDEN]
    assert framer.under_way
    assert fed(framer, HIDDEN[-1:]) == [HIDDEN]


@pytest.mark.parametrize("blanks", [b"", b"\r\n\r\n"])
def test_what_is_going_to_be_looked_at_is_a_head_or_a_part_of_one(blanks: bytes) -> None:
    framer, body = StreamFramer(), b"\r\n\r\nv=0"
    head = framed(body)[: -len(body)]
    assert framer.ahead == b""
    framer.feed(blanks + head[:50])
    assert framer.ahead == head[:50]
    assert framer.next_message() is None
    framer.feed(head[50:] + body[:1])
    assert framer.ahead == head
    assert framer.next_message() is None and framer.ahead == b"", "the body is not looked at"
    framer.feed(body[1:] + blanks + HIDDEN)
    assert framer.ahead == b""
    assert framer.next_message() == framed(body)
    assert framer.ahead == HIDDEN
    assert framer.next_message() == HIDDEN and framer.ahead == b""


def test_of_a_head_without_end_no_more_is_looked_at_than_a_head_may_have() -> None:
    framer = StreamFramer(max_head=100)
    framer.feed(b"\r" * 3 + b"x" * 200)
    assert framer.ahead == b"x" * 100
    assert fed(framer, b"") == [] and framer.status == 513 and framer.ahead == b""


# P4: Content-Length

BAD = {
    "2^31": (["Content-Length: 2147483648"], 513),
    "2^32": (["Content-Length: 4294967296"], 513),
    "2^32+32": (["Content-Length: 4294967328"], 513),
    "2^64": (["Content-Length: 18446744073709551616"], 513),
    "above the limit": (["Content-Length: 65536"], 513),
    "-1": (["Content-Length: -1"], 400),
    "+5": (["Content-Length: +5"], 400),
    "0x10": (["Content-Length: 0x10"], 400),
    "empty": (["Content-Length:"], 400),
    "blank": (["Content-Length:  "], 400),
    "absent": ([], 400),
    "two numbers": (["Content-Length: 5 5"], 400),
    "a comma": (["Content-Length: 5, 5"], 400),
    "two that differ": (["Content-Length: 0", "Content-Length: 5"], 400),
    "long and compact": (["Content-Length: 0", "l: 5"], 400),
    "two equal": (["Content-Length: 0", "Content-Length: 0"], 400),
    "first bad, second good": (["Content-Length: x", "l: 0"], 400),
    "first good, second too large": (["l: 0", "Content-Length: 99999999999999999999"], 400),
}
LEGAL = {
    "compact": "l: {}",
    "compact, upper case": "L : {}",
    "any case": "cOnTeNt-LeNgTh: {}",
    "blank before the colon": "Content-Length \t: {}",
    "folded": "Content-Length:\r\n {}",
    "folded twice": "Content-Length: \r\n\t\r\n {} ",
    "leading zeros": "Content-Length: 0000000000000000000000000{}",
}


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("case", BAD)
def test_p4_bad_content_length_ends_the_stream(case: str, step: int | None) -> None:
    lines, status = BAD[case]
    head = message(*lines)
    framer = StreamFramer()
    assert feed(framer, head + HIDDEN * 3, step) == []
    assert (framer.status, framer.refused, framer.memory) == (status, head, 0)
    assert SipMessage(framer.refused).call_id == "call-1@carrier"


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize("case", LEGAL)
@pytest.mark.parametrize("body", [b"", HIDDEN])
def test_p4_legal_content_length(case: str, step: int | None, body: bytes) -> None:
    whole = message(LEGAL[case].format(len(body)), body=body)
    framer = StreamFramer()
    assert feed(framer, whole + HIDDEN, step) == [whole, HIDDEN]
    assert SipMessage(whole).body == body


# What else is refused


@pytest.mark.parametrize("step", [1, None])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Broken: a\nb", "Content-Length: 0"], 400),
        (["Broken: a\rb", "Content-Length: 0"], 400),
        (["No colon", "Content-Length: 0"], 400),
        (["Bad(name): 1", "Content-Length: 0"], 400),
        ([*(f"X-{i}: 1" for i in range(300)), "Content-Length: 0"], 513),
    ],
)
def test_head_that_cannot_be_read_to_its_end(lines: list[str], status: int, step: int | None) -> None:
    framer = StreamFramer()
    assert feed(framer, message(*lines) + HIDDEN, step) == []
    assert framer.status == status
    assert SipMessage(framer.refused).call_id == "call-1@carrier"


@pytest.mark.parametrize("step", [1, None])
def test_head_that_never_ends_is_refused_at_its_limit(step: int | None) -> None:
    framer = StreamFramer(max_head=1000)
    assert feed(framer, message(f"X: {'x' * 5000}", "Content-Length: 0") + HIDDEN, step) == []
    assert (framer.status, len(framer.refused)) == (513, 1000)


@pytest.mark.parametrize("garbage", [b"\n", b"GET / HTTP/1.1\n", b"\x16\x03\x01\n", b"\0\r\n\r\n"])
def test_no_sip_at_all(garbage: bytes) -> None:
    framer = StreamFramer()
    assert feed(framer, b"x" + garbage + HIDDEN) == []
    assert (framer.status, framer.refused) == (400, b"x" + garbage)


def test_a_fault_that_leaves_the_framing_whole_is_the_cores_to_answer() -> None:
    without_call_id = message("Content-Length: 0", Call_ID=None)
    framer = StreamFramer()
    assert feed(framer, without_call_id + HIDDEN) == [without_call_id, HIDDEN]


# RFC 5626 section 4.4.1


@pytest.mark.parametrize("step", [1, 2, 3, None])
@pytest.mark.parametrize(
    ("stream", "pings"),
    [
        (b"\r\n", 0),
        (b"\r\n\r\n", 1),
        (b"\r\n\r\n\r\n", 1),
        (b"\r\n\r\n" * 3, 3),
        (b"\r\n\n\r\n", 0),
        (b"\r\r\n\r\n", 1),
        (b"\r\n" + HIDDEN + b"\r\n", 0),
        (HIDDEN + b"\r\n\r\n" + HIDDEN, 1),
    ],
)
def test_pings_are_counted(stream: bytes, pings: int, step: int | None) -> None:
    framer = StreamFramer()
    assert feed(framer, stream, step) == [HIDDEN] * stream.count(HIDDEN)
    assert (framer.take_replies(), framer.take_replies()) == (b"\r\n" * pings, b"")
    assert not framer.under_way


# Time and memory


def test_p5_memory_is_taken_as_bytes_come_and_given_back() -> None:
    framer = StreamFramer()
    framer.feed(message("Content-Length: 60000"))
    assert framer.next_message() is None and framer.memory <= 4096
    framer.feed(b"x" * 60000)
    assert framer.next_message() is not None
    assert framer.memory == 0


def test_p5_a_huge_declared_length_takes_nothing() -> None:
    framer = StreamFramer()
    feed(framer, message("Content-Length: 4294967295"))
    assert (framer.status, framer.memory) == (513, 0)


def test_pipelined_messages_need_no_more_memory_than_a_piece() -> None:
    framer = StreamFramer()
    piece = HIDDEN * 100
    found = 0
    for _ in range(100):
        found += len(fed(framer, piece[:-10])) + len(fed(framer, piece[-10:]))
        assert framer.memory <= 2 * len(piece)
    assert found == 10_000
