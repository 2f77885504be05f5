"""The clock on the wall of a program, moved by libfaketime while it runs; CLOCK_MONOTONIC goes on as under a kernel."""

from __future__ import annotations

import os
from pathlib import Path

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


class WallClock:
    """What the processes of a node are told by libfaketime; moved while they run. name: of its file."""

    def __init__(self, directory: Path, name: str = "clock") -> None:
        assert os.path.exists(FAKETIME), "`make deps` installs it (Debian package libfaketime)"
        self._file = directory / f"{name}.faketime"
        self.shift("+0")
        self.environment = {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def shift(self, by: str) -> None:
        """As `faketime` has it: +3600, -30, +0 x1.1 for one that runs fast."""
        new = self._file.with_suffix(".new")
        new.write_text(by + "\n")
        new.rename(self._file)
