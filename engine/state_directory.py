"""The part of a node's state directory that the engine needs: tables, secret, and the policy in force.

    state_dir/tables/            the memory-mapped tables
    state_dir/secret             what table keys and redress ids are hashed with, the same in every process
    state_dir/generation-N/      what a running node compiled; `current` names the one in force
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class EngineDirectory:
    path: Path

    @property
    def tables(self) -> Path:
        return self.path / "tables"

    def create(self) -> None:
        """Makes what is missing; OSError if it cannot."""
        self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.tables.mkdir(mode=0o750, exist_ok=True)

    def has_secret(self) -> bool:
        return (self.path / "secret").exists()

    def secret(self) -> bytes:
        """The node's secret: random, made once, for its owner's eyes alone."""
        path = self.path / "secret"
        if not path.exists():
            self._make_secret(path)
        secret = path.read_bytes()
        if len(secret) != SECRET_BYTES:
            raise OSError(f"{path} does not hold {SECRET_BYTES} bytes; remove it to have a new one made")
        return secret

    def node_key(self) -> bytes:
        """What the engine keys redress ids and table keys with, the same in every process of the node."""
        return hashlib.blake2b(self.secret(), digest_size=16, person=b"node key").digest()

    def generation(self, number: int) -> Path:
        return self.path / f"generation-{number}"

    def policy_image(self, number: int) -> Path:
        return self.generation(number) / "policy.img"

    def current(self) -> int | None:
        """The generation in force; None where no node has run."""
        try:
            name = (self.path / "current").readlink().name
        except FileNotFoundError:
            return None
        return int(name.removeprefix("generation-"))

    def _make_secret(self, path: Path) -> None:
        """Of processes that start at once the first one's counts."""
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        try:
            os.link(partial, path)
        except FileExistsError:
            pass
        finally:
            partial.unlink()
