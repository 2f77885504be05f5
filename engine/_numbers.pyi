"""Numbers as one word (`number_t`): kind in the top 4 bits, below it the decimal of "1" + digits."""

from typing import final

from engine import rules

@final
class DialPlan:
    """A trunk's dial plan, compiled. Raises ValueError for a plan that cannot be: too many forms, no digits."""

    source: rules.DialPlan
    def __init__(self, source: rules.DialPlan) -> None: ...
    def normalize(self, text: str | bytes) -> int:
        """The canonical word of a URI's user part. Never fails: what is no number is of kind INVALID."""

def number_text(number: int) -> str:
    """Canonical text: "+8613800138000", "CN:95588", "+86138001380*", "anonymous", "invalid", "" for nothing."""

def kind_of(number: int) -> int: ...
def block_of(number: int, dropped: int) -> int:
    """The block of 10 ** dropped numbers around a number, 0 if it has too few digits."""

def is_emergency(number: int) -> bool:
    """Whether this is the short code of an emergency service of any country."""

def parse_entry(text: str) -> tuple[int, bool]:
    """(number, exact) of a list entry: "+8613800138000", "+86170*", "CN:95588", "CN:955*".

    Raises ValueError for anything else.
    """
