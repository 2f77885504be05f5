"""The fleet's decisions, each with the signed frames that brought it, so that any node can hand them on.

Of two about the same the one of higher rank stands (`Decision.rank`). A block of a protected number waits until a
second authority has signed the same: act, rank of who orders, begin and end. What two nodes compare: how many
decisions, the latest stamp, the XOR of all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from proxy.control.decisions import Act, Decision
from proxy.control.sync.digest import entry_hash

MAX_WAITING = 10_000

Identity = tuple[str, int, int]
_Content = tuple[int, int, int, int]  # act, prio, from_s, until_s: what two authorities must mean alike
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Kept:
    decision: Decision
    frames: tuple[bytes, ...]


class DecisionLog:
    """is_protected: whether no single authority may block this."""

    def __init__(self, is_protected: Callable[[Decision], bool] = lambda _: False) -> None:
        self._is_protected = is_protected
        self._kept: dict[Identity, _Kept] = {}
        self._waiting: OrderedDict[tuple[Identity, _Content], dict[int, _Kept]] = OrderedDict()
        self.head_hlc = 0
        self.hash = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Decision]:
        return (kept.decision for kept in self._kept.values())

    def get(self, identity: Identity) -> Decision | None:
        kept = self._kept.get(identity)
        return None if kept is None else kept.decision

    def waiting(self) -> list[Decision]:
        """Those that need a second signature."""
        return [kept.decision for signed in self._waiting.values() for kept in signed.values()]

    def merge(self, decisions: Iterable[Decision], frame: bytes) -> list[Decision]:
        """frame: that they came in, signed. Those that now stand."""
        won = []
        for decision in decisions:
            kept = _Kept(decision, (frame,) if frame else ())
            if decision.tomb:
                self._forget_waiting(decision)
            elif decision.act is Act.BLOCK and frame and self._is_protected(decision):
                seconded = self._second(kept)
                if seconded is None:
                    continue
                kept = seconded
            if self._put(kept):
                won.append(kept.decision)
        return won

    def frames_since(self, hlc: int) -> Iterator[bytes]:
        """The frames of all decisions stamped after `hlc`, oldest first, each once."""
        newer = sorted((kept for kept in self._kept.values() if kept.decision.hlc > hlc), key=lambda k: k.decision.hlc)
        yield from dict.fromkeys(frame for kept in newer for frame in kept.frames)

    def unsigned(self) -> list[Decision]:
        """Those without a frame: taken from the store, not yet from an authority."""
        return [kept.decision for kept in self._kept.values() if not kept.frames]

    def forget_tombstones(self, before_hlc: int) -> int:
        stale = [i for i, kept in self._kept.items() if kept.decision.tomb and kept.decision.hlc < before_hlc]
        for identity in stale:
            self.hash ^= _hash(self._kept.pop(identity).decision)
        return len(stale)

    def _put(self, kept: _Kept) -> bool:
        identity = kept.decision.identity
        standing = self._kept.get(identity)
        if standing is not None:
            if kept.decision == standing.decision and not standing.frames:
                self._kept[identity] = kept
            if kept.decision.rank <= standing.decision.rank:
                return False
            self.hash ^= _hash(standing.decision)
        self._kept[identity] = kept
        self.hash ^= _hash(kept.decision)
        self.head_hlc = max(self.head_hlc, kept.decision.hlc)
        return True

    def lacks_signature(self, decision: Decision) -> bool:
        """Whether one more word for a protected block, in a frame of its own, would be news here."""
        kept = self._kept.get(decision.identity)
        if kept is None:
            return True
        return not kept.decision.tomb and len(kept.frames) < 2 and self._is_protected(kept.decision)

    def is_protected(self, decision: Decision) -> bool:
        return self._is_protected(decision)

    def _forget_waiting(self, tomb: Decision) -> None:
        """Whoever withdraws takes its own signature back."""
        for what, signed in list(self._waiting.items()):
            if what[0] == tomb.identity and signed.pop(tomb.signer, None) is not None and not signed:
                del self._waiting[what]

    def _second(self, kept: _Kept) -> _Kept | None:
        """The decision with both frames, once two authorities have signed it."""
        decision = kept.decision
        what = decision.identity, (decision.act, decision.prio, decision.from_s, decision.until_s)
        signed = self._waiting.setdefault(what, {})
        signed[kept.decision.signer] = kept
        if len(signed) < 2:
            while len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
            return None
        del self._waiting[what]
        latest = max(signed.values(), key=lambda each: each.decision.rank)
        return _Kept(latest.decision, tuple(frame for each in signed.values() for frame in each.frames))


def _hash(decision: Decision) -> int:
    return entry_hash(_encode(decision))
