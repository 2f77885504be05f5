"""Dial plans: what the text of a URI's user part is, read as a trunk writes its numbers."""

from typing import final

from engine import rules

@final
class DialPlan:
    """A trunk's dial plan, compiled. Raises ValueError for a plan that cannot be: too many forms, no digits."""

    source: rules.DialPlan
    def __init__(self, source: rules.DialPlan) -> None: ...
    def normalize(self, text: str | bytes) -> int:
        """The canonical word of a URI's user part. Never fails: what is no number is of kind INVALID."""
