"""Outgoing messages in the making: what a node says, sealed by its key and put on its topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from proxy.control.decisions import Decision
from proxy.control.sync.frames import LIFE_SHIFT, Signer
from proxy.control.sync.keys import group_of, place_of
from proxy.control.sync.records import (
    Callees,
    Complainants,
    Demand,
    Evidence,
    Generation,
    Lease,
    RecordType,
    Region,
    Verdict,
    write_decisions,
    write_evidence,
    write_generations,
    write_keyed,
)
from proxy.control.sync.repair import Answer, Request, Summary
from proxy.control.sync.topics import Outgoing, Topics

RECORDS_A_FRAME = 400  # of the largest sort, 150 bytes each, a frame holds so many; deflating is no promise
DECISIONS_A_FRAME = 40
Record = TypeVar("Record")
_encode = msgspec.msgpack.Encoder().encode


class Sealer:
    """Its status frames are ordered by how often this life has connected; the will is the last of its connection."""

    def __init__(self, topics: Topics, node: str, region: str, signer: Signer) -> None:
        self._topics = topics
        self._node = node
        self._region = region
        self._signer = signer
        self._connection = 0
        self._statuses = 0

    @property
    def epoch(self) -> int:
        return self._signer.epoch

    def evidence(self, epoch: int, records: Sequence[Evidence], hlc: int, trust: int) -> Iterator[Outgoing]:
        for group, some in _by_group(records, [key for key, _, _ in records]):
            for part in _split(some):
                frame = self._signer.seal(RecordType.EVIDENCE, write_evidence(part), hlc, trust, epoch=epoch)
                yield Outgoing(self._topics.up(self._region, self._node, group), frame, expiry_s=60)

    def sketches(self, records: Sequence[Complainants] | Sequence[Callees], hlc: int, trust: int) -> Iterator[Outgoing]:
        for group, some in _by_group(list(records), [record.key for record in records]):
            kind = RecordType.COMPLAINANTS if isinstance(some[0], Complainants) else RecordType.CALLEES
            for part in _split(some):
                frame = self._signer.seal(kind, write_keyed(part), hlc, trust)
                yield Outgoing(self._topics.up(self._region, self._node, group), frame, expiry_s=60)

    def regions(self, records: Sequence[Region], hlc: int, trust: int) -> Iterator[Outgoing]:
        for group, some in _by_group(records, [record.key for record in records]):
            for part in _split(some):
                frame = self._signer.seal(RecordType.REGION, write_keyed(part), hlc, trust)
                yield Outgoing(self._topics.region(self._region, group), frame, expiry_s=120)

    def verdicts(self, records: Sequence[Verdict], hlc: int, trust: int) -> Iterator[Outgoing]:
        for group, some in _by_group(records, [record.key for record in records]):
            for part in _split(some):
                frame = self._signer.seal(RecordType.VERDICT, write_keyed(part), hlc, trust)
                yield Outgoing(self._topics.down(group), frame, expiry_s=300)

    def leases(self, records: Sequence[Lease], hlc: int, trust: int) -> Iterator[Outgoing]:
        for group, some in _by_group(records, [record.key for record in records]):
            for part in _split(some):
                frame = self._signer.seal(RecordType.LEASE, write_keyed(part), hlc, trust)
                yield Outgoing(self._topics.hot(group), frame, qos=0, expiry_s=10)

    def demands(self, records: Sequence[Demand], hlc: int, trust: int) -> Iterator[Outgoing]:
        for part in _split(records):
            frame = self._signer.seal(RecordType.DEMAND, write_keyed(part), hlc, trust)
            yield Outgoing(self._topics.demands(self._region, self._node), frame, qos=0, expiry_s=10)

    def signed_decisions(
        self, decisions: Iterable[Decision], hlc: int, trust: int
    ) -> Iterator[tuple[Outgoing, list[Decision]]]:
        """Messages, each with the decisions in it."""
        by_namespace: dict[str, list[Decision]] = {}
        for decision in decisions:
            by_namespace.setdefault(decision.ns, []).append(decision)
        for namespace, of_one in by_namespace.items():
            for part in _split(of_one, DECISIONS_A_FRAME):
                frame = self._signer.seal(RecordType.DECISION, write_decisions(part), hlc, trust)
                yield Outgoing(self._topics.decisions(namespace), frame), part

    def generations(self, namespace: str, records: Sequence[Generation], hlc: int, trust: int) -> Iterator[Outgoing]:
        for part in _split(records):
            frame = self._signer.seal(RecordType.GENERATION, write_generations(part), hlc, trust)
            yield Outgoing(self._topics.decisions(namespace), frame)

    def summary(self, summary: Summary, hlc: int, trust: int) -> Outgoing:
        frame = self._signer.seal(RecordType.SUMMARY, _encode(summary), hlc, trust)
        return Outgoing(self._topics.summary(self._node), frame, retain=True, expiry_s=120)

    def request(self, request: Request, to: str | None, group: int, hlc: int, trust: int) -> Outgoing:
        """to: a node, None = any one that answers."""
        topic = self._topics.request(group) if to is None else self._topics.inbox(to)
        return Outgoing(topic, self._signer.seal(RecordType.REQUEST, _encode(request), hlc, trust), expiry_s=30)

    def answer(self, answer: Answer, to: str, hlc: int, trust: int) -> Outgoing:
        frame = self._signer.seal(RecordType.ANSWER, _encode(answer), hlc, trust)
        return Outgoing(self._topics.inbox(to), frame, expiry_s=60)

    def status(self, fields: Sequence[object], hlc: int, trust: int) -> Outgoing:
        """fields: [up, epoch, build, lag_ms, dirty, peers]."""
        self._statuses += 1
        return self._status(fields, hlc, trust, self._connection << 16 | self._statuses)

    def will(self, fields: Sequence[object], hlc: int, trust: int) -> Outgoing:
        """The last word of a connection that is about to begin, for the broker to say."""
        self._connection += 1
        self._statuses = 0
        return self._status(fields, hlc, trust, self._connection << 16 | 0xFFFF)

    def _status(self, fields: Sequence[object], hlc: int, trust: int, seq: int) -> Outgoing:
        seq &= (1 << LIFE_SHIFT) - 1
        frame = self._signer.seal_as(RecordType.STATUS, _encode(list(fields)), hlc, trust, self._signer.epoch, seq)
        return Outgoing(self._topics.status(self._node), frame, retain=True, expiry_s=3600)


def _by_group(records: Sequence[Record], keys: Sequence[int]) -> Iterator[tuple[int, list[Record]]]:
    groups: dict[int, list[Record]] = {}
    for record, key in zip(records, keys, strict=True):
        groups.setdefault(group_of(place_of(key)[0]), []).append(record)
    yield from groups.items()


def _split(records: Iterable[Record], size: int = RECORDS_A_FRAME) -> Iterator[list[Record]]:
    rest = iter(records)
    while part := list(islice(rest, size)):
        yield part
