"""Rejections without a transaction (RFC 3261 section 8.2.7): the same for every repeat, and no amplifier."""

from __future__ import annotations

import pytest

from proxy.config import Capacity
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, Datagram, Play

REJECTED = "+862066660000"
FLOOD = """
[flood]
unproven_answers_per_s = 10
"""
WINDOW_S = 64.0


def with_body(**parts: object) -> bytes:
    """An INVITE as large as a carrier's, which a full rejection does not outweigh."""
    return request(caller=REJECTED, body=b"v=0\r\n" * 100, **parts)  # type: ignore[arg-type]


def transactions(play: Play) -> int:
    play.core.refresh_gauges()
    return play.counters["server_transactions"]


# X11


def test_x11_the_same_bytes_for_32_s_whatever_a_reload_changes() -> None:
    play = Play()
    for number in range(5):
        play.receive(request(branch=f"z9hG4bK-{number}", call_id=f"c{number}"))
    invite = request(branch="z9hG4bK-6", call_id="c6", body=b"v=0\r\n" * 100)
    (first,) = play.receive(invite)
    assert first.first_line == "SIP/2.0 603 Network Blocked"
    assert "id=" in first.one("Reason")
    changed = CONFIGURATION.replace("calls = 5", "calls = 5000").replace("redress.example.net", "elsewhere.example.net")
    for moment in range(31):
        if moment == 10:
            play.configure(changed)
        play.now_us += 1_000_000
        assert play.receive(invite) == [first]
    assert play.counters["screened"] == 6
    play.now_us += 1_100_000
    (after,) = play.receive(invite)
    assert after.method == "INVITE"


def test_x11_ack_and_cancel_are_swallowed() -> None:
    play = Play()
    (reply,) = play.receive(with_body())
    assert play.receive(request("CANCEL", caller=REJECTED)) == []
    assert play.receive(request("ACK", caller=REJECTED, to_tag=reply.tag("To"))) == []
    assert play.receive(request("CANCEL", caller=REJECTED)) == []
    assert play.wait(WINDOW_S) == []


def test_x11_no_provisional_and_no_transaction() -> None:
    play = Play()
    (reply,) = play.receive(with_body())
    assert reply.status == 403
    assert play.core.next_deadline() == 0
    assert transactions(play) == 0
    assert play.counters["answers_stateless"] == 1


def test_x11_the_tag_belongs_to_branch_call_id_and_from_tag() -> None:
    play = Play()
    asked = [{}, {"branch": "z9hG4bK-2"}, {"call_id": "other"}, {"from_tag": "other"}]
    tags = {play.receive(with_body(**parts))[0].tag("To") for parts in asked[:2]}
    for parts in asked[2:]:
        other = Play()
        tags.add(other.receive(with_body(**parts))[0].tag("To"))
    assert len(tags) == 4


# When a rejection has a transaction


def test_an_acknowledged_answer_proves_the_address() -> None:
    play = Play()
    (reply,) = play.receive(with_body())
    play.receive(request("ACK", caller=REJECTED, to_tag=reply.tag("To")))
    play.receive(with_body(branch="z9hG4bK-2", call_id="c2"))
    assert transactions(play) == 1


@pytest.mark.parametrize(
    ("tag", "source"), [("0123456789abcdef", CARRIER), ("", CARRIER), ("own", ("192.0.2.77", 5060))]
)
def test_nothing_else_proves_it(tag: str, source: tuple[str, int]) -> None:
    play = Play()
    (reply,) = play.receive(with_body())
    play.receive(request("ACK", caller=REJECTED, to_tag=reply.tag("To") if tag == "own" else tag), source)
    for host in (CARRIER, source):
        play.receive(with_body(branch=f"z9hG4bK-{host}", call_id="c2"), host)
    assert transactions(play) == 0


def test_under_pressure_a_proven_address_gets_no_transaction_either() -> None:
    play = Play(capacity=Capacity(transactions=64, calls=64))
    play.prove()
    for number in range(50):
        caller = f"+8613800{number:06}"
        play.receive(request(caller=caller, branch=f"z9hG4bK-{number}", call_id=f"c{number}"))
    before = transactions(play)
    (reply,) = play.receive(with_body(branch="z9hG4bK-r", call_id="r"))
    assert (reply.status, transactions(play)) == (403, before)


def test_a_source_that_is_rejected_all_the_time_gets_stateless_answers_and_then_silence() -> None:
    play = Play(CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\nmax_rejections_per_s = 100', 1))
    play.prove()
    sent = [play.receive(with_body(branch=f"z9hG4bK-{number}", call_id=f"c{number}")) for number in range(300)]
    answered = sum(map(len, sent))
    assert 100 <= answered <= 102
    assert 48 <= transactions(play) <= 52
    assert play.counters["answers_silenced"] == 300 - answered
    play.now_us += 1_000_000
    assert play.receive(with_body(branch="z9hG4bK-later", call_id="later"))


# S5


def spoofed(number: int, via: str) -> bytes:
    return (
        f"INVITE sip:+862088886666@203.0.113.5 SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK-{number}\r\n"
        f"From: <sip:{REJECTED}@x>;tag={number}\r\nTo: <sip:+862088886666@203.0.113.5>\r\n"
        f"Call-ID: {number}\r\nCSeq: 1 INVITE\r\nContact: <sip:{REJECTED}@192.0.2.10>\r\nContent-Length: 0\r\n\r\n"
    ).encode()


VICTIM = "203.0.113.200"


@pytest.mark.parametrize(
    ("via", "port"),
    [
        (f"{VICTIM}:7777;rport", 5060),
        (f"{VICTIM}:7777", 7777),
        (f"192.0.2.10:5060;maddr={VICTIM};rport", 5060),
        ("192.0.2.10:5060;maddr=255.255.255.255;ttl=255;rport", 5060),
        (f"192.0.2.10:5060;received={VICTIM};rport=7777", 5060),
        (f"192.0.2.10:5060;rport=7777;received={VICTIM}", 5060),
        ("victim.example.net:7777;rport", 5060),
    ],
)
def test_s5_little_and_only_to_the_source_of_the_packet(via: str, port: int) -> None:
    play = Play()
    received = 0
    sent: list[Datagram] = []
    for number in range(64):
        data = spoofed(number, via)
        for _ in range(3):
            received += len(data)
            sent += play.receive(data, CARRIER)
        sent += play.wait(WINDOW_S / 64)
    sent += play.wait(WINDOW_S)
    assert sent
    assert {datagram.to for datagram in sent} == {(CARRIER[0], port)}
    assert sum(len(datagram.data) for datagram in sent) <= 1.5 * received
    assert play.counters["resent"] == len(sent) - 64 == 128  # one answer for each request, none of its own accord


@pytest.mark.parametrize(
    "data",
    [
        with_body(),
        request(caller=REJECTED),
        request(headers=["Proxy-Require: x"]),
        request(max_forwards=0),
        request(to_tag="invented"),
        request(uri="nobody:knows"),
        request("REGISTER"),
        request("OPTIONS", uri="sip:203.0.113.5"),
        request().replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"),
        b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        b"X a:b SIP/2.0\r\nv:SIP/2.0/UDP x\r\n\r\n",
    ],
    ids=lambda data: f"{data[:30]!r}",
)
def test_s5_no_answer_outweighs_its_request(data: bytes) -> None:
    play = Play()
    sent = play.receive(data) + play.wait(WINDOW_S)
    assert sum(len(datagram.data) for datagram in sent) <= 1.5 * len(data)


def test_s5_after_so_many_an_unproven_address_hears_nothing() -> None:
    play = Play(CONFIGURATION + FLOOD)
    sent = [play.receive(with_body(branch=f"z9hG4bK-{number}", call_id=f"c{number}")) for number in range(100)]
    assert 10 <= sum(map(len, sent)) <= 11
    assert play.counters["answers_silenced"] == 100 - sum(map(len, sent))
