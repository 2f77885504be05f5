"""Two workers on one listener: what reaches the wrong one is handed to the one it belongs to."""

from __future__ import annotations

from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, SOFTSWITCH, Play, response


def handed(play: Play) -> list[bytes]:
    return [message.data for message in play.core.handed_over.drain()]


def test_response_is_handed_to_the_worker_that_made_its_branch() -> None:
    first, second = Play(workers=2), Play(workers=2, worker=1)
    (invite,) = first.receive(request())
    ringing = response(invite, 180)
    assert second.receive(ringing, SOFTSWITCH) == []
    assert handed(second) == [ringing]
    (passed,) = first.receive(ringing, SOFTSWITCH)
    assert (passed.status, passed.to) == (180, CARRIER)


def test_bye_is_handed_to_the_worker_that_knows_the_call() -> None:
    first, second = Play(workers=2), Play(workers=2, worker=1)
    (invite,) = first.receive(request())
    (ok,) = first.receive(response(invite, 200), SOFTSWITCH)
    bye = request("BYE", uri="sip:gw@198.51.100.20", to_tag="to1", headers=[f"Route: {ok.one('Record-Route')}"])
    assert second.receive(bye) == []
    assert handed(second) == [bye]
    assert second.counters["handed_over"] == 1
    first.receive(bye)
    assert first.core.open_calls == 0


def test_worker_of_an_earlier_run_is_nobody_to_hand_over_to() -> None:
    alone, second = Play(), Play(workers=2, worker=1)
    (invite,) = second.receive(request())
    (ok,) = second.receive(response(invite, 200), SOFTSWITCH)
    route = [f"Route: {ok.one('Record-Route')}"]
    (bye,) = alone.receive(request("BYE", uri="sip:gw@198.51.100.20", to_tag="to1", headers=route))
    assert bye.to == SOFTSWITCH
    assert handed(alone) == []
