"""Which version this is."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def own_version() -> str:
    """As installed; of a checkout that is run without being installed, as its project file says."""
    try:
        return version("callsieve")
    except PackageNotFoundError:
        return f"{tomllib.loads(_PROJECT.read_text())['project']['version']}, a checkout"
