"""Which message is to blame for dead workers: after two deaths within a minute nobody takes it any more.

A message is known by the digest of all its bytes. One that was merely near at one death is not near at another.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from proxy.in_flight import Quarantine
from proxy.logs import Log

DEATHS = 2
WITHIN_S = 60.0
MAX_SUSPECTS = 4096


class Blame:
    """kept_in: directory for the messages that are taken no more, made when there is one."""

    def __init__(
        self, quarantine: Quarantine, kept_in: Path, log: Log, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        quarantine.set_key()
        self._quarantine = quarantine
        self._kept_in = kept_in
        self._log = log
        self._now_s = now_s
        self._deaths: OrderedDict[int, list[float]] = OrderedDict()  # by digest, latest last

    def died(self, in_hand: Iterable[bytes]) -> None:
        """A worker has died over one of these messages."""
        now_s = self._now_s()
        for message in dict.fromkeys(in_hand):
            digest = self._quarantine.digest(message)
            deaths = [at for at in self._deaths.pop(digest, []) if now_s - at <= WITHIN_S] + [now_s]
            if len(deaths) < DEATHS:
                self._deaths[digest] = deaths
            elif not self._quarantine.holds(message):
                self._drop(digest, message)
        while len(self._deaths) > MAX_SUSPECTS:
            self._deaths.popitem(last=False)

    def _drop(self, digest: int, message: bytes) -> None:
        self._quarantine.add(digest)
        file = self._kept_in / f"{digest:016x}.sip"
        try:
            self._kept_in.mkdir(mode=0o750, exist_ok=True)
            self._forget_oldest()
            file.write_bytes(message)
        except OSError as why:
            self._log.error("a deadly message cannot be kept", why=str(why))
        self._log.error("a message that kills workers is dropped from now on", deaths=DEATHS, file=str(file))

    def _forget_oldest(self) -> None:
        """No more files than there are digests."""
        files = sorted(self._kept_in.glob("*.sip"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[: max(0, len(files) - Quarantine.capacity + 1)]:
            file.unlink()
