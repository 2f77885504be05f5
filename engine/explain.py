"""What a decision looked at, in words."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterable, Sequence

from engine._numbers import number_text
from engine.decision import Action, Explanation, Reason, Verdict

ASKED_IN_VAIN = 0x80  # as in _decision.pxd
REDRESS_LENGTH = 13  # 64 bits at 5 a character

# The same numbers as `Seen` in _decision_notes.pxd.
SEEN_REASON = 0
SEEN_LIMIT = 1
SEEN_FORMS = {SEEN_LIMIT: "limit {}", 2: "{}.points", 3: "{}.complaints"}


def redress_text(redress: int) -> str:
    """A redress id as people and SIP headers carry it: RFC 4648 base32 without padding."""
    return b32encode(redress.to_bytes(8, "big")).decode("ascii")[:REDRESS_LENGTH]


def reason(name: str, points: int, asked: int) -> Reason:
    """asked: as a verdict holds it, an action with ASKED_IN_VAIN."""
    return Reason(name, points, Action(asked & ~ASKED_IN_VAIN), bool(asked & ASKED_IN_VAIN))


def explanation(
    verdict: Verdict, caller: int, callee: int, names: Sequence[str], entries: Iterable[tuple[int, int, int, int]]
) -> Explanation:
    """An explanation from the (rule, seen, value, asked) entries that the decision left behind."""
    reasons, seen = [], []
    for rule, kind, value, asked in entries:
        if kind == SEEN_REASON:
            reasons.append(reason(names[rule], value, asked))
        else:
            window = f", window {asked + 1}" if kind == SEEN_LIMIT and asked else ""
            seen.append((SEEN_FORMS[kind].format(names[rule]) + window, value))
    return Explanation(verdict, number_text(caller), number_text(callee), tuple(reasons), tuple(seen))
