"""Where an Engine has its policy from: files that it compiles itself, or what a running node has compiled."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from engine._image import ImageError, PolicyImage
from engine.policy_file import compile_draft, load_policy
from engine.state_directory import EngineDirectory


class PolicySource(Protocol):
    def compile(self) -> PolicyImage:
        """The policy as it stands now."""

    def newer(self, generation: int) -> PolicyImage | None:
        """Another policy that has come into force by itself, None if there is none or it cannot be read."""


class WrittenPolicy:
    """A policy file, or what it would hold. half_life_days: of reputation, as it was when the engine was opened."""

    def __init__(self, source: Path | str | Mapping[str, object], base_dir: Path) -> None:
        self._source = source
        self._base_dir = base_dir
        self._generation = 0
        self.half_life_days = load_policy(source, base_dir).configuration().reputation.half_life_days

    def compile(self) -> PolicyImage:
        image = compile_draft(load_policy(self._source, self._base_dir), self._generation + 1)
        self._generation += 1
        return image

    def newer(self, generation: int) -> PolicyImage | None:
        return None


class NodePolicy:
    """The generation that a node has in force."""

    def __init__(self, directory: EngineDirectory) -> None:
        self._directory = directory

    def compile(self) -> PolicyImage:
        generation = self._directory.current()
        if generation is None:
            raise FileNotFoundError(f"{self._directory.path} holds no generation: start callsieve run")
        return PolicyImage.open(self._directory.policy_image(generation))

    def newer(self, generation: int) -> PolicyImage | None:
        with suppress(OSError, ValueError, ImageError):
            if self._directory.current() not in (None, generation):
                return self.compile()
        return None
