"""What a decision looked at, in words."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterable, Sequence

from engine._numbers import number_text
from engine.decision import Explanation, Reason, Verdict

REDRESS_LENGTH = 13  # 64 bits at 5 a character

# The same numbers as `Seen` in _decision_notes.pxd.
SEEN_REASON = 0
SEEN_FORMS = {1: "limit {}", 2: "{}.points", 3: "{}.complaints"}


def redress_text(redress: int) -> str:
    """A redress id as people and SIP headers carry it: RFC 4648 base32 without padding."""
    return b32encode(redress.to_bytes(8, "big")).decode("ascii")[:REDRESS_LENGTH]


def explanation(
    verdict: Verdict, caller: int, callee: int, names: Sequence[str], entries: Iterable[tuple[int, int, int]]
) -> Explanation:
    """An explanation from the (rule, seen, value) entries that the decision left behind."""
    reasons, seen = [], []
    for rule, kind, value in entries:
        if kind == SEEN_REASON:
            reasons.append(Reason(names[rule], value))
        else:
            seen.append((SEEN_FORMS[kind].format(names[rule]), value))
    return Explanation(verdict, number_text(caller), number_text(callee), tuple(reasons), tuple(seen))
