"""Preferences as files carry them: one subscriber a line, hundreds of millions of lines.

    number,refuse,quiet,bursts
    +8613800138000,call-centre resale fraud do-not-call,22:00-07:00,1

number: +DIGITS or CC:DIGITS. refuse: segments, categories and do-not-call, with spaces between. quiet: local time in
half hours. bursts: 0 to 3, how soon protection against bursts acts. Fields may be empty. Subscribers want few different
things, so what follows the number is read once for each of its spellings.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from engine._subscribers import Preferences
from engine.decision import Category
from engine.number_words import number
from engine.segments import Segment

HEADER = b"number,refuse,quiet,bursts"
CHUNK_BYTES = 16_000_000
MOST_DIGITS = 15
E164 = 1 << 60
DO_NOT_CALL = "do-not-call"
SEGMENTS = {each.name.lower().replace("_", "-"): each for each in Segment if each.name}
CATEGORIES = {each.name.lower(): each for each in Category if each is not Category.NONE}
KNOWN_SPELLINGS = 100_000


def preferences_of(refuse: str, quiet: str, bursts: str) -> Preferences:
    """ValueError for words that nothing is called by."""
    segments = categories = 0
    do_not_call = False
    for word in refuse.split():
        if word in SEGMENTS:
            segments |= SEGMENTS[word]
        elif word in CATEGORIES:
            categories |= 1 << CATEGORIES[word]
        elif word == DO_NOT_CALL:
            do_not_call = True
        else:
            known = ", ".join([*SEGMENTS, *CATEGORIES, DO_NOT_CALL])
            raise ValueError(f"{word!r} is nothing to refuse; known are {known}")
    return Preferences(
        refused_categories=categories,
        refused_segments=int(segments),
        do_not_call=do_not_call,
        high_frequency=_level(bursts) if bursts else None,
        quiet=_quiet(quiet) if quiet else None,
    )


def texts_of(preferences: Preferences) -> tuple[str, str, str]:
    """(refuse, quiet, bursts): the inverse of `preferences_of`."""
    refused = [name for name, each in SEGMENTS.items() if preferences.refused_segments & each]
    refused += [name for name, each in CATEGORIES.items() if preferences.refuses(each)]
    refused += [DO_NOT_CALL] if preferences.do_not_call else []
    quiet = "-".join(f"{half // 2:02}:{half % 2 * 30:02}" for half in preferences.quiet or ())
    return " ".join(refused), quiet, "" if preferences.high_frequency is None else str(preferences.high_frequency)


def _level(text: str) -> int:
    if text not in ("0", "1", "2", "3"):
        raise ValueError(f"bursts {text!r}: expected 0 to 3")
    return int(text)


def _quiet(text: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    if not dash:
        raise ValueError(f"quiet {text!r}: expected HH:MM-HH:MM")
    return _half_hour(start), _half_hour(end)


def _half_hour(text: str) -> int:
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and int(hour) < 24 and minute in ("00", "30")):
        raise ValueError(f"quiet {text!r}: expected full or half hours, 00:00 to 23:30")
    return int(hour) * 2 + (minute == "30")


@dataclass(slots=True)
class SubscriberReader:
    """Reads a file in chunks of callees and words. faults: the first lines that could not be read, and how many."""

    file: BinaryIO
    read_bytes: int = 0
    line: int = 0
    faulty: int = 0
    faults: list[str] = field(default_factory=list)
    _words: dict[bytes, int] = field(default_factory=dict)

    def chunks(self) -> Iterator[tuple[array[int], array[int]]]:
        while lines := self.file.readlines(CHUNK_BYTES):
            yield self._chunk(lines)

    def _chunk(self, lines: list[bytes]) -> tuple[array[int], array[int]]:
        callees, words = array("Q"), array("Q")
        for text in lines:
            self.line += 1
            self.read_bytes += len(text)
            name, _, wishes = text.rstrip().partition(b",")
            if not name or text.startswith((b"#", HEADER)):
                continue
            try:
                word = self._word(wishes)
                callees.append(_callee(name))
            except ValueError as why:
                self._fault(str(why))
            else:
                words.append(word)
        return callees, words

    def _word(self, wishes: bytes) -> int:
        word = self._words.get(wishes)
        if word is None:
            fields = wishes.decode("ascii", "replace").split(",")
            if len(fields) > 3:
                raise ValueError(f"{len(fields) + 1} fields, at most 4")
            word = preferences_of(*(*fields, "", "", "")[:3]).pack()
            if len(self._words) < KNOWN_SPELLINGS:
                self._words[wishes] = word
        return word

    def _fault(self, why: str) -> None:
        self.faulty += 1
        if len(self.faults) < 20:
            self.faults.append(f"line {self.line}: {why}")


def _callee(name: bytes) -> int:
    """E.164 without going through the parser of entries, which most lines are."""
    digits = name[1:]
    if name[:1] == b"+" and digits.isdigit() and len(digits) <= MOST_DIGITS and digits[:1] != b"0":
        return E164 | int(b"1" + digits)
    return number(name.decode("ascii", "replace"))
