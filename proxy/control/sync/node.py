"""A node of the fleet without I/O: frames and time go in, messages and changes come out.

    node.on_frame(topic, payload, now_ms)          whatever came; nothing that is wrong with it raises
    node.on_tick(now_ms) -> [Outgoing, ...]        four times a second
    node.observe(...), complain(...), decide(...)  what happened here
    node.take_decisions(), take_bands(...)         what is to be put into force

A mesh and a tree are the same code: in a mesh every node is a reducer and judges by itself; in a tree the roles of the
trust bundle say who sums up a region, who judges, and who only takes verdicts.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from proxy.control.decisions import Act, Decision
from proxy.control.evidence_slots import Slot
from proxy.control.hybrid_clock import HybridClock, stamp_of
from proxy.control.sync.decay import DAY_MS, HOUR_MS, UNIT
from proxy.control.sync.fleet_limits import FleetLimits
from proxy.control.sync.frames import Signer
from proxy.control.sync.inbound import Inbound, Status
from proxy.control.sync.joining import Joining
from proxy.control.sync.keys import SHARDS, group_of
from proxy.control.sync.metrics import Metric
from proxy.control.sync.outbound import Outbound
from proxy.control.sync.outbox import MAX_KEYS
from proxy.control.sync.own import OwnEvidence
from proxy.control.sync.pacing import Pacing
from proxy.control.sync.records import Generation
from proxy.control.sync.repair import Repair, Request, What
from proxy.control.sync.replica import TICK_MS, Replica
from proxy.control.sync.sealed import Sealer
from proxy.control.sync.sketches import add_callee, callee_hash, complainant_hash, no_callees
from proxy.control.sync.summary_times import SummaryTimes
from proxy.control.sync.topics import Outgoing, Topics, all_groups
from proxy.control.sync.trust import Member, Role, Trust

JUDGED_AT_ONCE = 2000
MAX_UNSAID = 10_000  # keys and messages; who has so much to say judges no faster than it ticks
TICK_MS_OF_JUDGING = 250
BEHIND_MS = 10_000  # a judge so far behind has begun anew, and what it does not say is not its opinion
TOMBSTONES_MS = 30 * DAY_MS
SNAPSHOT_FIRST_MS = 7 * DAY_MS  # who was away for longer takes the decisions of the others before it says anything
STALE_MS = 60_000
TRUST_BYTES_A_TICK = 4096  # a larger bundle (80 KB with a thousand members) is told more seldom; versions tell of it
BUILD = 1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is. mesh: it judges for itself."""

    fleet: str
    name: str
    key: Ed25519PrivateKey
    root: Ed25519PublicKey
    mesh: bool = True
    bytes_per_s: float = 1_000_000.0
    max_dirty_keys: int = MAX_KEYS


class Node:
    """trust_raw: the bundle in force as it was signed. last_seen_ms: when it was last part of the fleet, 0 = never."""

    def __init__(
        self,
        identity: Identity,
        trust: Trust,
        trust_raw: bytes,
        epoch: int,
        clock: HybridClock,
        now_ms: int,
        *,
        last_seen_ms: int = 0,
        is_protected: Callable[[Decision], bool] = lambda _: False,
    ) -> None:
        member = trust.by_name(identity.name)
        if member is None:
            raise ValueError(f"{identity.name} is no member of the fleet by its trust bundle {trust.version}")
        self.identity = identity
        self.member = member
        self.trust_raw = trust_raw
        self.counts: Counter[str] = Counter()
        self.topics = Topics(identity.fleet)
        self.must_catch_up = bool(last_seen_ms) and now_ms - last_seen_ms > SNAPSHOT_FIRST_MS
        self.limits = FleetLimits(member, trust, now_ms)
        top = member.has(Role.TOP)
        self.replica = Replica(
            member.origin,
            trust,
            judges=identity.mesh or top,
            reduces=not identity.mesh and member.has(Role.REDUCER),
            is_protected=is_protected,
        )
        self._clock = clock
        self._own = OwnEvidence()
        signer = Signer(identity.key, member.kid, member.origin, epoch)
        self.outbound = Outbound(
            self.replica,
            Sealer(self.topics, identity.name, member.region, signer),
            Pacing(identity.bytes_per_s, now_ms),
            identity.max_dirty_keys,
        )
        self.repair = Repair(
            self.replica,
            identity.mesh,
            member.region,
            self._tell_again,
            lambda raws: self.inbound.take_frames(raws),
            Joining(() if identity.mesh or top else range(SHARDS)),
        )
        self.inbound = Inbound(
            self.replica,
            self.repair,
            clock,
            identity.root,
            self.topics,
            self.counts,
            ask=self._ask,
            answer=self._answer,
            on_decisions=self._decided,
            on_trust=self._on_trust,
            on_restart=self._on_restart,
            on_leases=lambda member, leases: self.limits.on_leases(member, leases, self._now_ms),
            on_demands=lambda member, demands: self.limits.on_demands(member, demands, self._now_ms),
        )
        self._new_decisions: list[Decision] = []
        self._proposals: dict[tuple[str, int, int], Decision] = {}
        self._new_trust = False
        self._unsaved: set[int] = set()
        self._gone: list[int] = []
        self._grid = now_ms // TICK_MS
        self._summary_times = SummaryTimes()
        self._now_ms = now_ms
        self._connected = False

    @property
    def epoch(self) -> int:
        return self.outbound.sealer.epoch

    @property
    def trust(self) -> Trust:
        return self.replica.trust

    # --- What happened here -------------------------------------------------------------------------------------------

    def observe(self, key: int, metric: Metric, now_ms: int, events: int = UNIT) -> None:
        """events: in units of 1/65,536."""
        self._own.add(key, metric, now_ms, events)

    def complain(self, key: int, complainant: str, now_ms: int, events: int = UNIT) -> None:
        """complainant: whoever it is, in any words; only a keyed hash of the day leaves the node."""
        day = now_ms // DAY_MS
        hashed = complainant_hash(self.trust.bundle.salt, complainant, key, day)
        if self.replica.sketches.merge_complainants(key, self.replica.evidence.generation(key), day, [hashed]):
            self.outbound.complained(key, day)
        self.observe(key, Metric.COMPLAINTS, now_ms, events)

    def called(self, key: int, callee: int, now_ms: int) -> None:
        """Whom a caller has called counts from its second call on; only a sketch of the hour leaves the node."""
        if self._own.is_one_off(key, now_ms):
            return
        hour, gen = now_ms // HOUR_MS, self.replica.evidence.generation(key)
        registers = add_callee(no_callees(), callee_hash(self.trust.bundle.salt, callee, key, hour))
        if self.replica.sketches.merge_callees(key, gen, hour, registers):
            self.outbound.called(key, hour)

    def decide(self, decisions: Iterable[Decision], now_ms: int) -> list[Decision]:
        """What the node's own operator has ordered, durably: signed and told, if this node is an authority."""
        self._now_ms = now_ms
        mine = [msgspec.structs.replace(decision, signer=self.member.origin) for decision in decisions]
        if not self.member.has(Role.AUTHORITY) or self.must_catch_up:
            self.counts["decisions not told"] += len(mine)
            return []
        log = self.replica.decisions
        self._proposals.update((one.identity, one) for one in mine if one.act is Act.BLOCK and log.is_protected(one))
        self._say_decisions(mine)
        return mine

    def propose_again(self, decisions: Iterable[Decision]) -> None:
        """Own signatures under orders that need two: told now and then for as long as they are news to anybody."""
        self._proposals.update((one.identity, one) for one in decisions)

    def _say_decisions(self, mine: list[Decision]) -> None:
        hlc, log = self._clock.tick(self._now_ms), self.replica.decisions
        for message, signed in self.outbound.sealer.signed_decisions(mine, hlc, self.trust.version):
            self.outbound.say_decisions(message, signed)
            won = log.merge(signed, message.payload)
            # What this node's word was the second for is in force nowhere yet.
            self._new_decisions += [one for one in won if one.act is Act.BLOCK and log.is_protected(one)]

    def _say_proposals(self) -> None:
        log = self.replica.decisions
        self._proposals = {of: one for of, one in self._proposals.items() if log.lacks_signature(one)}
        if self._proposals and not self.must_catch_up:
            self._say_decisions(list(self._proposals.values()))

    def take_back(self, decisions: Iterable[Decision], slots: Iterable[Slot]) -> None:
        """What the store knows, after a restart. The node's own decisions are signed anew, and told when asked for."""
        sealer, hlc = self.outbound.sealer, self._clock.tick(self._now_ms)
        mine: list[Decision] = []
        for decision in decisions:
            alone = decision.signer == self.member.origin and not self.replica.decisions.is_protected(decision)
            if alone and self.member.has(Role.AUTHORITY):
                mine.append(decision)
            else:
                self.replica.decisions.merge([decision], b"")
        for message, signed in sealer.signed_decisions(mine, hlc, self.trust.version):
            self.replica.decisions.merge(signed, message.payload)
        for key, origin, epoch, gen, metric, q in slots:
            self.replica.evidence.raise_generation(key, gen)
            self.replica.merge_evidence(origin, epoch, [(key, gen, [metric, q])])

    def take_unsaved(self) -> list[Slot]:
        """Own slots that have grown since the last time, to be kept for a restart."""
        keys, self._unsaved = self._unsaved, set()
        return [
            (key, origin, epoch, self.replica.evidence.generation(key), metric, q)
            for key in keys
            for origin, epoch, metric, q in self.replica.evidence.read(key)
            if origin == self.member.origin and epoch == self.epoch
        ]

    def take_gone(self) -> list[int]:
        """Keys that have decayed, so that nothing of them need be kept."""
        gone, self._gone = self._gone, []
        return gone

    def keep_unsaved(self, slots: Iterable[Slot]) -> None:
        """They could not be kept."""
        self._unsaved.update(key for key, *_ in slots)

    def forgive(self, keys: Iterable[int], now_ms: int, namespace: str = "operator") -> None:
        """Voids all evidence on these keys, fleet-wide; an authority's word."""
        records = [Generation(key, self.replica.evidence.generation(key) + 1) for key in keys]
        for record in self.replica.merge_generations(records):
            self._own.forget(record.key)
        hlc = self._clock.tick(now_ms)
        self.outbound.say(self.outbound.sealer.generations(namespace, records, hlc, self.trust.version))

    # --- The broker ---------------------------------------------------------------------------------------------------

    def subscriptions(self) -> list[tuple[str, int, bool]]:
        """(filter, QoS, no-local)."""
        topics, mesh, member = self.topics, self.identity.mesh, self.member
        wanted = [topics.decisions("+"), topics.trust, topics.hot("+"), *self._heads_wanted()]
        wanted += [topics.up("+", "+", "+")] if mesh else [topics.down("+")]
        wanted += [topics.up(member.region, "+", "+")] if self.replica.reduces else []
        wanted += [topics.region("+", "+"), topics.demands("+", "+")] if not mesh and member.has(Role.TOP) else []
        answers = mesh or member.has(Role.TOP)
        shared = [(topics.shared(topics.request(group)), 1, False) for group in all_groups()] if answers else []
        return [*((topic, 1, mesh) for topic in wanted), (topics.inbox(member.name), 1, False), *shared]

    def on_connecting(self, now_ms: int) -> Outgoing:
        """The will of the connection that is about to be made."""
        return self.outbound.sealer.will(self._status(False), self._clock.tick(now_ms), self.trust.version)

    def on_connected(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._connected = True
        self._summary_times.connected(now_ms)
        self.outbound.on_connected()
        since = self.replica.decisions.head_hlc if self.repair.has_decisions else 0
        self._ask(Request(What.DECISIONS, 0, since), None)
        self._say_heads(now_ms)
        self._say_trust()

    def on_disconnected(self) -> None:
        self._connected = False
        self.outbound.on_disconnected()
        self.limits.on_disconnected(self._now_ms)

    @property
    def is_urgent(self) -> bool:
        """Whether something is to be put into force, asked or answered before the next tick is due."""
        return bool(self._new_decisions) or self.outbound.is_urgent

    def on_frame(self, topic: str, payload: bytes, now_ms: int) -> None:
        self._now_ms = now_ms
        self.inbound.on_frame(topic, payload, now_ms)

    def on_tick(self, now_ms: int) -> list[Outgoing]:
        """What is to be published now, no faster than the broker takes it. To be called without a connection too."""
        self._now_ms = now_ms
        is_on_grid = now_ms // TICK_MS != self._grid
        if is_on_grid:
            self._grid = now_ms // TICK_MS
            self.replica.begin_sweep(self._grid)
            self._own.begin_round()
        for key in self.replica.sweep():
            self._own.forget(key)
            self._gone.append(key)
        if is_on_grid:
            self._on_grid(now_ms)
        self._merge_own(self._own.take_waiting(now_ms) + self._own.take_due(now_ms))
        self.judge(now_ms)
        if self.must_catch_up and self.repair.has_decisions:
            self.must_catch_up = False
        if self._connected:
            self._divide_limits(now_ms)
            if self._summary_times.is_due(now_ms):
                self._say_summary(now_ms)
            if not self.identity.mesh:
                self._see_judges(now_ms)
            self._join(now_ms)
        if not self._connected or not self.outbound.has_anything(now_ms):
            return []
        return list(self.outbound.take(now_ms, self._clock.tick(now_ms)))

    def judge(self, now_ms: int) -> bool:
        """Looks at some of the keys of which something has come; whether more of them can be looked at now."""
        waiting = self.replica.keys_to_judge
        if not waiting:
            return False
        hlc = self._clock.tick(now_ms)
        regions, verdicts = self.replica.judge_touched(now_ms, hlc, JUDGED_AT_ONCE)
        sealer, trust = self.outbound.sealer, self.trust.version
        self.outbound.say(sealer.regions(regions, hlc, trust))
        if not self.identity.mesh:
            self.outbound.judged(verdicts, now_ms, hlc)
        return 0 < self.replica.keys_to_judge < waiting and self.outbound.backlog() < MAX_UNSAID

    # --- What is to be put into force ---------------------------------------------------------------------------------

    def take_decisions(self) -> list[Decision]:
        """Others' decisions that now stand here, to be made durable and effective."""
        taken, self._new_decisions = self._new_decisions, []
        return taken

    def take_bands(self, limit: int) -> tuple[array[int], bytearray]:
        """Keys whose verdicts have changed (format Q), and the `Band` of each."""
        return self.replica.take_changed_bands(limit, self._now_ms // 1000)

    def take_trust(self) -> bytes | None:
        """A bundle that came in and is to be kept."""
        taken, self._new_trust = self._new_trust, False
        return self.trust_raw if taken else None

    def is_stale(self, now_ms: int) -> bool:
        """Whether nobody's digest has come for a minute, though there are others."""
        others = len(self.trust.members) > 1
        return others and now_ms - max(self.inbound.summaries_ms.values(), default=0) > STALE_MS

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _heads_wanted(self) -> list[str]:
        """In a tree only those that this node acts on: a thousand times a thousand heads would be all the traffic."""
        topics = self.topics
        if self.identity.mesh:
            return [topics.summary("+"), topics.status("+")]
        near = [
            member.name
            for member in self.trust.members
            if member.has(Role.TOP) or (member.has(Role.REDUCER) and member.region == self.member.region)
        ]
        everybody = [topics.status("+")] if self.member.has(Role.TOP) else [topics.status(name) for name in near]
        return [topics.summary(name) for name in near] + everybody

    def _merge_own(self, due: list[tuple[int, int]]) -> None:
        """What is worth telling counts here too, from the moment that it is to be told."""
        for key, urgency in due:
            gen = self.replica.evidence.generation(key)
            self.replica.merge_evidence(self.member.origin, self.epoch, [(key, gen, self._own.pairs(key))])
            self.outbound.dirty.mark(key, urgency)
            self._unsaved.add(key)

    def _see_judges(self, now_ms: int) -> None:
        """Which judges know what they say: in a tree a node takes the milder word of those that are there."""
        statuses = self.inbound.statuses.items()
        up = [self.trust.by_origin(origin) for origin, status in statuses if status.up and status.lag_ms < BEHIND_MS]
        there = frozenset(member.origin for member in up if member is not None and member.has(Role.TOP))
        self.replica.set_judges(there, self.trust.version, self._clock.tick(now_ms), now_ms // 1000)

    def _divide_limits(self, now_ms: int) -> None:
        demands, leases = self.limits.take(now_ms, 0 if self.limits.lender is None else self._proxies_there())
        if demands or leases:
            sealer, hlc, trust = self.outbound.sealer, self._clock.tick(now_ms), self.trust.version
            self.outbound.say(sealer.demands(demands, hlc, trust))
            self.outbound.say(sealer.leases(leases, hlc, trust))

    def _proxies_there(self) -> int:
        others = [self.trust.by_origin(origin) for origin, status in self.inbound.statuses.items() if status.up]
        return self.member.has(Role.PROXY) + sum(member is not None and member.has(Role.PROXY) for member in others)

    def _on_grid(self, now_ms: int) -> None:
        self.replica.decisions.forget_tombstones(stamp_of(now_ms - TOMBSTONES_MS))
        if self._connected:
            self._say_heads(now_ms)
            if self._grid % max(len(self.trust_raw) // TRUST_BYTES_A_TICK, 1) == 0:
                self._say_trust()

    def _say_heads(self, now_ms: int) -> None:
        """What the broker keeps for those who come later; said again as a broker may have forgotten it."""
        sealer, hlc, trust = self.outbound.sealer, self._clock.tick(now_ms), self.trust.version
        self.outbound.say_first(sealer.status(self._status(True), hlc, trust))
        self._say_summary(now_ms)
        if self.member.has(Role.AUTHORITY):
            self._say_proposals()

    def _say_summary(self, now_ms: int) -> None:
        if self.identity.mesh or self.member.roles & (Role.REDUCER | Role.TOP):
            sealer, hlc, trust = self.outbound.sealer, self._clock.tick(now_ms), self.trust.version
            self.outbound.say([sealer.summary(self.repair.summary(self._grid), hlc, trust)])

    def _say_trust(self) -> None:
        if self.member.has(Role.AUTHORITY):
            self.outbound.say([Outgoing(self.topics.trust, self.trust_raw, retain=True)])

    def _status(self, up: bool) -> list[object]:
        peers = sum(status.up for status in self.inbound.statuses.values())
        lag_ms = self.replica.keys_to_judge * TICK_MS_OF_JUDGING // JUDGED_AT_ONCE
        return [up, self.epoch, BUILD, lag_ms, self.outbound.backlog(), peers]

    def _ask(self, request: Request, member: Member | None) -> None:
        hlc = self._clock.tick(self._now_ms)
        to = [None if member is None else member.name]
        if request.what is What.REGIONS:
            to = [reducer.name for reducer in self.trust.members if reducer.has(Role.REDUCER)]
        group, sealer, trust = group_of(request.shard), self.outbound.sealer, self.trust.version
        self.outbound.say([sealer.request(request, each, group, hlc, trust) for each in to])

    def _answer(self, request: Request, member: Member) -> None:
        sealer = self.outbound.sealer
        if request.what is What.REGIONS and not member.has(Role.TOP):
            return
        self.outbound.answer(
            sealer.answer(answer, member.name, self._clock.tick(self._now_ms), self.trust.version)
            for answer in self.repair.answer(request, self.trust_raw)
        )

    def _join(self, now_ms: int) -> None:
        """A node that only takes verdicts asks for those that there are, shard by shard."""
        for shard in self.repair.joining.to_ask(now_ms):
            self._ask(Request(What.VERDICTS, shard), None)

    def _tell_again(self, keys: Iterable[int]) -> None:
        for key in keys:
            self.outbound.dirty.mark(key, 3)

    def _decided(self, decisions: list[Decision]) -> None:
        self._new_decisions += decisions

    def _on_restart(self, member: Member) -> None:
        """A peer that holds evidence and has begun anew is told everything that we have."""
        if self.identity.mesh or member.has(Role.REDUCER):
            for shard in range(SHARDS):
                self._tell_again(self.replica.evidence.keys(shard))
        if member.has(Role.TOP):
            self.replica.tell_regions_again()

    def _on_trust(self, trust: Trust, raw: bytes) -> None:
        gone = {m.origin for m in self.trust.members} - {m.origin for m in trust.members}
        self.trust_raw = raw
        self._new_trust = True
        self.replica.replace_trust(trust)
        self._say_trust()
        for origin in gone:
            self.inbound.forget(origin)
            self.repair.forget(origin)
        own = trust.by_name(self.identity.name)
        self.counts["revoked"] = int(own is None)


__all__ = ["Identity", "Node", "Status"]
