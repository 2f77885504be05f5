"""Record H: how many people a caller has called within an hour, counted by several nodes and told as a sketch."""

from __future__ import annotations

from proxy.control.sync.decay import HOUR_MS
from proxy.control.sync.metrics import Metric
from proxy.control.sync.sketches import distinct_callees
from tests.proxy.sync.fleet import Fleet, Weather, mesh_of, number

CALLER = number(8613900000000)
FOUR_SIGMA = 4 * 0.13


def call(fleet: Fleet, name: str, callees: range) -> None:
    node = fleet.nodes[name]
    for callee in callees:
        node.observe(CALLER, Metric.CALLS, fleet.now_ms)
        node.called(CALLER, number(callee), fleet.now_ms)


def estimates(fleet: Fleet) -> list[float]:
    hour = fleet.now_ms // HOUR_MS
    sketches = [node.replica.sketches.callees(CALLER, 0).get(hour) for node in fleet.nodes.values()]
    return [0.0 if registers is None else distinct_callees(registers) for registers in sketches]


def test_m1_distinct_callees_of_several_nodes_are_one_number_everywhere() -> None:
    fleet = mesh_of(3)
    fleet.run(2)
    call(fleet, "node-1", range(1000, 1100))
    call(fleet, "node-2", range(1050, 1150))  # half of them the same people
    call(fleet, "node-1", range(1000, 1100))
    fleet.run(12)
    found = estimates(fleet)
    assert len(set(found)) == 1
    assert abs(found[0] - 150) <= FOUR_SIGMA * 150


def test_m1_repeated_and_reordered_sketches_change_nothing() -> None:
    fleet = mesh_of(2, weather=Weather(duplicates=0.9, delay_ms=3000))
    call(fleet, "node-1", range(1000, 1040))
    fleet.run(15)
    first = estimates(fleet)
    fleet.run(15)
    assert estimates(fleet) == first
    assert first[0] == first[1] > 0


def test_a_number_that_called_once_has_no_sketch() -> None:
    fleet = mesh_of(2)
    call(fleet, "node-1", range(1000, 1001))
    fleet.run(12)
    assert estimates(fleet) == [0.0, 0.0]
