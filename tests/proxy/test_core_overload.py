"""Overload in the core: who gets in, what clients are told, what next hops are spared (RFC 7339, RFC 7415)."""

from __future__ import annotations

import itertools
import re

import pytest

from proxy.config import Capacity
from proxy.overload_parameters import read_via_overload
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, SPARE, Datagram, Play, response

HONOURING = ("192.0.2.11", 5060)
DEAF = ("192.0.2.12", 5060)
ASKS = ';oc;oc-algo="loss,rate"'
CONTROLLED = CONFIGURATION.replace('name = "softswitch"\n', 'name = "softswitch"\noverload_control = true\n')
TRUSTED = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true')
WINDOW_US = 100_000


def invite(number: int, *, oc: str = "", source: tuple[str, int] = CARRIER, **parts: object) -> bytes:
    data = request(
        branch=f"z9hG4bK-{number}",
        call_id=f"c{number}",
        caller=f"+8613800{number:06}",
        sent_by=f"{source[0]}:{source[1]}",
        **parts,  # type: ignore[arg-type]
    )
    return data.replace(b";rport\r\n", f";rport{oc}\r\n".encode(), 1)


def told(datagram: Datagram) -> tuple[int, int, int, set[str]] | None:
    """(oc, oc-validity, oc-seq, oc-algo) of the top Via, None if it has no value."""
    read = read_via_overload(datagram.all("Via")[0].encode())
    assert read is not None
    offered, value, validity, sequence, algorithms = read
    return (value, validity, sequence, algorithms) if offered and value >= 0 else None


def overload(play: Play, load: float = 1.0, windows: int = 1) -> None:
    """Measurements of a processor that is busy and of receive buffers that are full, by `load`."""
    for _ in range(windows):
        play.now_us += WINDOW_US
        play.core.note_load(load, load, play.now_us)


# Server: what clients are told


@pytest.mark.parametrize(("oc", "algorithm"), [(ASKS, "loss"), (';oc;oc-algo="rate,loss"', "rate"), (";oc", "loss")])
def test_o4_a_client_that_asks_is_told_in_every_response(oc: str, algorithm: str) -> None:
    play = Play()
    (forwarded,) = play.receive(invite(1, oc=oc))
    assert "oc" not in forwarded.all("Via")[1].replace("192", "")
    sent = play.wait(0.2) + play.receive(response(forwarded, 180), SOFTSWITCH)
    overload(play)
    sent += play.receive(response(forwarded, 486), SOFTSWITCH)
    assert [datagram.status for datagram in sent[:2]] == [100, 180]
    parameters = [told(datagram) for datagram in sent if datagram.status]
    assert [(value, validity) for value, validity, _, _ in filter(None, parameters[:2])] == [(0, 0), (0, 0)]
    assert all(parameter and parameter[3] == {algorithm} for parameter in parameters)
    value, validity, _, _ = parameters[2] or (0, 0, 0, set())
    assert value > 0
    assert validity == 1000
    sequences = [parameter[2] for parameter in parameters if parameter]
    assert all(a < b for a, b in itertools.pairwise(sequences))


def test_o4_who_does_not_ask_is_told_nothing() -> None:
    play = Play()
    overload(play)
    for number in range(20):
        for sent in play.receive(invite(number)):
            assert "oc" not in " ".join(sent.all("Via")).replace("192.0.2.10", "")


def test_o4_a_trunk_may_have_it_off() -> None:
    play = Play(CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\noverload_control = false'))
    overload(play)
    (forwarded,) = play.receive(invite(1, oc=ASKS)) or play.receive(invite(2, oc=ASKS))
    assert told(forwarded) is None


def test_o4_values_of_the_next_hop_and_of_the_previous_one_are_not_relayed() -> None:
    play = Play(CONTROLLED)
    overload(play, 0.1)
    (forwarded,) = play.receive(invite(1, oc=ASKS + ";oc-seq=9.9;oc-validity=7"))
    own, previous = forwarded.all("Via")
    assert re.fullmatch(r'SIP/2.0/UDP 203.0.113.5:5060;oc;oc-algo="loss,rate";rport;branch=\w+', own)
    assert "oc" not in previous
    data = response(forwarded, 180).decode()
    data = data.replace('oc;oc-algo="loss,rate"', 'oc=70;oc-algo="loss";oc-seq=5.5', 1)
    data = data.replace(f"Via: {previous}", f"Via: {previous};oc=99;oc-seq=7.7", 1)
    (passed,) = play.receive(data.encode(), SOFTSWITCH)
    value, validity, sequence, _ = told(passed) or (None, None, 0, set())
    assert (value, validity) == (0, 0)
    assert sequence > 770_000
    (unasked,) = play.receive(invite(2), CARRIER) or play.receive(invite(3), CARRIER)
    data = response(unasked, 180).decode().replace("received=192.0.2.10", "received=192.0.2.10;oc=99;oc-seq=7.7")
    (passed,) = play.receive(data.encode(), SOFTSWITCH)
    assert "oc" not in passed.data.decode().split("Via: ")[1].split("\r\n")[0]


def test_o4_the_algorithm_of_a_client_stays_for_an_hour() -> None:
    play = Play()

    def algorithm(number: int, oc: str) -> set[str]:
        (forwarded,) = play.receive(invite(number, oc=oc))
        (passed,) = play.receive(response(forwarded, 180), SOFTSWITCH)
        parameters = told(passed)
        assert parameters
        return parameters[3]

    assert algorithm(1, ';oc;oc-algo="loss,rate"') == {"loss"}
    play.now_us += 3_599_000_000
    assert algorithm(2, ';oc;oc-algo="rate,loss"') == {"loss"}
    play.now_us += 2_000_000
    assert algorithm(3, ';oc;oc-algo="rate,loss"') == {"rate"}
    assert algorithm(4, ';oc;oc-algo="loss,rate"') == {"rate"}
    assert algorithm(5, ";oc;oc-algo=loss") == {"loss"}


def test_o4_the_one_that_honours_keeps_its_share_and_the_deaf_one_gets_no_more() -> None:
    """Both offer five times their share of 20 requests an interval; busy is what was admitted of what can be done."""
    play = Play(capacity=Capacity(transactions=65536, calls=65536))
    admitted = {HONOURING: 0, DEAF: 0}
    refused: list[Datagram] = []
    percent = 0
    number = 0
    for interval in range(200):
        busy = 0
        for offer in range(100):
            for source in (HONOURING, DEAF):
                number += 1
                if source == HONOURING and (offer * 37) % 100 < percent:
                    continue
                sent = play.receive(invite(number, oc=ASKS if source == HONOURING else "", source=source), source)
                went = sent[0].method == "INVITE"
                busy += went
                if interval >= 50:
                    admitted[source] += went
                    refused += [datagram for datagram in sent if datagram.status]
        play.now_us += WINDOW_US
        play.core.note_load(min(busy / 40 * 0.9, 1.0), 0.0, play.now_us)
        percent = play.core.load.told("loss")[0]
    share = 150 * 20
    assert admitted[HONOURING] >= 0.9 * share
    assert admitted[DEAF] <= 1.1 * admitted[HONOURING]
    assert {datagram.status for datagram in refused} == {503}
    assert {datagram.to for datagram in refused} == {DEAF}
    assert not any(datagram.all("Retry-After") for datagram in refused)


# Server: who comes first


def full(play: Play) -> int:
    """Fills the room for new calls; how many went."""
    for number in itertools.count(1):
        (sent,) = play.receive(invite(number))
        if sent.status == 503:
            return number - 1
    raise AssertionError


@pytest.mark.parametrize(
    ("parts", "configuration", "goes"),
    [
        ({"callee": "110"}, CONFIGURATION, True),
        ({"uri": "urn:service:sos"}, CONFIGURATION, True),
        ({"uri": "urn:service:sos.fire"}, CONFIGURATION, True),
        ({"headers": ["Resource-Priority: ets.0"]}, TRUSTED, True),
        ({"headers": ["resource-PRIORITY : ets.0"]}, TRUSTED, True),
        ({"headers": ["Resource-Priority: ets.0"]}, CONFIGURATION, False),
        ({}, TRUSTED, False),
    ],
)
def test_o5_emergency_and_marked_calls_have_room_when_others_have_none(
    parts: dict[str, object], configuration: str, goes: bool
) -> None:
    play = Play(configuration, capacity=Capacity(transactions=64, calls=128))
    full(play)
    (sent,) = play.receive(invite(900, **parts))
    assert (sent.method == "INVITE") == goes
    assert goes or (sent.status == 503 and sent.all("Retry-After") == [])


def test_o5_what_is_within_a_dialog_has_room() -> None:
    play = Play(capacity=Capacity(transactions=64, calls=128))
    (forwarded,) = play.receive(invite(0))
    (answer,) = play.receive(response(forwarded, 200, headers=["Contact: <sip:b@198.51.100.20>"]), SOFTSWITCH)
    play.wait(40)
    full(play)
    in_dialog = {
        "call_id": "c0",
        "to_tag": answer.tag("To"),
        "caller": "+8613800000000",
        "uri": "sip:b@198.51.100.20",
        "headers": [f"Route: {route}" for route in answer.all("Record-Route")],
    }
    for number, method in enumerate(("INVITE", "UPDATE", "BYE"), start=2):
        (sent,) = play.receive(request(method, cseq=number, branch=f"z9hG4bK-d{number}", **in_dialog))  # type: ignore[arg-type]
        assert sent.method == method


def test_o5_under_load_emergency_calls_are_not_refused() -> None:
    play = Play(capacity=Capacity(transactions=4096, calls=4096))
    overload(play, windows=20)
    refused = {"110": 0, "+862088886666": 0}
    for number in range(500):
        for callee in refused:
            (sent,) = play.receive(invite(number if callee == "110" else number + 1000, callee=callee))
            refused[callee] += sent.status == 503
    assert refused["110"] == 0
    assert refused["+862088886666"] > 450
    assert play.core.take_refused() == {0: refused["+862088886666"]}
    assert play.core.take_refused() == {}


def test_a_refused_call_is_not_screened_and_not_told() -> None:
    play = Play(capacity=Capacity(transactions=64, calls=128))
    went = full(play)
    play.receive(invite(901))
    assert play.counters["screened"] == went == len(play.events())
    assert play.counters["refused_overload"] == 2


def test_new_calls_of_one_address_are_limited() -> None:
    play = Play(CONFIGURATION + "\n[flood]\ninvites_per_s = 10\n")
    statuses = [play.receive(invite(number))[0].status for number in range(30)]
    assert 10 <= statuses.count(0) <= 12
    assert statuses.count(503) == play.counters["refused_rate"] == 30 - statuses.count(0)
    assert play.receive(invite(900, callee="110"))[0].method == "INVITE"
    assert play.receive(invite(901, source=HONOURING), HONOURING)[0].method == "INVITE"
    play.now_us += 2_000_000
    assert play.receive(invite(902))[0].method == "INVITE"


# Client: what next hops are spared


def hear(play: Play, number: int, parameters: str, source: tuple[str, int] = SOFTSWITCH) -> None:
    """A call whose 180 says this of the next hop."""
    (forwarded,) = play.receive(invite(number))
    data = response(forwarded, 180).decode().replace('oc;oc-algo="loss,rate"', parameters, 1)
    play.receive(data.encode(), source)


def test_o4_what_the_next_hop_cannot_take_goes_to_the_next_target_or_is_refused() -> None:
    play = Play(CONTROLLED)
    hear(play, 1, 'oc=100;oc-algo="loss";oc-validity=10000;oc-seq=1.0')
    (sent,) = play.receive(invite(2))
    assert (sent.method, sent.to) == ("INVITE", SPARE)
    play.receive(
        response(sent, 180).decode().replace('oc;oc-algo="loss,rate"', "oc=100;oc-validity=9000;oc-seq=1").encode(),
        SPARE,
    )
    (sent,) = play.receive(invite(3))
    assert (sent.status, sent.all("Retry-After")) == (503, [])
    assert play.counters["throttled"] == 1
    play.now_us += 10_000_000
    assert play.receive(invite(4))[0].to == SOFTSWITCH


def test_o5_category_2_goes_on_to_a_next_hop_that_takes_less() -> None:
    play = Play(CONTROLLED.replace(', { address = "198.51.100.21", priority = 2 }', ""))
    hear(play, 1, 'oc=30;oc-algo="loss";oc-validity=10000;oc-seq=1.0')
    went = {"110": 0, "+862088886666": 0}
    for number in range(2, 202):
        for callee in went:
            offset = 1000 if callee == "110" else 0
            went[callee] += play.receive(invite(number + offset, callee=callee))[0].method == "INVITE"
    assert went["110"] == 200
    assert 60 < went["+862088886666"] < 120  # 30 of 100 requests, all of them from this half


def test_a_gateway_that_was_not_asked_cannot_throttle() -> None:
    play = Play()
    (forwarded,) = play.receive(invite(1))
    assert "oc" not in forwarded.all("Via")[0]
    data = response(forwarded, 180).decode().replace(";rport", ";rport;oc=100;oc-validity=100000;oc-seq=1.0", 1)
    play.receive(data.encode(), SOFTSWITCH)
    assert play.receive(invite(2))[0].to == SOFTSWITCH


# Rejections


@pytest.mark.parametrize(("analytics", "status"), [("603+", 603), ("608", 608), ("603", 603)])
def test_o8_a_verdict_is_never_503(analytics: str, status: int) -> None:
    text = CONFIGURATION.replace('dial_plan = "cn"', f'dial_plan = "cn"\nanalytics = "{analytics}"').replace(
        'url = "https', 'card_url = "https://redress.example.net/card"\nurl = "https'
    )
    play = Play(text)
    play.prove()
    sent = [play.receive(request(branch=f"z9hG4bK-{n}", call_id=f"c{n}"))[0] for n in range(6)]
    assert sent[5].status == status
    if status == 608:
        assert sent[5].one("Call-Info") == "<https://redress.example.net/card>;purpose=jwscard"
    (denied,) = play.receive(request(caller="+862066660000", branch="z9hG4bK-d", call_id="d"))
    assert denied.status == 403


def test_o8_a_6xx_from_downstream_goes_up_as_it_came() -> None:
    play = Play()
    (forwarded,) = play.receive(invite(1))
    sent = play.receive(response(forwarded, 607, "Unwanted"), SOFTSWITCH)
    assert [datagram.first_line for datagram in sent if datagram.status] == ["SIP/2.0 607 Unwanted"]
