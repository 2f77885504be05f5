"""O1, O3, O6, O7: several times the load that can be borne, a silent next hop, an avalanche of REGISTERs, a storm."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from proxy.config import Capacity
from tests import policies
from tests.abuse.avalanche import Avalanche
from tests.abuse.busy_worker import BusyWorker
from tests.abuse.memory import resident_bytes
from tests.abuse.size import size
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, Datagram, Play, response

C0 = 300  # calls a second
ONE_TARGET = CONFIGURATION.replace(', { address = "198.51.100.21", priority = 2 }', "")


def invite(number: int, callee: str = "+862088886666") -> bytes:
    key = {"branch": f"z9hG4bK-{number:x}", "call_id": f"{number:x}@over", "from_tag": f"{number:x}"}
    return request(caller=f"+8613{number:09}", callee=callee, **key)


# O1


@pytest.mark.parametrize(("factor", "least"), [(0.5, 0.49), (1.0, 0.9), (2.0, 0.9), (5.0, 0.9), (10.0, 0.8)])
def test_o1_goodput_holds_under_several_times_the_load(factor: float, least: float) -> None:
    play = Play(capacity=Capacity(transactions=65_536, calls=65_536))
    worker = BusyWorker(play, C0, invite)
    worker.offer(0.5, 1.0)
    worker.offer(factor, 2.0)  # until the control has settled
    goodput = worker.offer(factor, size(5.0, 120.0))
    print(f"O1: {factor:g} times C0 offered, {goodput:.2f} of it carried, {worker.refused} refused")
    assert goodput >= least
    worker.offer(0.9, 10.0)
    assert worker.offer(0.9, 2.0) >= 0.98 * 0.9, "after ten seconds all is carried again"


# O3


def test_o3_a_silent_next_hop_is_asked_once_a_call_and_all_is_well_after() -> None:
    """Calls at a steady rate, the next hop silent for half a minute; each caller repeats its INVITE."""
    play = Play(ONE_TARGET, capacity=Capacity(transactions=4096, calls=4096))
    a_second = size(5, 50)
    silent: list[int] = []
    branches: dict[str, Counter[str]] = {}
    repeats: dict[int, list[int]] = {}
    for second in range(30):
        for place in range(a_second):
            number = 1 + second * a_second + place
            silent.append(number)
            note(branches, play.receive(invite(number)))
            for after in (1, 2, 4, 8, 16):
                repeats.setdefault(second + after, []).append(number)
        for number in repeats.get(second, ()):
            assert all(each.status for each in play.receive(invite(number))), "a repeat goes no further"
        note(branches, play.wait(1.0))
    assert play.counters["screened"] == len(silent), "the engine is asked once a call"
    assert len(branches) == len(silent)
    assert all(len(of_call) == 1 for of_call in branches.values()), "no second branch"
    assert max(sent for of_call in branches.values() for sent in of_call.values()) <= 7

    carried = offered = 0
    for second in range(10):  # it is back
        for place in range(a_second):
            sent = play.receive(invite(100_000 + second * a_second + place))
            answered = [status for each in sent if each.method for status in up(play, each)]
            carried += second >= 5 and 200 in answered
            offered += second >= 5
        play.wait(1.0)
    assert carried >= 0.95 * offered


def note(branches: dict[str, Counter[str]], sent: list[Datagram]) -> None:
    """Each INVITE sent to the next hop, by call and branch."""
    for each in sent:
        if each.method == "INVITE":
            branches.setdefault(each.one("Call-ID"), Counter())[each.branch] += 1


def up(play: Play, invite_sent: Datagram) -> list[int]:
    return [each.status for each in play.receive(response(invite_sent, 200), SOFTSWITCH)]


# O6

REGISTRAR = CONFIGURATION.replace('sources = ["192.0.2.0/24"]', 'sources = ["192.0.2.0/24", "10.0.0.0/8"]').replace(
    'route = "softswitch"', 'route = "softswitch"\nmethods_allowed = ["REGISTER"]'
)


def test_o6_an_avalanche_of_registers_leaves_calls_their_part_and_is_drained_in_a_minute() -> None:
    """For ten seconds three fifths as many as calls, from a thousand addresses, and all the calls that can be carried.

    On the reference machine these are 100,000 registrations; here the processor is as much smaller. Calls come before
    registrations, so these end when calls leave room: four fifths of them go on for the rest of the minute.
    """
    c0 = size(300, 1000)
    play = Play(REGISTRAR, capacity=Capacity(transactions=65_536, calls=65_536))
    avalanche = Avalanche(play, size(1800, 6000), sources=size(300, 1000), spread_s=10.0)
    worker = BusyWorker(play, c0, invite, avalanche.arriving)
    worker.offer(1.0, 3.0)  # until the control has settled
    avalanche.begin()
    goodput = worker.offer(1.0, 10.0)
    print(f"O6: {goodput:.2f} of C0 carried beside, {avalanche.refusals} REGISTERs refused")
    assert goodput >= 0.8
    worker.offer(0.8, 50.0)
    assert not avalanche.waiting, "after a minute everybody is registered"
    assert resident_bytes() <= 10**9


# O7

STORM = (
    CONFIGURATION.replace("calls = 5", "calls = 1000")
    + policies.table("limit", name="storm", key="trunk", calls=10, period_s=1, outcome="tag", label="loans")
    + policies.table("limit", name="hourly", key="caller", calls=6, period_s=3600)
)
REGULARS, CALLERS = 400, 10_000


def test_o7_a_storm_of_new_callers_is_recognised_and_leaves_the_regulars_known() -> None:
    """CALLERS that were never seen, each once, to a block of callees in a minute, and a table for 4,096.

    A regular has had all the calls of its hour: one that is forgotten would be let through again.
    """
    play = Play(STORM, capacity=Capacity(transactions=65_536, calls=65_536))
    for number in range(REGULARS * 6):
        play.now_us += 100_000
        assert arrives(play, number, 1_000_000_000 + number % REGULARS)
    budget = file_sizes(play)
    tagged_before = play.counters["tagged"]
    for number in range(10_000, 10_000 + CALLERS):
        play.now_us += 60_000_000 // CALLERS
        assert arrives(play, number, number, f"+8620888866{number % 100:02}")
        if number % 500 == 0:
            play.core.handle_timer(play.now_us, play.out)
            play.sent()
            play.events()
    assert play.counters["tagged"] - tagged_before >= 0.9 * CALLERS, "by its trunk, though no caller is seen twice"
    forgotten = sum(arrives(play, 200_000 + number, 1_000_000_000 + number) for number in range(REGULARS))
    assert forgotten <= 0.05 * REGULARS
    assert file_sizes(play) == budget


def arrives(play: Play, number: int, caller: int, callee: str = "+862088886666") -> bool:
    """Whether this call goes on; its callee is busy."""
    sent = play.receive(invite(number, callee).replace(b"+8613%09d" % number, b"+861%010d" % caller), CARRIER)
    for each in sent:
        if each.method == "INVITE":
            play.receive(response(each, 486), SOFTSWITCH)
            return True
    return False


def file_sizes(play: Play) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in Path(play.directory.name).glob("*.tbl")}
