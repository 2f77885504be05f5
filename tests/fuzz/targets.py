"""What is fuzzed: each target takes any bytes, gives them to the shipped code, and asserts what holds for all bytes.

They import the modules that a node runs, and nothing of their own stands between: `SHIPPED` names what each one calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import msgspec

from engine._dial_plan import DialPlan
from engine._entries import EntrySet, RecordSet
from engine._numbers import kind_of, number_text, parse_entry
from engine._prefix_trie import PrefixTrie
from engine.packs import BUILTIN_DIAL_PLANS
from proxy.config import Configuration
from proxy.core import ProxyCore
from proxy.event_lines import EventNames, write_calls, write_decisions
from proxy.events import EVENT_BYTES, EventBatch, VerdictTally
from proxy.sip.framing import StreamFramer
from proxy.sip.message import SipMessage
from proxy.websocket import WebSocketFramer
from tests.abuse.torture import TRUSTED
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, Play

PLANS = [DialPlan(plan) for plan in BUILTIN_DIAL_PLANS.values()]
NAMES = EventNames("node")
SCREENED, ENDED = 1, 2  # EventRecord.type
# Between the messages that the target `core` gets one after the other.
SEPARATOR = b"\0\xff\0\xff"


def head(data: bytes) -> None:
    """A message is read the same way twice, also behind blank lines; nothing of it lies outside the bytes received."""
    parsed = SipMessage(data)
    assert -1 <= parsed.status <= 699
    if parsed.status >= 0:
        assert properties(parsed) == properties(SipMessage(data)) == properties(SipMessage(b"\r\n" + data))
    if parsed.status == 0:
        assert parsed.body in data
        assert all(value in data for _, value in parsed.headers)


def properties(parsed: SipMessage) -> tuple[Any, ...]:
    return (
        parsed.status, parsed.fault, parsed.is_request, parsed.method, parsed.response_status, parsed.request_uri,
        parsed.uri_parts, parsed.call_id, parsed.cseq, parsed.max_forwards, parsed.from_display, parsed.from_uri,
        parsed.from_tag, parsed.to_uri, parsed.to_tag, parsed.branch, parsed.transport, parsed.sent_by,
        parsed.wants_rport, parsed.headers, parsed.body if parsed.status == 0 else b"",
    )  # fmt: skip


def uri(data: bytes) -> None:
    """User, host and parameters come out of the URI in this order, and none holds what only a delimiter may be."""
    parsed = SipMessage(b"INVITE " + data + b" SIP/2.0\r\n" + HEADERS)
    if parsed.status:
        return
    scheme, user, host, port, parameters = parsed.uri_parts
    text = parsed.request_uri
    assert not set(text) & set(' \t\r\n<>"')
    assert -1 <= port <= 65_535
    if scheme in ("sip", "sips"):
        at = text.index(":") + 1
        for part in (user, host, parameters):
            at = text.index(part, at) + len(part)
        assert host
        assert not set(host) & set("@;?/ ")
        assert "@" not in user


def via(data: bytes) -> None:
    """An accepted Via names a transport and a host, and can be read again with `received` behind it."""
    message = b"OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: " + data + b"\r\n" + HEADERS.split(b"\r\n", 1)[1]
    parsed = SipMessage(message.replace(b"CSeq: 1 INVITE", b"CSeq: 1 OPTIONS"))
    if parsed.status:
        return
    host, port = parsed.sent_by
    assert parsed.transport
    assert host
    assert -1 <= port <= 65_535
    assert not set(parsed.branch) & set(";,\r\n")


def name_addr(data: bytes) -> None:
    """From and To are read alike. Whatever an asserted identity holds, there is one verdict and one sound message."""
    from_ = SipMessage(HEAD_START + b"From: " + data + b"\r\n" + HEADERS.replace(FROM, b""))
    to = SipMessage(HEAD_START + b"To: " + data + b"\r\n" + HEADERS.replace(TO, b""))
    if b"\r\n" not in data:
        assert (from_.status, from_.from_uri, from_.from_tag) == (to.status, to.to_uri, to.to_tag)
    play = play_of("trusted")
    sent = play.receive(
        request(branch=f"z9hG4bK-{play.counters['received']}").replace(
            b"Max-Forwards", b"P-Asserted-Identity: " + data + b"\r\nMax-Forwards", 1
        )
    )
    assert len(sent) <= 2
    assert len(play.events()) <= 1
    check_core(play, sent)


def framing(data: bytes) -> None:
    """A stream gives the same messages whole and in pieces, each with the body that its Content-Length says."""
    whole, consumed, status = framed([data])
    cuts = sorted({0, 1, len(data) // 3, len(data) // 2, len(data)})
    assert framed([data[a:b] for a, b in pairwise(cuts)]) == (whole, consumed, status)
    assert sum(map(len, whole)) <= len(data)
    for message in whole:
        parsed = SipMessage(message)
        assert message in data
        assert parsed.status or message.endswith(b"\r\n\r\n" + parsed.body)


def framed(pieces: Iterable[bytes]) -> tuple[list[bytes], bool, int]:
    """The messages, whether another is under way, and the status that the stream ended with."""
    framer = StreamFramer(max_message=8192)
    messages = []
    for piece in pieces:
        framer.feed(piece)
        while (message := framer.next_message()) is not None:
            messages.append(message)
    assert framer.memory <= 4 * 8192
    return messages, framer.under_way, framer.status


def websocket(data: bytes) -> None:
    """Anything after the handshake, and instead of it: messages or an end, never more memory than was sent."""
    for start in (b"", HANDSHAKE):
        framer = WebSocketFramer([], 8192)
        framer.feed(start + data)
        for _ in range(64):
            if framer.next_message() is None:
                break
        assert len(framer.take_replies()) <= 2048 + 2 * len(data)


def core(data: bytes) -> None:
    """Datagrams one after the other, from a trunk and from the gateway by turns; what leaves can be read again."""
    play = play_of("screened")
    for number, message in enumerate(data.split(SEPARATOR)[:8]):
        before = play.counters["screened"]
        for _ in range(2):
            check_core(play, play.receive(message, SOFTSWITCH if number % 2 else CARRIER))
        assert play.counters["screened"] - before <= 1
        play.now_us += 1_000_000
        check_core(play, play.wait(0))
    play.events()


def trusted(data: bytes) -> None:
    """Header lines of a trusted trunk, which are read and acted upon: who diverted, trunk groups, Privacy, Routes."""
    play = play_of("trusted")
    message = request(branch=f"z9hG4bK-{play.counters['received']}")
    sent = play.receive(message.replace(b"Max-Forwards", data + b"\r\nMax-Forwards", 1))
    assert len(sent) <= 2
    told = [event.type for event in play.events()]
    assert told in ([], [SCREENED], [SCREENED, ENDED])  # a call that cannot be routed ends at once
    check_core(play, sent)
    play.questions()


def check_core(play: Play, sent: list[Any]) -> None:
    assert play.counters["internal_errors"] == 0
    for datagram in sent:
        parsed = SipMessage(datagram.data)
        # Only the refusal of what could not be read repeats what made it so.
        assert parsed.status == 0 or 400 <= parsed.response_status <= 513, datagram.data


def number(data: bytes) -> None:
    """Any text has a canonical form under any plan; an international one is its own canonical form."""
    for plan in PLANS:
        canonical = plan.normalize(data)
        assert 0 <= kind_of(canonical) < 16
        text = number_text(canonical)
        if text.startswith("+"):
            assert plan.normalize(text) == canonical, text


def list_file(data: bytes) -> None:
    """A list of numbers as an operator gives it: every line is an entry, a comment, or named as neither."""
    entries = EntrySet(PLANS[:1])
    wrong = entries.add_text(data, 1)
    lines = data.count(b"\n") + 1
    assert all(1 <= line <= lines for line, _ in wrong)
    assert entries.count(False) + entries.count(True) + len(wrong) <= lines
    for short_codes in (False, True):
        entries.push_down(short_codes, RecordSet())
    for line in data.split(b"\n")[:4]:
        try:
            parse_entry(line.decode("utf-8", "replace"))
        except ValueError:
            continue


def trie_image(data: bytes) -> None:
    """An image that is torn is refused; one that is taken is never read outside."""
    try:
        trie = PrefixTrie(data)
    except ValueError:
        return
    for digits in ("8613800138000", "1", "999999999999999"):
        trie.match(digits)


def events(data: bytes) -> None:
    """Event records from a worker: whatever the bytes, each becomes one value and at most one sound line of a log."""
    records = data.ljust(-(-len(data) // EVENT_BYTES) * EVENT_BYTES, b"\0")
    batch = EventBatch(records)
    assert len(list(batch)) == len(records) // EVENT_BYTES
    for write in (write_decisions, write_calls):
        lines = bytearray()
        count = write(batch, NAMES, lines)
        assert len([msgspec.json.decode(line) for line in lines.splitlines()]) == count
    tally = VerdictTally()
    batch.tally(tally)
    tally.verdicts()


def configuration(data: bytes) -> None:
    """An operator's file is a configuration, or refused with the key that is wrong."""
    try:
        msgspec.toml.decode(data, type=Configuration)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
        return


def generation(data: bytes) -> None:
    """The compiled form of the same, which workers read."""
    try:
        decoded = msgspec.msgpack.decode(data, type=Configuration)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
        return
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(decoded), type=Configuration) == decoded


FROM = b"From: <sip:+8613800138000@192.0.2.10>;tag=from1\r\n"
TO = b"To: <sip:+862088886666@203.0.113.5>\r\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 203.0.113.5:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HEAD_START = b"INVITE sip:a@192.0.2.1 SIP/2.0\r\n"
HEADERS = request().split(b"\r\n", 1)[1]

_plays: dict[str, tuple[Play, int]] = {}


def play_of(name: str) -> Play:
    """One core for many inputs, as a node is; a new one every thousand, so that an input explains its failure."""
    play, uses = _plays.get(name, (None, 0))
    if play is None or uses == 1000:
        text = TRUSTED.replace("screen = false", "screen = true") if name == "trusted" else CONFIGURATION
        play, uses = Play(text), 0
    _plays[name] = play, uses + 1
    return play


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        head, uri, via, name_addr, framing, websocket, core, trusted, number, list_file, trie_image, events,
        configuration, generation,
    )
}  # fmt: skip

# What each target is about, by the name it has in the node.
SHIPPED: dict[str, tuple[Any, str]] = {
    "head": (SipMessage, "proxy.sip.message"),
    "uri": (SipMessage, "proxy.sip.message"),
    "via": (SipMessage, "proxy.sip.message"),
    "name_addr": (ProxyCore, "proxy.core"),
    "framing": (StreamFramer, "proxy.sip.framing"),
    "websocket": (WebSocketFramer, "proxy.websocket"),
    "core": (ProxyCore, "proxy.core"),
    "trusted": (ProxyCore, "proxy.core"),
    "number": (DialPlan, "engine._dial_plan"),
    "list_file": (EntrySet, "engine._entries"),
    "trie_image": (PrefixTrie, "engine._prefix_trie"),
    "events": (EventBatch, "proxy.events"),
    "configuration": (Configuration, "proxy.config"),
    "generation": (Configuration, "proxy.config"),
}
