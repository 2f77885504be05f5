"""What others know of numbers, put into the reputation: an operator's word, an import, the fleet's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine._reputation import ReputationCache
from engine.decision import Category
from engine.number_words import caller_word


@dataclass(frozen=True, slots=True)
class Update:
    """number: "+8613800138000", "CN:95588", or a block of 100 such as "+86138001380*".

    points: added, at most 1,000,000. complaint: one more. category: of what is complained of, NONE = as it is known.
    pinned: kept from eviction or no longer, None = as it is. forget: everything known before goes first.
    """

    number: str
    points: int = 0
    complaint: bool = False
    category: Category = Category.NONE
    pinned: bool | None = None
    forget: bool = False


def apply_updates(reputation: ReputationCache, updates: Iterable[Update], now_us: int) -> int:
    """How many there were; ValueError names the first that is of no number, those before it are applied."""
    applied = 0
    for update in updates:
        _apply(reputation, update, now_us)
        applied += 1
    return applied


def _apply(reputation: ReputationCache, update: Update, now_us: int) -> None:
    word, _ = caller_word(update.number)
    if update.forget:
        reputation.forget(word)
    if update.points or update.complaint or update.category:
        reputation.add(word, now_us, update.points, update.complaint, update.category)
    if update.pinned:
        reputation.pin(word, now_us)
    elif update.pinned is False:
        reputation.unpin(word, now_us)
