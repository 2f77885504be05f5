"""Numbers and blocks of callers as tables are keyed by them, from text as lists have it."""

from __future__ import annotations

from engine._numbers import SHORT_PREFIX, kind_of, parse_entry

KIND_SHIFT = 60
KIND_PREFIX = 2
KIND_SHORT = 3
MOST_PREFIX_DIGITS = 14


def number(text: str) -> int:
    """The word of one number, written "+8613800138000" or "CN:95588"; ValueError for anything else."""
    word, exact = parse_entry(text)
    if not exact:
        raise ValueError(f"{text!r}: expected one number, not a prefix")
    return word


def caller_word(text: str) -> tuple[int, int]:
    """(word, digits) of an entry for a caller; digits are 0 for one number, else those of the prefix."""
    word, exact = parse_entry(text)
    if exact:
        return word, 0
    decimal = word & ((1 << KIND_SHIFT) - 1)
    digits = len(str(decimal)) - 1
    if digits > MOST_PREFIX_DIGITS:
        raise ValueError(f"{text!r}: a prefix has at most {MOST_PREFIX_DIGITS} digits")
    short_codes = SHORT_PREFIX if kind_of(word) == KIND_SHORT else 0
    return KIND_PREFIX << KIND_SHIFT | short_codes | decimal, digits
