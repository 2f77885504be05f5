"""Sums of decaying events by their logarithms: what `decay` says of q, in integers of 192 bits."""

from collections.abc import Iterable

def worth(q: int, now_steps: int) -> int:
    """Events that a sum is worth now, in units of 1/65,536; at most `decay.MOST_WORTH`."""

def q_of(events: int, now_steps: int) -> int:
    """q of so many units of 1/65,536 event, all of them now."""

def sum_q(parts: Iterable[int]) -> int:
    """q of the sum of several; the same for every order of them."""

def difference_q(whole: int, parts: Iterable[int]) -> int:
    """q of what is left of a sum without some of its parts; 0 when that is nothing."""
