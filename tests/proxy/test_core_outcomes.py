"""What a call shows before it is over: when the callee's phone rang, and for how long."""

from __future__ import annotations

import pytest

from tests.proxy.messages import request
from tests.proxy.playbook import SOFTSWITCH, Play, response


def end_of(play: Play) -> tuple[int, int, int]:
    """(status, time to the first 18x, time to the answer or the end) of the only call, in milliseconds."""
    *_, ended = play.events()
    return ended.status, ended.setup_ms, ended.ring_ms


def test_the_first_18x_is_when_the_phone_rings() -> None:
    play = Play()
    (invite,) = play.receive(request())
    play.receive(response(invite, 100, "Trying"), SOFTSWITCH)
    play.wait(0.3)
    play.receive(response(invite, 183, "Session Progress"), SOFTSWITCH)
    play.wait(0.5)
    play.receive(response(invite, 180, "Ringing"), SOFTSWITCH)
    play.wait(0.7)
    play.receive(response(invite, 486, "Busy Here"), SOFTSWITCH)
    assert end_of(play) == (486, 300, 1500)


@pytest.mark.parametrize("provisional", [(), (100,), (199,)])
def test_without_an_18x_it_never_rang(provisional: tuple[int, ...]) -> None:
    play = Play()
    (invite,) = play.receive(request())
    for status in provisional:
        play.receive(response(invite, status, "So far"), SOFTSWITCH)
    play.wait(0.2)
    play.receive(response(invite, 404, "Not Found"), SOFTSWITCH)
    assert end_of(play) == (404, 0, 200)


def test_a_phone_that_rings_at_once_has_rung() -> None:
    play = Play()
    (invite,) = play.receive(request())
    play.receive(response(invite, 180, "Ringing"), SOFTSWITCH)
    play.receive(response(invite, 603, "Decline"), SOFTSWITCH)
    assert end_of(play) == (603, 1, 0)
