"""Automata over digits, from the patterns in which numbering plans are published.

A pattern is a regular expression of digits, \\d, [ranges], (?:alternatives), ? and {n,m}, matched against the whole
number (the subset that libphonenumber's metadata uses). Patterns with tags become one automaton without repetition:
Thompson's construction, then sets of states, made as they are reached.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

TOKEN = re.compile(
    r"(?P<open>\(\?:|\()|(?P<mark>[)|?])|\{(?P<least>\d+)(?:,(?P<most>\d+))?\}|(?P<set>\\d|\[[\d-]+\]|\d)"
)

State = frozenset[int]


class DigitAutomaton:
    """Which tagged patterns match the digits read so far. Add all patterns before the first step."""

    def __init__(self) -> None:
        self._silent: list[list[int]] = [[]]
        self._steps: list[list[tuple[frozenset[int], int]]] = [[]]
        self._tags: dict[int, set[Hashable]] = {}
        self._next: dict[tuple[State, int], State] = {}

    def add(self, pattern: str, tag: Hashable) -> None:
        """A pattern that the whole number has to match; ValueError if it is none."""
        end = _Reader(self, pattern).read(self.fork(0))
        self._tags.setdefault(end, set()).add(tag)

    def start(self) -> State:
        return self._closure([0])

    def step(self, state: State, digit: int) -> State:
        key = (state, digit)
        if key not in self._next:
            reached = (end for node in state for digits, end in self._steps[node] if digit in digits)
            self._next[key] = self._closure(reached)
        return self._next[key]

    def tags(self, state: State) -> set[Hashable]:
        """Tags of the patterns that match exactly what was read."""
        return {tag for node in state for tag in self._tags.get(node, ())}

    def _closure(self, nodes: Iterable[int]) -> State:
        found = set(nodes)
        todo = list(found)
        while todo:
            for node in self._silent[todo.pop()]:
                if node not in found:
                    found.add(node)
                    todo.append(node)
        return frozenset(found)

    # --- construction ------------------------------------------------------------------------------------------------

    def node(self) -> int:
        self._silent.append([])
        self._steps.append([])
        return len(self._silent) - 1

    def fork(self, start: int) -> int:
        """A new node that is reached from `start` without a digit."""
        node = self.node()
        self._silent[start].append(node)
        return node

    def join(self, ends: Sequence[int]) -> int:
        node = self.node()
        for end in ends:
            self._silent[end].append(node)
        return node

    def digit(self, start: int, digits: frozenset[int]) -> int:
        node = self.node()
        self._steps[start].append((digits, node))
        return node


class _Reader:
    """One pattern, read from left to right into nodes of an automaton."""

    def __init__(self, automaton: DigitAutomaton, pattern: str) -> None:
        self.automaton = automaton
        self.pattern = pattern
        self.at = 0

    def read(self, start: int) -> int:
        end = self._alternatives(start)
        if self.at != len(self.pattern):
            raise self._fault()
        return end

    def _fault(self) -> ValueError:
        return ValueError(f"{self.pattern!r}: not understood from character {self.at} on")

    def _token(self) -> re.Match[str] | None:
        return TOKEN.match(self.pattern, self.at)

    def _alternatives(self, start: int) -> int:
        ends = [self._sequence(self.automaton.fork(start))]
        while self.pattern.startswith("|", self.at):
            self.at += 1
            ends.append(self._sequence(self.automaton.fork(start)))
        return self.automaton.join(ends)

    def _sequence(self, start: int) -> int:
        while (token := self._token()) and (token["open"] or token["set"]):
            start = self._repeated(start)
        return start

    def _repeated(self, start: int) -> int:
        """One item, as often as what follows it says: its text is read again for each time."""
        begun = self.at
        end = self._item(start)
        token = self._token()
        if token is None or not (token["least"] or token[0] == "?"):
            return end
        least = 0 if token[0] == "?" else int(token["least"])
        most = 1 if token[0] == "?" else int(token["most"] or least)
        ends = [start] if least == 0 else []
        for time in range(1, most + 1):
            self.at = begun
            start = self._item(start)
            ends += [start] if time >= least else []
        self.at = token.end()
        return self.automaton.join(ends)

    def _item(self, start: int) -> int:
        token = self._token()
        if token is None:
            raise self._fault()
        self.at = token.end()
        if token["set"]:
            return self.automaton.digit(start, _digits(token["set"]))
        end = self._alternatives(start)
        if not self.pattern.startswith(")", self.at):
            raise self._fault()
        self.at += 1
        return end


def _digits(written: str) -> frozenset[int]:
    """The digits of \\d, 7 or [0-57-9]."""
    if written == r"\d":
        return frozenset(range(10))
    ranges = re.findall(r"(\d)(?:-(\d))?", written)
    return frozenset(digit for first, last in ranges for digit in range(int(first), int(last or first) + 1))
