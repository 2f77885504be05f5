"""What members say of slots that are not their own: the only way back for what a lost node knew.

One member may lie, and so may F of them. A slot is taken at the value that more than F members vouch for, since one of
those is honest.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_SLOTS = 50_000

SlotName = tuple[int, int, int, int, int]  # key, origin, epoch, generation, metric


class Hearsay:
    def __init__(self) -> None:
        self._said: OrderedDict[SlotName, dict[int, int]] = OrderedDict()

    def hear(self, slot: SlotName, q: int, member: int, f: int) -> int:
        """The value that F + 1 members vouch for by now, 0 = none."""
        said = self._said.setdefault(slot, {})
        self._said.move_to_end(slot)
        said[member] = max(q, said.get(member, 0))
        if len(self._said) > MAX_SLOTS:
            self._said.popitem(last=False)
        vouched = sorted(said.values(), reverse=True)
        return vouched[f] if len(vouched) > f else 0

    def forget(self, member: int) -> None:
        """A revoked one vouches for nothing, and nobody for it."""
        for slot, said in list(self._said.items()):
            said.pop(member, None)
            if slot[1] == member or not said:
                del self._said[slot]
