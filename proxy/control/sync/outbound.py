"""What a node has to say, in the order of its urgency, no faster than the broker takes it.

While there is no connection little is kept: of evidence the keys, of what was decided the latest of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from proxy.control.decisions import Decision
from proxy.control.sync.decision_log import Identity
from proxy.control.sync.outbox import MAX_KEYS, Outbox
from proxy.control.sync.pacing import Pacing
from proxy.control.sync.records import Callees, Complainants, Evidence, Verdict
from proxy.control.sync.replica import Replica
from proxy.control.sync.sealed import Sealer
from proxy.control.sync.topics import Outgoing

KEYS_AT_ONCE = 2000
WINDOW_MS = 5000  # behaviour is collected for so long; complaints go at once
VERDICTS_MS = 1000  # verdicts are collected for so long: one message a second and group
MANY_VERDICTS = 8000  # so many go at once
MAX_URGENT = 100_000  # messages that wait for the broker; what has no room the digests see to
MAX_ANSWERS = 1000
MAX_SKETCHES = 100_000  # of callees, waiting to be told; the next call of such a caller tells more anyway
_COMPLAINTS, _REPAIR = 0, 3


class Outbound:
    """urgent: decisions, heads, requests. Answers are made one part at a time, as they leave."""

    def __init__(self, replica: Replica, sealer: Sealer, pacing: Pacing, max_keys: int = MAX_KEYS) -> None:
        self.dirty = Outbox(max_keys)
        self.sealer = sealer
        self.pacing = pacing
        self._replica = replica
        self._urgent: deque[Outgoing] = deque(maxlen=MAX_URGENT)
        self._answers: deque[Iterator[Outgoing]] = deque(maxlen=MAX_ANSWERS)
        self._complainants: dict[tuple[int, int], None] = {}
        self._callees: dict[tuple[int, int], None] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._connected = False
        self._untold: dict[Identity, Outgoing] = {}
        self._window_ms = self._verdicts_ms = 0

    def say(self, messages: Iterable[Outgoing]) -> None:
        self._urgent.extend(messages)

    def on_connected(self) -> None:
        self._connected = True
        self.pacing.connection_lost()
        self._urgent.extend({id(message): message for message in self._untold.values()}.values())
        self._untold.clear()

    def on_disconnected(self) -> None:
        self._connected = False
        self.pacing.connection_lost()

    def say_decisions(self, message: Outgoing, decisions: Iterable[Decision]) -> None:
        """decisions: those in the message."""
        if self._connected:
            self._urgent.append(message)
            return
        for decision in decisions:
            self._untold.pop(decision.identity, None)  # in the order of the messages' numbers
            self._untold[decision.identity] = message

    def say_first(self, message: Outgoing) -> None:
        self._urgent.appendleft(message)

    def answer(self, messages: Iterator[Outgoing]) -> None:
        self._answers.append(messages)

    def judged(self, verdicts: Iterable[Verdict], now_ms: int, hlc: int) -> None:
        """Verdicts to be told; of each key the newest."""
        self._verdicts.update((verdict.key, verdict) for verdict in verdicts)
        if len(self._verdicts) >= MANY_VERDICTS:
            self._say_verdicts(now_ms, hlc)

    def complained(self, key: int, day: int) -> None:
        self._complainants[key, day] = None

    def called(self, key: int, hour: int) -> None:
        if len(self._callees) < MAX_SKETCHES:
            self._callees[key, hour] = None

    def backlog(self) -> int:
        return len(self.dirty) + len(self._urgent) + len(self._untold)

    @property
    def is_urgent(self) -> bool:
        return bool(self._urgent or self._answers)

    def has_anything(self, now_ms: int) -> bool:
        pending = self._urgent or self._answers or self._complainants or self.dirty.has(_COMPLAINTS)
        later = len(self.dirty) or self.dirty.marked_shards or self._callees
        return bool(pending or (later and self._window_is_over(now_ms)) or self._verdicts_are_due(now_ms))

    def _tell_marked_shards(self) -> None:
        while (shard := self.dirty.next_marked_shard()) is not None:
            for key in self._replica.evidence.keys(shard):
                self.dirty.mark(key, _REPAIR)

    def take(self, now_ms: int, hlc: int) -> Iterator[Outgoing]:
        """What may be published now. hlc: of all frames made by this call."""
        while self.pacing.may_send(now_ms):
            message = self._next(now_ms, hlc)
            if message is None:
                return
            self.pacing.sent(len(message.payload), message.qos)
            yield message

    def _next(self, now_ms: int, hlc: int) -> Outgoing | None:
        if self._urgent:
            return self._urgent.popleft()
        if self._verdicts_are_due(now_ms):
            self._say_verdicts(now_ms, hlc)
        self._prepare_evidence(now_ms, hlc)
        if self._urgent:
            return self._urgent.popleft()
        while self._answers:
            message = next(self._answers[0], None)
            if message is not None:
                return message
            self._answers.popleft()
        return None

    def _verdicts_are_due(self, now_ms: int) -> bool:
        return bool(self._verdicts) and now_ms - self._verdicts_ms >= VERDICTS_MS

    def _say_verdicts(self, now_ms: int, hlc: int) -> None:
        self._urgent += self.sealer.verdicts(list(self._verdicts.values()), hlc, self._replica.trust.version)
        self._verdicts.clear()
        self._verdicts_ms = now_ms

    def _prepare_evidence(self, now_ms: int, hlc: int) -> None:
        trust = self._replica.trust.version
        if self._complainants:
            self._urgent += self.sealer.sketches(self._take_complainants(), hlc, trust)
        is_over = self._window_is_over(now_ms)
        if is_over:
            self._tell_marked_shards()
            self._urgent += self.sealer.sketches(self._take_callees(), hlc, trust)
        keys = self.dirty.take(KEYS_AT_ONCE, _REPAIR if is_over else _COMPLAINTS)
        if is_over and not (len(self.dirty) or self.dirty.marked_shards or self._callees):
            self._window_ms = now_ms
        by_epoch: dict[int, list[Evidence]] = {}
        for key, urgency in keys:
            for epoch, pairs in self._own_slots(key, urgency == _REPAIR).items():
                by_epoch.setdefault(epoch, []).append((key, self._replica.evidence.generation(key), pairs))
        for epoch, records in by_epoch.items():
            self._urgent += self.sealer.evidence(epoch, records, hlc, trust)

    def _window_is_over(self, now_ms: int) -> bool:
        return now_ms - self._window_ms >= WINDOW_MS

    def _own_slots(self, key: int, all_epochs: bool) -> dict[int, list[int]]:
        slots: dict[int, list[int]] = {}
        for origin, epoch, metric, q in self._replica.evidence.read(key):
            if origin == self._replica.own and (all_epochs or epoch == self.sealer.epoch):
                slots.setdefault(epoch, []).extend((metric, q))
        return slots

    def _take_complainants(self) -> list[Complainants]:
        taken = list(islice(self._complainants, KEYS_AT_ONCE))
        records = []
        for key, day in taken:
            del self._complainants[key, day]
            gen = self._replica.evidence.generation(key)
            hashes = self._replica.sketches.complainants(key, gen).get(day)
            if hashes:
                records.append(Complainants(key, gen, day, hashes))
        return records

    def _take_callees(self) -> list[Callees]:
        records = []
        for key, hour in list(islice(self._callees, KEYS_AT_ONCE)):
            del self._callees[key, hour]
            gen = self._replica.evidence.generation(key)
            registers = self._replica.sketches.callees(key, gen).get(hour)
            if registers is not None:
                records.append(Callees(key, gen, hour, registers))
        return records
