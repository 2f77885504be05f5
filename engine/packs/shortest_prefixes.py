"""The fewest prefixes that say the same of every number as an automaton does.

What is said of a prefix is a sequence: the value for numbers of as many digits as the prefix has, of one digit more,
and so on. Of the prefixes that a number has the longest one counts, so a prefix is left out where a shorter one says it
already. Which of several possible sayings a shorter prefix takes is chosen from below: those common to all its
children, else those of any (Draves, King, Venkatachary, Zill, "Constructing optimal IP routing tables", 1999).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.packs.digit_automaton import DigitAutomaton, State

Saying = tuple[str, ...]
Value = Callable[[State, int], str]

TEN = range(10)


class ShortestPrefixes:
    """value: of a number that ends in a state after so many digits; most: digits of the longest number."""

    def __init__(self, automaton: DigitAutomaton, value: Value, most: int) -> None:
        self._automaton = automaton
        self._value = value
        self._most = most
        self._same: dict[tuple[State, int], Saying | None] = {}
        self._choices: dict[tuple[State, int], frozenset[Saying]] = {}

    def __iter__(self) -> Iterator[tuple[str, Saying]]:
        """(prefix, what is said of numbers of its length and more), in the order of their digits."""
        yield from self._emit(self._automaton.start(), "", None)

    def _emit(self, state: State, prefix: str, inherited: Saying | None) -> Iterator[tuple[str, Saying]]:
        depth = len(prefix)
        choices = self._choices_of(state, depth)
        if inherited not in choices:
            inherited = min(choices)
            yield prefix, inherited
        if self._same_for_all(state, depth) is None:
            for digit in TEN:
                yield from self._emit(self._automaton.step(state, digit), f"{prefix}{digit}", inherited[1:])

    def _same_for_all(self, state: State, depth: int) -> Saying | None:
        """What is said whatever digits follow; None if it depends on them."""
        key = (state, depth)
        if key not in self._same:
            self._same[key] = self._find_same(state, depth)
        return self._same[key]

    def _find_same(self, state: State, depth: int) -> Saying | None:
        here = (self._value(state, depth),)
        if depth == self._most:
            return here
        first = self._same_for_all(self._automaton.step(state, 0), depth + 1)
        if first is None:
            return None
        below = (self._same_for_all(self._automaton.step(state, digit), depth + 1) for digit in TEN)
        return here + first if all(each == first for each in below) else None

    def _choices_of(self, state: State, depth: int) -> frozenset[Saying]:
        """What may be said here, so that the fewest prefixes below have to say something else."""
        key = (state, depth)
        if key not in self._choices:
            self._choices[key] = self._find_choices(state, depth)
        return self._choices[key]

    def _find_choices(self, state: State, depth: int) -> frozenset[Saying]:
        same = self._same_for_all(state, depth)
        if same is not None:
            return frozenset([same])
        below = [self._choices_of(self._automaton.step(state, digit), depth + 1) for digit in TEN]
        best = frozenset.intersection(*below) or frozenset.union(*below)
        return frozenset((self._value(state, depth), *each) for each in best)
