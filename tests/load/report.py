"""What a load run came to: the closing table, the same as JSON, and the calls as calls.csv."""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from tests.load._histogram import Histogram
from tests.load.mix import Deck
from tests.load.run import LoadRun

RECORD = struct.Struct("=qQIIIHH")  # Record of _uac.pxd
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
REQUEST_TIMEOUT = 408  # what a caller takes the silence for (RFC 3261 section 8.1.3.1)
COLUMNS = (
    "call_id",
    "start",
    "trunk",
    "caller",
    "callee",
    "source",
    "user_agent",
    "ring_s",
    "status",
    "talk_s",
    "released_by",
    "label",
)


class Report:
    """The figures of a run that has ended."""

    def __init__(self, run: LoadRun, answering: dict[str, int]) -> None:
        self.elapsed_s = run.elapsed_s
        self.counts = run.counts
        self.answering = answering
        self.families = [family_figures(run, i) for i in range(len(run.deck.families))]
        self.latencies = dict(zip(("first_response", "final_response"), run.latencies(), strict=True))

    @property
    def lost(self) -> int:
        return self.counts["lost"]

    @property
    def calls_per_s(self) -> float:
        return self.counts["finished"] / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def retransmissions(self) -> dict[str, int]:
        counts, answering = self.counts, self.answering
        return {
            "INVITE": counts["invites_repeated"],
            "BYE": counts["byes_repeated"],
            "CANCEL": counts["cancels_repeated"],
            "final responses sent": answering.get("retransmissions", 0),
            "final responses received": counts["responses_repeated"],
        }

    @property
    def datagram_loss(self) -> dict[str, int]:
        return {
            "not taken by the kernel": self.counts["refused"] + self.answering.get("refused", 0),
            "dropped at our sockets": self.answering["dropped_by_kernel"],
            "dropped on purpose": self.answering.get("dropped", 0),
            "unexpected": self.counts["unexpected"] + self.answering.get("unreadable", 0),
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "elapsed_s": round(self.elapsed_s, 3),
            "calls": self.counts["placed"],
            "calls_per_s": round(self.calls_per_s, 1),
            "answered": self.counts["answered"],
            "rejected": self.counts["rejected"],
            "lost": self.lost,
            "postponed": self.counts["postponed"],
            "families": self.families,
            "latency_us": {name: latency_figures(histogram) for name, histogram in self.latencies.items()},
            "retransmissions": self.retransmissions,
            "datagram_loss": self.datagram_loss,
        }

    def print(self, console: Console) -> None:
        console.print(self._calls_table())
        console.print(self._latency_table())
        console.print(
            f"{self.counts['placed']:,} calls in {self.elapsed_s:.1f} s, {self.calls_per_s:,.0f} a second, "
            f"{self.lost:,} lost"
        )
        console.print("retransmissions: " + in_words(self.retransmissions), soft_wrap=True)
        console.print("datagrams: " + in_words(self.datagram_loss), soft_wrap=True)
        if self.counts["postponed"]:
            console.print(f"the rate was not kept: {self.counts['postponed']:,} times all calls were in use")

    def _calls_table(self) -> Table:
        statuses = sorted({status for family in self.families for status in family["rejected"]}, key=int)
        table = Table(title="calls by family and verdict (a number: rejected with that status)")
        table.add_column("family", no_wrap=True)
        table.add_column("label", no_wrap=True)
        for heading in ("calls", "accepted", "labelled", *statuses, "lost"):
            table.add_column(heading, justify="right")
        for family in self.families:
            rejected = [family["rejected"].get(status, 0) for status in statuses]
            cells = (family["calls"], family["accepted"], family["labelled"], *rejected, family["lost"])
            table.add_row(family["name"], family["label"], *(f"{cell:,}" for cell in cells))
        return table

    def _latency_table(self) -> Table:
        table = Table(title="ms from INVITE")
        table.add_column("to")
        for heading in (*(f"p{share:g}" for share in PERCENTILES), "max"):
            table.add_column(heading, justify="right")
        for name, histogram in self.latencies.items():
            figures = latency_figures(histogram)
            table.add_row(name.replace("_", " "), *(f"{value / 1000:.2f}" for value in figures.values()))
        return table


class CallsFile:
    """Writes finished calls as rows of calls.csv while the run is on."""

    def __init__(self, path: Path, run: LoadRun, trunk: str) -> None:
        self._file: IO[str] = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, quoting=csv.QUOTE_ALL)  # a spreadsheet takes +86... for a formula
        self._run = run
        self._trunk = trunk
        self._rows.writerow(COLUMNS)

    def drain(self) -> None:
        """Takes what the callers have recorded since the last time."""
        source = self._run.plan.bind[0]
        for uac in self._run.uacs:
            self._rows.writerows(rows(uac.take_records(), uac.run_id, self._run.deck, self._trunk, source))

    def close(self) -> None:
        self.drain()
        self._file.close()


def rows(records: bytes, run_id: str, deck: Deck, trunk: str, source: str) -> Iterator[tuple[object, ...]]:
    host = f"[{source}]" if ":" in source else source
    for started_us, identity, entry, ring_us, talk_us, status, _ in RECORD.iter_unpack(records):
        family, caller, callee = deck.entry(entry)
        yield (
            f"{run_id}{identity:016x}@{host}",
            f"{started_us / 1e6:.6f}",
            trunk,
            caller,
            callee,
            source,
            "callsieve load harness",
            f"{ring_us / 1e6:.6f}",
            status or REQUEST_TIMEOUT,
            f"{talk_us / 1e6:.6f}",
            "caller" if status in (0, 200, 487) else "callee",
            family.label,
        )


def family_figures(run: LoadRun, i: int) -> dict[str, Any]:
    statuses: dict[int, int] = {}
    for uac in run.uacs:
        for status, count in uac.statuses(i).items():
            statuses[status] = statuses.get(status, 0) + count
    return {
        "name": run.deck.families[i].name,
        "label": run.deck.families[i].label,
        "calls": sum(statuses.values()),
        "accepted": sum(count for status, count in statuses.items() if 200 <= status < 300),
        "labelled": sum(uac.labelled(i) for uac in run.uacs),
        "rejected": {str(status): count for status, count in sorted(statuses.items()) if status >= 300},
        "lost": statuses.get(0, 0),
    }


def latency_figures(histogram: Histogram) -> dict[str, int]:
    figures = {f"p{share:g}": histogram.percentile(share) for share in PERCENTILES}
    return {**figures, "max": histogram.highest}


def in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
