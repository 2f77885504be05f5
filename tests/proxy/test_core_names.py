"""Next hops that are names: asked for, waited for by nobody else, and given up in two seconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.config import Capacity
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, Datagram, Play, response

TRUSTED = CONFIGURATION.replace('route = "softswitch"', 'route = "softswitch"\ntrusted = true')
NAMED = "sip:callee@phones.example.net"
PLACE = ("udp", "198.51.100.99", 5062)


def set_up(play: Play) -> str:
    """An answered call; its Record-Route."""
    (invite,) = play.receive(request())
    play.receive(response(invite, 200, headers=[f"Contact: <{NAMED}>"]), SOFTSWITCH)
    return invite.one("Record-Route")


def bye(route: str, **more: str) -> bytes:
    fields = {"uri": NAMED, "to_tag": "to1", "branch": "z9hG4bK-bye"} | more
    return request("BYE", cseq=2, headers=[f"Route: {route}"], **fields)  # type: ignore[arg-type]


def test_d1_a_name_is_asked_for_and_the_request_goes_on_when_it_is_known() -> None:
    play = Play()
    route = set_up(play)
    assert play.receive(bye(route)) == []
    ((question, *asked),) = play.questions()
    assert asked == ["phones.example.net", None, None, False]
    assert play.receive(bye(route)) == []  # a repeat
    assert play.questions() == []
    (sent,) = play.resolve(question, PLACE)
    assert (sent.method, sent.to, sent.uri) == ("BYE", PLACE[1:], NAMED)
    (ok,) = play.receive(response(sent, 200), PLACE[1:])
    assert (ok.status, ok.to) == (200, CARRIER)
    assert play.core.open_calls == 0


def test_d1_others_do_not_wait() -> None:
    play = Play()
    route = set_up(play)
    play.receive(bye(route))
    (invite,) = play.receive(request(call_id="other", branch="z9hG4bK-other"))
    assert invite.to == SOFTSWITCH


def test_d1_a_known_name_is_not_asked_for_again() -> None:
    play = Play()
    route = set_up(play)
    play.receive(bye(route))
    ((question, *_),) = play.questions()
    play.resolve(question, PLACE)
    (again,) = play.receive(bye(route, branch="z9hG4bK-2", uri=NAMED.upper().replace("SIP:CALLEE", "sip:callee")))
    assert again.to == PLACE[1:]
    assert play.questions() == []


def test_d1_an_old_answer_serves_while_it_is_asked_for_again() -> None:
    play = Play()
    route = set_up(play)
    play.receive(bye(route))
    ((question, *_),) = play.questions()
    play.resolve(question, PLACE, ttl_s=10)
    play.wait(11)
    (sent,) = play.receive(bye(route, branch="z9hG4bK-2"))
    assert sent.to == PLACE[1:]
    ((again, *_),) = play.questions()
    assert again == question


def test_d1_an_empty_answer_does_not_end_a_good_one_before_its_time() -> None:
    play = Play()
    route = set_up(play)
    play.receive(bye(route))
    ((question, *_),) = play.questions()
    play.resolve(question, PLACE, ttl_s=10)
    for seconds, places in [(11, 1), (60, 1), (3600, 0)]:
        play.wait(seconds)
        sent = play.receive(bye(route, branch=f"z9hG4bK-{seconds}"))
        assert [message.to for message in sent] == [PLACE[1:]] * places
        assert len(play.questions()) == 1
        play.resolve(question)


def test_d1_a_name_that_leads_nowhere_gives_way_to_the_other_side_of_the_call() -> None:
    play = Play()
    route = set_up(play)
    play.receive(bye(route))
    ((question, *_),) = play.questions()
    (sent,) = play.resolve(question)
    assert sent.to == SOFTSWITCH


@pytest.mark.parametrize("answers", [True, False])
def test_d1_a_request_whose_name_fails_is_answered_within_two_seconds(answers: bool) -> None:
    play = Play()
    route = set_up(play)
    play.receive(bye(route, uri="sip:callee@198.51.100.20"))  # the call is over: nothing else says where it goes
    fields = {"from_tag": "to1", "to_tag": "from1", "branch": "z9hG4bK-info", "uri": "sip:caller@nowhere.example.net"}
    info = request("INFO", headers=[f"Route: {route}"], **fields)  # type: ignore[arg-type]
    assert play.receive(info, SOFTSWITCH) == []
    ((question, *_),) = play.questions()
    sent = play.resolve(question) if answers else play.wait(2.0)
    (answer,) = [message for message in sent if message.status]
    assert (answer.status, answer.to, answer.one("CSeq")) == (480, SOFTSWITCH, "1 INFO")
    assert play.resolve(question, PLACE) == []


@pytest.mark.parametrize("answers", [True, False])
def test_d1_a_new_call_whose_route_fails_goes_to_the_gateway(answers: bool) -> None:
    play = Play(TRUSTED)
    assert play.receive(request(headers=["Route: <sip:nowhere.example.net;lr>"])) == []
    ((question, *_),) = play.questions()
    (sent,) = play.resolve(question) if answers else play.wait(2.0)
    assert (sent.method, sent.to) == ("INVITE", SOFTSWITCH)


def test_d1_an_ack_never_waits() -> None:
    play = Play(TRUSTED)
    route = set_up(play)
    ack = {"uri": NAMED, "to_tag": "to1", "branch": "z9hG4bK-ack"}
    (sent,) = play.receive(request("ACK", headers=[f"Route: {route}"], **ack))  # type: ignore[arg-type]
    assert sent.to == SOFTSWITCH
    unknown = request("ACK", call_id="unknown", headers=["Route: <sip:one.example.net;lr>"], to_tag="x")
    before = play.counters["unroutable"]
    assert play.receive(unknown) == []
    assert play.counters["unroutable"] == before + 1


def test_a_cancel_of_a_waiting_call_ends_it() -> None:
    play = Play(TRUSTED)
    play.receive(request(headers=["Route: <sip:slow.example.net;lr>"]))
    (ok,) = play.receive(request("CANCEL"))
    assert (ok.status, ok.one("CSeq")) == (200, "1 CANCEL")
    ((question, *_),) = play.questions()
    (answer,) = play.resolve(question, PLACE)
    assert answer.status == 487


def test_a_name_leads_out_by_its_transport() -> None:
    tcp = '\n[[listener]]\nname = "tcp"\naddress = "203.0.113.5:5060"\ntransport = "tcp"\n'
    play = Play(TRUSTED + tcp)
    play.receive(request(headers=["Route: <sip:one.example.net;transport=tcp;lr>"]))
    ((question, *asked),) = play.questions()
    assert asked == ["one.example.net", None, "tcp", False]
    (sent,) = play.resolve(question, ("tcp", "198.51.100.50", 5066))
    assert (sent.listener, sent.to) == (1, ("198.51.100.50", 5066))


def test_a_websocket_contact_is_never_asked_for() -> None:
    play = Play()
    route = set_up(play)
    (sent,) = play.receive(bye(route, uri="sip:x@df7jal23ls0d.invalid;transport=udp"))
    assert sent.to == SOFTSWITCH
    assert play.questions() == []


def test_waiting_requests_and_questions_are_bounded() -> None:
    text = TRUSTED.replace('route = "softswitch"', 'route = "softswitch"\nscreen = false')
    play = Play(text, capacity=Capacity(transactions=4096, calls=4096))
    sent: list[Datagram] = []
    for n in range(1100):
        fields = {"branch": f"z9hG4bK-{n}", "call_id": f"call-{n}"}
        sent += play.receive(request(headers=[f"Route: <sip:n{n}.example.net;lr>"], **fields))  # type: ignore[arg-type]
    assert [message.to for message in sent] == [SOFTSWITCH] * (1100 - 1024)  # no room to wait: as if nobody knew
    assert len(play.questions()) == 256
    assert play.counters["parked"] == 1024
    late = {message.one("Call-ID") for message in play.wait(2.0) if message.method == "INVITE"}
    assert late == {f"call-{n}" for n in range(1100)}


# RFC 3263 section 4.3: the places of a name are tried one after the other, for the same request

OTHER_PLACE = ("udp", "198.51.100.98", 5062)


def to_places(play: Play, *places: tuple[str, str, int]) -> Datagram:
    """A call along a Route that is a name with these places; what left for the first of them."""
    play.receive(request(headers=["Route: <sip:callees.example.net;lr>"]))
    ((question, *_),) = play.questions()
    (sent,) = play.resolve(question, *places)
    return sent


def refused(play: Play, sent: Datagram) -> list[Datagram]:
    return [d for d in play.receive(response(sent, 503), sent.to) if d.method != "ACK"]


def silent(play: Play, sent: Datagram) -> list[Datagram]:
    return [d for d in play.wait(4.1) if d.to != sent.to and d.status != 100]


@pytest.mark.parametrize("failure", [Play.fail, refused, silent])
def test_the_next_place_of_a_name_is_tried_when_one_fails(failure: Callable[[Play, Datagram], list[Datagram]]) -> None:
    play = Play(TRUSTED)
    first = to_places(play, PLACE, OTHER_PLACE)
    (second,) = failure(play, first)
    assert [first.to, second.to] == [PLACE[1:], OTHER_PLACE[1:]]
    assert (second.method, second.uri, second.all("Route")) == ("INVITE", first.uri, first.all("Route"))
    assert second.branch != first.branch
    (ok,) = play.receive(response(second, 200), second.to)
    assert (ok.status, ok.to) == (200, CARRIER)


def test_a_request_that_fails_at_every_place_is_answered_once() -> None:
    play = Play(TRUSTED)
    (second,) = play.fail(to_places(play, PLACE, OTHER_PLACE))
    (answer,) = play.fail(second)
    assert (answer.status, answer.to) == (500, CARRIER)
    assert play.core.open_calls == 0


def test_a_place_that_failed_is_tried_last_until_the_name_is_known_anew() -> None:
    play = Play(TRUSTED)
    play.fail(to_places(play, PLACE, OTHER_PLACE))
    again = request(headers=["Route: <sip:callees.example.net;lr>"], branch="z9hG4bK-2", call_id="call-2")
    (third,) = play.receive(again)
    assert third.to == OTHER_PLACE[1:]
    (fourth,) = play.fail(third)
    assert fourth.to == PLACE[1:]
    play.wait(61)
    late = request(headers=["Route: <sip:callees.example.net;lr>"], branch="z9hG4bK-3", call_id="call-3")
    play.receive(late)
    ((question, *_),) = play.questions()
    play.resolve(question, PLACE, OTHER_PLACE)
    (fifth,) = play.receive(
        request(headers=["Route: <sip:callees.example.net;lr>"], branch="z9hG4bK-4", call_id="call-4")
    )
    assert fifth.to == PLACE[1:]


def test_a_request_within_a_dialog_tries_the_next_place_too() -> None:
    play = Play()
    route = set_up(play)
    play.receive(bye(route))
    ((question, *_),) = play.questions()
    (sent,) = play.resolve(question, PLACE, OTHER_PLACE)
    (again,) = play.fail(sent)
    assert (again.method, again.to) == ("BYE", OTHER_PLACE[1:])


def test_a_call_that_waited_and_finds_its_gateways_full_is_refused_for_that() -> None:
    play = Play(TRUSTED.replace('name = "softswitch"\n', 'name = "softswitch"\nconcurrent_calls = 1\n', 1))
    (invite,) = play.receive(request(branch="z9hG4bK-first", call_id="first"))
    assert invite.to == SOFTSWITCH
    play.receive(request(headers=["Route: <sip:nowhere.example.net;lr>"]))
    ((question, *_),) = play.questions()
    (answer,) = play.resolve(question)
    assert (answer.status, answer.all("Retry-After")) == (503, [])
    assert play.counters["refused_capped"] == 1
    assert play.core.open_calls == 1
