"""Numbers that no single authority of a fleet may block: emergencies, Chinese 95xxx, protected lists, trunks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path

from engine._numbers import SHORT_PREFIX, is_emergency
from engine.number_words import KIND_PREFIX, KIND_SHIFT, caller_word
from engine.rules import ListAction
from proxy.config import Configuration
from proxy.control.decisions import Act, Decision, Kind

_ALWAYS = ("CN:95*",)  # banks and other services of the country


class ProtectedNumbers:
    """configuration: that in force, with its generation. base_dir: what files of lists are relative to."""

    def __init__(self, configuration: Callable[[], tuple[int, Configuration]], base_dir: Path) -> None:
        self._configuration = configuration
        self._base_dir = base_dir
        self._generation = -1
        self._texts: list[str] = []
        self._whole: frozenset[str] = frozenset()
        self.unreadable: list[str] = []

    def needs_second(self, decision: Decision) -> bool:
        """Whether it would block any of them."""
        if decision.act is not Act.BLOCK or decision.tomb:
            return False
        if decision.kind is Kind.TRUNK:
            return True
        self._refresh()
        wanted = _text(decision.key)
        if decision.kind is Kind.EXACT and is_emergency(decision.key):
            return True
        at = bisect_left(self._texts, wanted)
        if decision.kind is Kind.PREFIX and at < len(self._texts) and self._texts[at].startswith(wanted):
            return True
        if decision.kind is Kind.EXACT and f"{wanted}=" in self._whole:
            return True
        return any(f"{wanted[:end]}*" in self._whole for end in range(2, len(wanted) + 1))

    def _refresh(self) -> None:
        generation, configuration = self._configuration()
        if generation == self._generation:
            return
        self._generation = generation
        self.unreadable = []
        entries = [(_text(key), key >> KIND_SHIFT == KIND_PREFIX) for key in map(_word, self._entries(configuration))]
        self._texts = sorted(text + ("*" if prefix else "=") for text, prefix in entries)
        self._whole = frozenset(self._texts)

    def _entries(self, configuration: Configuration) -> Iterator[str]:
        yield from _ALWAYS
        for each in configuration.lists:
            if each.action is not ListAction.PROTECTED:
                continue
            yield from each.numbers
            if each.file is not None:
                yield from self._lines(each.file)

    def _lines(self, name: str) -> Iterator[str]:
        try:
            text = (self._base_dir / name).read_text()
        except OSError:
            self.unreadable.append(name)
            return
        for line in text.splitlines():
            entry = line.partition("#")[0].strip()
            if entry:
                yield entry


def _word(entry: str) -> int:
    return caller_word(entry)[0]


def _text(key: int) -> str:
    """Digits, with a letter before those of short codes."""
    is_prefix = key >> KIND_SHIFT == KIND_PREFIX
    short = bool(key & SHORT_PREFIX) if is_prefix else key >> KIND_SHIFT == 3
    digits = str(key & (SHORT_PREFIX - 1))[1:]
    return ("s" if short else "n") + digits
