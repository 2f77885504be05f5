"""Which gateway a call goes to: by prefix, in turn, and as long as caps allow."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, PROXY, SOFTSWITCH, SPARE, Datagram, Play, response

OTHER = ("198.51.100.40", 5060)
UNSCREENED = CONFIGURATION.replace('route = "softswitch"', 'route = ["softswitch", "other"]\nscreen = false')
IN_TURN = UNSCREENED + '\n[[gateway]]\nname = "other"\ntargets = [{ address = "198.51.100.40" }]\n'


def with_gateway(keys: str) -> str:
    return IN_TURN.replace('name = "softswitch"\n', f'name = "softswitch"\n{keys}\n')


def with_trunk(keys: str) -> str:
    return IN_TURN.replace('name = "carrier"\n', f'name = "carrier"\n{keys}\n')


def call(play: Play, number: int = 0, *, callee: str = "+862088886666") -> list[Datagram]:
    return play.receive(request(branch=f"z9hG4bK-{number}", call_id=f"call-{number}", callee=callee))


def fail(play: Play, sent: Datagram) -> Datagram:
    (ack, following) = sorted(play.receive(response(sent, 503), sent.to), key=lambda message: message.method != "ACK")
    assert ack.method == "ACK"
    return following


def test_the_next_gateway_is_tried_when_one_is_exhausted() -> None:
    play = Play(IN_TURN)
    (first,) = call(play)
    second = fail(play, first)
    third = fail(play, second)
    assert [first.to, second.to, third.to] == [SOFTSWITCH, SPARE, OTHER]
    assert [sent.uri.split("@")[1] for sent in (first, second, third)] == [SOFTSWITCH[0], SPARE[0], OTHER[0]]
    last = fail(play, third)
    assert (last.status, last.to) == (500, CARRIER)
    assert play.core.open_calls == 0


def test_silence_leads_to_the_next_gateway_too() -> None:
    play = Play(IN_TURN.replace(', { address = "198.51.100.21", priority = 2 }', ""))
    call(play)
    assert OTHER in [sent.to for sent in play.wait(4.1) if sent.method == "INVITE"]


def test_calls_at_once_of_a_gateway() -> None:
    play = Play(with_gateway("concurrent_calls = 2"))
    sent = [call(play, n)[0] for n in range(4)]
    assert [message.to for message in sent] == [SOFTSWITCH, SOFTSWITCH, OTHER, OTHER]
    play.receive(response(sent[0], 486), SOFTSWITCH)
    assert call(play, 5)[0].to == SOFTSWITCH


def test_a_call_that_moves_on_leaves_its_gateway() -> None:
    play = Play(with_gateway("concurrent_calls = 1"))
    (first,) = call(play, 1)
    assert fail(play, fail(play, first)).to == OTHER
    assert call(play, 2)[0].to == SOFTSWITCH


def test_an_answered_call_counts_until_its_bye() -> None:
    play = Play(with_gateway("concurrent_calls = 1"))
    (invite,) = call(play, 1)
    play.receive(response(invite, 200, headers=["Contact: <sip:gw@198.51.100.20>"]), SOFTSWITCH)
    play.wait(100)
    assert call(play, 2)[0].to == OTHER
    fields = {"call_id": "call-1", "to_tag": "to1", "branch": "z9hG4bK-bye", "uri": "sip:gw@198.51.100.20"}
    play.receive(request("BYE", cseq=2, **fields))  # type: ignore[arg-type]
    assert call(play, 3)[0].to == SOFTSWITCH


def test_calls_a_second_of_a_gateway() -> None:
    play = Play(with_gateway("calls_per_s = 5"))
    assert [call(play, n)[0].to for n in range(7)] == [SOFTSWITCH] * 5 + [OTHER] * 2
    play.wait(0.4)
    assert [call(play, n)[0].to for n in range(10, 14)] == [SOFTSWITCH] * 2 + [OTHER] * 2


def test_cap_of_every_gateway() -> None:
    text = with_gateway("concurrent_calls = 1")
    play = Play(text.replace('"other"\ntargets', '"other"\nconcurrent_calls = 1\ntargets'))
    assert [call(play, n)[0].to for n in range(2)] == [SOFTSWITCH, OTHER]
    (refusal,) = call(play, 2)
    assert (refusal.status, refusal.all("Retry-After")) == (503, [])


@pytest.mark.parametrize("cap", ["concurrent_calls = 2", "calls_per_s = 2"])
def test_cap_of_a_trunk(cap: str) -> None:
    play = Play(with_trunk(cap))
    sent = [call(play, n)[0] for n in range(3)]
    assert [message.status for message in sent] == [0, 0, 503]
    assert sent[2].all("Retry-After") == []
    assert play.counters["refused_capped"] == 1
    assert (play.core.open_calls, play.core.pending_events) == (2, 3)


def test_caps_outlive_a_reload() -> None:
    play = Play(with_gateway("concurrent_calls = 1"))
    (invite,) = call(play, 1)
    play.configure(with_gateway("concurrent_calls = 1"))
    assert call(play, 2)[0].to == OTHER
    play.receive(response(invite, 486), SOFTSWITCH)
    assert call(play, 3)[0].to == SOFTSWITCH


@pytest.mark.parametrize(
    ("callee", "to"),
    [
        ("+862088886666", SOFTSWITCH),
        ("+85221234567", OTHER),
        ("+85291234567", SPARE),
        ("110", OTHER),
        ("anonymous", SOFTSWITCH),
    ],
)
def test_the_longest_prefix_says_where_a_call_goes(callee: str, to: tuple[str, int]) -> None:
    routes = """
[[gateway]]
name = "spare"
targets = [{ address = "198.51.100.21" }]
[[route]]
prefix = "+852"
gateways = ["other"]
[[route]]
prefix = "+8529"
trunks = ["carrier"]
gateways = ["spare", "other"]
[[route]]
prefix = "CN:1"
gateways = ["other"]
"""
    assert call(Play(IN_TURN + routes), callee=callee)[0].to == to


def test_trunks_of_the_same_sources_are_told_apart_by_listener() -> None:
    second = """
[[listener]]
name = "other-side"
address = "203.0.113.6:5060"
[[trunk]]
name = "second"
sources = ["192.0.2.0/24"]
listeners = ["other-side"]
dial_plan = "cn"
policy = "default"
route = "other"
"""
    play = Play(with_trunk('listeners = ["outside"]') + second)
    assert PROXY == ("203.0.113.5", 5060)
    assert call(play, 1)[0].to == SOFTSWITCH
    (invite,) = play.receive(request(branch="z9hG4bK-2", call_id="2"), CARRIER, 1)
    assert invite.to == OTHER


def test_targets_of_a_gateway_may_move_under_it() -> None:
    play = Play(IN_TURN.replace('address = "198.51.100.40"', 'address = "other.example.net"'))
    (first,) = call(play, 1)
    assert fail(play, fail(play, first)).status == 500  # nobody knows yet where it is
    play.move("other", ("198.51.100.40", 5060), ("198.51.100.41", 5060))
    (first,) = call(play, 2)
    third = fail(play, fail(play, first))
    assert third.to == OTHER
    play.move("other", ("198.51.100.42", 5060), ("198.51.100.41", 5060))
    assert fail(play, third).to == ("198.51.100.41", 5060)
    assert [place for place, _ in play.core.targets(1)] == [0, 1]
