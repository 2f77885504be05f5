"""A disk that stalls: fsync and fdatasync of a node's processes wait for as long as a test says.

A library of a dozen lines, compiled with the compiler that the build needs anyway, stands before libc's (LD_PRELOAD).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_for_disk(void)
{
    const char *stalls = getenv("STALLED_DISK"), *waited_for = getenv("STALLED_DISK_WAITED_FOR");
    while (stalls && waited_for && access(stalls, F_OK) == 0) {
        close(open(waited_for, O_CREAT | O_WRONLY, 0600));
        usleep(10000);
    }
}
int fsync(int fd) { wait_for_disk(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_for_disk(); return syscall(SYS_fdatasync, fd); }
"""


class StalledDisk:
    """environment: of the programs that it is the disk of."""

    def __init__(self, directory: Path) -> None:
        library, source = directory / "stalled_disk.so", directory / "stalled_disk.c"
        source.write_text(SOURCE)
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        self._flag, self._waited_for = directory / "stalls", directory / "waited-for"
        self.environment = {
            "LD_PRELOAD": str(library),
            "STALLED_DISK": str(self._flag),
            "STALLED_DISK_WAITED_FOR": str(self._waited_for),
        }

    @contextmanager
    def stalled(self) -> Iterator[None]:
        self._flag.touch()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        self._flag.unlink(missing_ok=True)

    def is_waited_for(self) -> bool:
        """Whether a process has tried to write since it stalls."""
        return self._waited_for.exists()
