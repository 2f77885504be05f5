"""What comes from the broker: opened, checked against who may say what where, taken in. Nothing bad in it raises."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from proxy.control.decisions import Decision
from proxy.control.hybrid_clock import MAX_AHEAD_MS, HybridClock, milliseconds_of
from proxy.control.sync.frames import Frame, open_frame
from proxy.control.sync.known_frames import KnownFrames
from proxy.control.sync.records import (
    Callees,
    Complainants,
    Demand,
    Lease,
    RecordType,
    Refused,
    Region,
    Unsigned,
    Word32,
    decode,
    read_decisions,
    read_generations,
    read_keyed,
)
from proxy.control.sync.repair import (
    Repair,
    Request,
    What,
    answer_decoder,
    request_decoder,
    summary_decoder,
)
from proxy.control.sync.replay import Windows
from proxy.control.sync.replica import Replica
from proxy.control.sync.topics import ALLOWED, Branch, Topics
from proxy.control.sync.trust import Member, Role, Trust, open_bundle


class Status(msgspec.Struct, array_like=True, frozen=True):
    """dirty: keys that it has still to tell. peers: members that it sees."""

    up: bool
    epoch: Word32
    build: Word32 = 0
    lag_ms: Unsigned = 0
    dirty: Unsigned = 0
    peers: Annotated[int, Meta(ge=0)] = 0


_status = msgspec.msgpack.Decoder(Status)

ROLE_OF = {Branch.REGION: Role.REDUCER, Branch.DOWN: Role.TOP, Branch.HOT: Role.TOP, Branch.DECISIONS: Role.AUTHORITY}


RANKED_BY_TRUST = frozenset({RecordType.REGION, RecordType.VERDICT})  # words under a newer bundle outrank all others
MAX_EARLY = 100  # frames under a bundle that is not known yet


class Inbound:
    """ask: of a member, or of any that answers. on_restart: a member is there that was not, or is in a new life."""

    def __init__(
        self,
        replica: Replica,
        repair: Repair,
        clock: HybridClock,
        root: Ed25519PublicKey,
        topics: Topics,
        counts: Counter[str],
        *,
        ask: Callable[[Request, Member | None], None],
        answer: Callable[[Request, Member], None],
        on_decisions: Callable[[list[Decision]], None],
        on_trust: Callable[[Trust, bytes], None],
        on_restart: Callable[[Member], None],
        on_leases: Callable[[Member, list[Lease]], None],
        on_demands: Callable[[Member, list[Demand]], None],
    ) -> None:
        self.statuses: dict[int, Status] = {}
        self.summaries_ms: dict[int, int] = {}
        self.windows = Windows()
        self._replica = replica
        self._repair = repair
        self._clock = clock
        self._root = root
        self._topics = topics
        self._counts = counts
        self._ask = ask
        self._answer = answer
        self._on_decisions = on_decisions
        self._on_trust = on_trust
        self._on_restart = on_restart
        self._on_leases = on_leases
        self._on_demands = on_demands
        self._now_ms = 0
        self._known = KnownFrames()
        self._bundle = b""  # that came last and was good
        self._early: deque[tuple[Branch, list[str], Frame, Member]] = deque(maxlen=MAX_EARLY)

    def on_frame(self, topic: str, payload: bytes, now_ms: int) -> None:
        self._now_ms = now_ms
        try:
            parsed = self._topics.parse(topic)
            if parsed is None:
                raise Refused("topic")
            branch, levels = parsed
            if branch is Branch.TRUST:
                self.take_bundle(payload)
            else:
                self._take(branch, levels, payload)
        except Refused as refused:
            self._counts[f"refused: {refused.why}"] += 1

    def forget(self, origin: int) -> None:
        """It is no member any more."""
        self.windows.forget(origin)
        self.statuses.pop(origin, None)
        self.summaries_ms.pop(origin, None)

    def take_bundle(self, raw: bytes) -> None:
        if raw == self._bundle:
            return
        bundle = open_bundle(raw, self._root)
        self._bundle = raw
        if bundle.version > self._replica.trust.version:
            self._on_trust(Trust(bundle), raw)
            self._take_early()

    def _take_early(self) -> None:
        """What was said under a bundle that was not known. Who says so of one that there is not is never heard."""
        trust = self._replica.trust
        early = [self._early.popleft() for _ in range(len(self._early))]
        for branch, levels, frame, member in early:
            if frame.trust > trust.version:
                self._early.append((branch, levels, frame, member))
            elif trust.by_origin(member.origin) is not None:
                try:
                    self._dispatch(branch, levels, frame, member)
                except Refused as refused:
                    self._counts[f"refused: {refused.why}"] += 1

    def take_frames(self, raws: list[bytes]) -> None:
        """Signed frames of decisions and generations, out of a log: when they were sent does not matter."""
        for raw in raws:
            if raw in self._known:
                continue
            try:
                frame, member = open_frame(raw, self._replica.trust.by_kid_ever, self._now_ms, relayed=True)
                if frame.type not in ALLOWED[Branch.DECISIONS] or not member.has(Role.AUTHORITY):
                    raise Refused("role")
                self._take_decisions(frame, None)
                self._known.add(raw)
            except Refused as refused:
                self._counts[f"refused: {refused.why}"] += 1

    def _take(self, branch: Branch, levels: list[str], payload: bytes) -> None:
        frame, member = open_frame(payload, self._replica.trust.by_kid, self._now_ms)
        if member.origin == self._replica.own:
            if branch is Branch.STATUS:
                return
            raise Refused("own")
        self._check_right(branch, levels, frame, member)
        self.windows.admit(frame)
        try:
            self._clock.observe(frame.hlc, self._now_ms)
        except ValueError:
            raise Refused("ahead") from None
        if frame.trust > self._replica.trust.version:
            self._ask(Request(What.TRUST), member)
            if frame.type in RANKED_BY_TRUST:
                self._early.append((branch, levels, frame, member))
                self._counts[f"early: {frame.type.name.lower()}"] += 1
                return
        self._counts[f"taken: {frame.type.name.lower()}"] += 1
        self._dispatch(branch, levels, frame, member)

    def _check_right(self, branch: Branch, levels: list[str], frame: Frame, member: Member) -> None:
        if frame.type not in ALLOWED[branch]:
            raise Refused("type")
        owned = {
            Branch.UP: [member.region, member.name],
            Branch.REGION: [member.region],
            Branch.STATUS: [member.name],
            Branch.SUMMARY: [member.name],
        }.get(branch, [])
        if levels[: len(owned)] != owned:
            raise Refused("owner")
        if branch in ROLE_OF and not member.has(ROLE_OF[branch]):
            raise Refused("role")

    def _dispatch(self, branch: Branch, levels: list[str], frame: Frame, member: Member) -> None:
        replica, now_s = self._replica, self._now_ms // 1000
        match frame.type:
            case RecordType.EVIDENCE:
                replica.take_evidence(member.origin, frame.epoch, frame.records)
            case RecordType.COMPLAINANTS:
                replica.merge_complainants(read_keyed(frame.records, Complainants))
            case RecordType.CALLEES:
                replica.merge_callees(read_keyed(frame.records, Callees))
            case RecordType.REGION:
                replica.merge_regions(member.region, frame.trust, read_keyed(frame.records, Region), self._now_ms)
            case RecordType.VERDICT:
                replica.merge_verdicts(member.origin, frame.hlc, frame.trust, frame.records, now_s)
            case RecordType.DECISION | RecordType.GENERATION:
                self._take_decisions(frame, levels[0])
            case RecordType.LEASE:
                self._on_leases(member, read_keyed(frame.records, Lease))
            case RecordType.DEMAND:
                self._on_demands(member, read_keyed(frame.records, Demand))
            case RecordType.STATUS:
                self._take_status(frame, member)
            case RecordType.SUMMARY:
                self.summaries_ms[member.origin] = self._now_ms
                for request in self._repair.compare(member, decode(summary_decoder, frame.records)):
                    self._ask(request, member)
            case RecordType.REQUEST:
                self._answer(decode(request_decoder, frame.records), member)
            case RecordType.ANSWER:
                self._take_answer(frame, member)

    def _take_answer(self, frame: Frame, member: Member) -> None:
        answer = decode(answer_decoder, frame.records)
        if answer.what is What.TRUST:
            self.take_bundle(answer.records)
            return
        for request in self._repair.take(member, answer, frame.hlc, self._now_ms // 1000):
            self._ask(request, member)

    def _take_decisions(self, frame: Frame, namespace: str | None) -> None:
        """namespace: that of the topic they came on."""
        if frame.type is RecordType.GENERATION:
            self._replica.merge_generations(read_generations(frame.records))
            return
        decisions = read_decisions(frame.records, frame.origin, self._now_ms // 1000)
        if namespace is not None and any(decision.ns != namespace for decision in decisions):
            raise Refused("owner")
        if any(milliseconds_of(decision.hlc) > self._now_ms + MAX_AHEAD_MS for decision in decisions):
            raise Refused("ahead")
        won = self._replica.decisions.merge(decisions, frame.raw)
        if won:
            self._on_decisions(won)

    def _take_status(self, frame: Frame, member: Member) -> None:
        status = decode(_status, frame.records)
        before = self.statuses.get(member.origin)
        self.statuses[member.origin] = status
        if status.up and (before is None or before.epoch != status.epoch or not before.up):
            self._on_restart(member)
