"""C5: nodes of this version beside a next one, for an hour: what they do not know they pass over, and all are equal.

The next version's frames are those of today with a field more at the end of everything that has an end: envelopes,
bodies, records, heads, members of the trust bundle. Evidence (E) is pairs up to its end: a metric that nobody knows yet
would come in a record type of its own. Such types, on today's topics, are here too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from proxy.control.sync.frames import FORMAT, Signer
from proxy.control.sync.metrics import Metric
from proxy.control.sync.records import RecordType
from proxy.control.sync.sealed import Sealer
from proxy.control.sync.topics import Outgoing
from proxy.control.sync.trust import Role
from tests.abuse.size import size
from tests.proxy.sync.fleet import EVERYTHING, FLEET, ROOT, Fleet, block, member, number, private_key

MORE: list[object] = ["newer", {"more": [1, 2]}, 1 << 63, b"octets", True, None]
NEWER = "node-2", "node-4"
HOUR_S = 3600
TURN_S = 10
UNKNOWN_TYPE = 90
ONE_ROW = frozenset({RecordType.SUMMARY, RecordType.STATUS, RecordType.REQUEST, RecordType.ANSWER})

encode = msgspec.msgpack.encode
decode = msgspec.msgpack.decode


def signed(name: str, kid: int, body: list[Any]) -> bytes:
    """A frame as a node's next version signs it."""
    data = encode([*body, *MORE])
    return encode([data, kid, private_key(name).sign(data), *MORE])


class NewerSigner(Signer):
    """kid, name: of the node whose next version it is."""

    def __init__(self, name: str, kid: int, origin: int, epoch: int) -> None:
        super().__init__(private_key(name), kid, origin, epoch)
        self.whose = name, kid

    def seal_as(self, kind: RecordType, records: bytes, hlc: int, trust: int, epoch: int, seq: int) -> bytes:
        told = decode(records)
        if kind in ONE_ROW:
            told += MORE
        elif kind is not RecordType.EVIDENCE:
            told = [[*row, *MORE] for row in told]
        return signed(*self.whose, [FORMAT, kind, self.origin, epoch, seq, hlc, trust, 0, told])

    def unknown(self, fleet: Fleet, seq: int) -> bytes:
        """A frame of a type that comes with the next version."""
        body = [FORMAT, UNKNOWN_TYPE, self.origin, self.epoch, seq, fleet.hlc(), 1, 0, [["what it holds", 7]]]
        return signed(*self.whose, body)


def upgrade(fleet: Fleet, name: str) -> NewerSigner:
    """A new life of a node, of the next version."""
    node = fleet.start(name)
    fleet.epochs[name] += 1
    signer = NewerSigner(name, node.member.kid, node.member.origin, fleet.epochs[name])
    node.outbound.sealer = Sealer(node.topics, name, node.member.region, signer)
    fleet.connect(name)
    return signer


def newer_bundle(raw: bytes) -> bytes:
    """As the next version's authority would sign it."""
    format_, version, salt, members, revoked, parameters = decode(decode(raw)[0])
    members = [[*each, *MORE] for each in members]
    body = encode([format_, version + 1, salt, members, revoked, [*parameters, *MORE], *MORE])
    return encode([body, ROOT.sign(body), *MORE])


def tree() -> Fleet:
    """Two that judge, one of each version, and a region of both versions."""
    roles = {1: EVERYTHING, 2: EVERYTHING, 3: Role.REDUCER, 4: Role.REDUCER}
    return Fleet([member(at, f"node-{at}", roles.get(at, Role.PROXY)) for at in range(1, 7)], mesh=False)


def mesh() -> Fleet:
    return Fleet([member(at, f"node-{at}") for at in range(1, 5)])


def talk(fleet: Fleet, dice: random.Random, turn: int) -> None:
    name = dice.choice(list(fleet.nodes))
    node, key = fleet.nodes[name], number(dice.randrange(100, 160))
    node.observe(key, dice.choice([Metric.CALLS, Metric.INVALID_CALLEE]), fleet.now_ms)
    node.complain(key, f"person-{turn}", fleet.now_ms)
    node.called(key, turn, fleet.now_ms)
    fleet.decide(dice.choice(("node-1", "node-2")), block(number(dice.randrange(200, 220)), fleet.hlc()))
    if turn % 10 == 0:
        fleet.nodes["node-2"].forgive([key], fleet.now_ms)


@pytest.mark.parametrize("make", [mesh, tree])
def test_c5_two_versions_beside_each_other(make: Callable[[], Fleet]) -> None:
    fleet, dice = make(), random.Random(5)
    signers = [upgrade(fleet, name) for name in NEWER]
    older = [node for name, node in fleet.nodes.items() if name not in NEWER]
    turns = size(60, HOUR_S // TURN_S)
    for turn in range(turns):
        talk(fleet, dice, turn)
        signer = dice.choice(signers)
        topic = dice.choice(("up/one/node-1/0", "dec/operator", "dn/3", "hot/0", "sum/node-1", "st/node-1"))
        fleet.publish("node-2", Outgoing(f"callsieve/1/{FLEET}/{topic}", signer.unknown(fleet, 1 << 20 | turn)))
        fleet.run(TURN_S)
    fleet.nodes["node-2"].inbound.take_bundle(newer_bundle(fleet.trust_raw))
    fleet.run(240)
    assert {node.trust.version for node in fleet.nodes.values()} == {2}, "a bundle of the next version is read"
    assert_equal(fleet)
    for node in older:
        why = {what for what, count in node.counts.items() if count and what.startswith("refused")}
        assert "refused: msgpack" in why and why <= {"refused: msgpack", "refused: own", "refused: epoch"}
        assert node.counts["refused: msgpack"] <= turns, "unknown types, and nothing else"


def assert_equal(fleet: Fleet) -> None:
    """Decisions everywhere; verdicts in force too; evidence where nodes hold the same by their role."""
    nodes = fleet.nodes.values()
    assert len({(len(node.replica.decisions), node.replica.decisions.hash) for node in nodes}) == 1
    assert len(fleet.nodes["node-1"].replica.decisions) > 10
    reducers = [node for node in nodes if fleet.mesh or node.replica.reduces]
    alike = [node for node in reducers if fleet.mesh or not node.member.has(Role.TOP)]
    assert len({node.replica.evidence.digest.roots() for node in alike}) == 1
    assert len(alike[0].replica.evidence) > 10
    in_force = [{key: band for key, band in bands.items() if band} for bands in fleet.bands.values()]
    assert in_force[0] and all(bands == in_force[0] for bands in in_force)
