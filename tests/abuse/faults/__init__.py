"""Faults that a test puts into a node from outside; the node itself knows nothing of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.live.programs import require

FAULTS = Path(__file__).parent


def preloaded(name: str, directory: Path) -> Path:
    """The library made of `name`.c, for LD_PRELOAD."""
    library = directory / f"{name}.so"
    arguments = [require("gcc", "gcc"), "-shared", "-fPIC", "-o", str(library), str(FAULTS / f"{name}.c"), "-ldl"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library
