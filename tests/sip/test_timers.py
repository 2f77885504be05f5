"""The timers of RFC 3261 table 4 and RFC 6026 section 8.11, heard from outside: what is sent when, and when it ends."""

from __future__ import annotations

import pytest

from proxy.config import Capacity
from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, SOFTSWITCH, Datagram, Play, response

REJECTED = "+862066660000"
ONE_TARGET = CONFIGURATION.replace(', { address = "198.51.100.21", priority = 2 }', "")


def times(play: Play, wanted: bytes, seconds: float) -> list[float]:
    """When, in seconds from now, the core sends `wanted` again."""
    begin_us = play.now_us
    heard = []
    while (deadline_us := play.core.next_deadline()) and deadline_us <= begin_us + seconds * 1e6:
        sent = play.wait((deadline_us - play.now_us) / 1e6)
        heard += [(play.now_us - begin_us) / 1e6 for datagram in sent if datagram.data == wanted]
    return heard


def gauge(play: Play, name: str) -> int:
    play.core.refresh_gauges()
    return play.counters[name]


def bye(play: Play) -> Datagram:
    (sent,) = play.receive(request("BYE", uri="sip:gw@198.51.100.20", to_tag="to1"))
    return sent


def test_timer_a_doubles_without_end_until_timer_b() -> None:
    play = Play(ONE_TARGET)
    (invite,) = play.receive(request())
    assert times(play, invite.data, 40) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


def test_timer_g_doubles_to_t2_until_timer_h() -> None:
    play = Play()
    play.prove()
    (reply,) = play.receive(request(caller=REJECTED))
    assert times(play, reply.data, 40) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert gauge(play, "server_transactions") == 0


def test_timer_e_doubles_to_t2_until_timer_f() -> None:
    play = Play()
    assert times(play, bye(play).data, 40) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_timer_e_runs_at_t2_after_a_provisional_response() -> None:
    play = Play()
    sent = bye(play)
    play.receive(response(sent, 100), SOFTSWITCH)
    assert times(play, sent.data, 13) == [0.5, 4.5, 8.5, 12.5]


@pytest.mark.parametrize(("status", "gone_s"), [(200, 32.0), (486, 32.0)])
def test_timers_d_and_m_keep_the_invite_client_for_32_s(status: int, gone_s: float) -> None:
    play = Play()
    (invite,) = play.receive(request())
    play.receive(response(invite, status), SOFTSWITCH)
    play.wait(gone_s - 0.001)
    assert gauge(play, "client_transactions") == 1
    play.wait(0.001)
    assert gauge(play, "client_transactions") == 0


def test_timer_i_keeps_the_acknowledged_server_for_t4() -> None:
    play = Play()
    play.prove()
    (reply,) = play.receive(request(caller=REJECTED))
    play.receive(request("ACK", caller=REJECTED, to_tag=reply.tag("To")))
    play.wait(4.999)
    assert gauge(play, "server_transactions") == 1
    play.wait(0.001)
    assert gauge(play, "server_transactions") == 0


def test_timers_j_and_k_keep_both_sides_of_a_non_invite() -> None:
    play = Play()
    sent = bye(play)
    play.receive(response(sent, 200), SOFTSWITCH)
    play.wait(4.999)
    assert (gauge(play, "server_transactions"), gauge(play, "client_transactions")) == (1, 1)
    play.wait(0.001)
    assert (gauge(play, "server_transactions"), gauge(play, "client_transactions")) == (1, 0)
    play.wait(27)
    assert gauge(play, "server_transactions") == 0


def test_timer_l_keeps_the_accepted_server_for_32_s() -> None:
    play = Play()
    (invite,) = play.receive(request())
    play.receive(response(invite, 200), SOFTSWITCH)
    play.wait(31.999)
    assert gauge(play, "server_transactions") == 1
    play.wait(0.001)
    assert gauge(play, "server_transactions") == 0


def test_own_answers_carry_the_phrase_of_their_status() -> None:
    play = Play(ONE_TARGET)
    play.receive(request())
    assert [datagram.first_line for datagram in play.wait(33) if datagram.status][:2] == [
        "SIP/2.0 100 Trying",
        "SIP/2.0 408 Request Timeout",
    ]


def test_a_full_store_is_not_a_timer_that_never_fires() -> None:
    play = Play(capacity=Capacity(transactions=16, calls=16))
    for number in range(32):
        play.receive(request(caller=REJECTED, branch=f"z9hG4bK-{number}"))
    play.wait(40)
    assert (gauge(play, "server_transactions"), play.core.next_deadline()) == (0, 0)
