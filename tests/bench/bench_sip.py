"""CPU time that the proxy takes for a call, beside Kamailio and the kernel's floor measured in the same run.

Run as `python -m tests.bench.bench_sip`. The proxy has a processor core of its own, the load harness another;
calls are kept in flight so that the proxy is never without work. The figure is user and system time of all the proxy's
processes divided by the calls that ended in the same window: the median of a few windows, with the highest. It prints
how busy the proxy's core was: far below 100 % the harness, or somebody else on this machine, was the bottleneck.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.subjects import SUBJECTS, Subject, Unavailable, free_port
from tests.load.mix import Family, InPrefix, Mix
from tests.load.run import Answering, LoadRun, Plan

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SERVING_LIMIT_S = 15.0
CALLEES = InPrefix(prefixes=("+86208888",), digits=4)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is placed, and the final statuses that a proxy at work gives."""

    name: str
    mix: Mix
    statuses: frozenset[int]


SCENARIOS = (
    Scenario(
        "rejected INVITE",
        Mix(
            families=(
                Family(
                    name="denied",
                    label="nuisance:rotate",
                    weight=1,
                    callers=InPrefix(prefixes=("+86170",), digits=8),
                    callees=CALLEES,
                ),
            )
        ),
        frozenset({403, 603}),
    ),
    Scenario(
        "complete call INVITE-200-ACK-BYE-200",
        Mix(
            families=(
                Family(
                    name="clean",
                    label="legit:residential",
                    weight=1,
                    callers=InPrefix(prefixes=("+86138", "+86139"), digits=8),
                    callees=CALLEES,
                ),
            )
        ),
        frozenset({200}),
    ),
)


@dataclass(frozen=True, slots=True)
class Window:
    """What passed between two readings of the clocks."""

    calls: int
    cpu_s: float
    worker_cpu_s: float  # of the process that worked most
    elapsed_s: float

    @property
    def worker_us_a_call(self) -> float:
        return self.worker_cpu_s * 1e6 / self.calls

    @property
    def cpu_us_a_call(self) -> float:
        return self.cpu_s * 1e6 / self.calls


@dataclass(frozen=True, slots=True)
class Figure:
    """The windows of one subject in one scenario."""

    windows: tuple[Window, ...]
    lost: int

    @property
    def cpu_us(self) -> float:
        return statistics.median(window.cpu_us_a_call for window in self.windows)

    @property
    def worker_us(self) -> float:
        return statistics.median(window.worker_us_a_call for window in self.windows)

    @property
    def worst_us(self) -> float:
        return max(window.cpu_us_a_call for window in self.windows)

    @property
    def calls_per_s(self) -> float:
        return sum(window.calls for window in self.windows) / sum(window.elapsed_s for window in self.windows)

    @property
    def core_share(self) -> float:
        return sum(window.cpu_s for window in self.windows) / sum(window.elapsed_s for window in self.windows)


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    cores = sorted(os.sched_getaffinity(0))
    proxy_core = cores[0]
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[1:]))
    else:
        print("one processor core only: the harness shares it with the proxy", file=sys.stderr)
    figures: dict[tuple[str, str], Figure] = {}
    for name in options.only:
        for scenario in SCENARIOS:
            try:
                figures[scenario.name, name] = measure(SUBJECTS[name], scenario, proxy_core, options)
            except Unavailable as reason:
                print(f"{name}: not measured: {reason}", file=sys.stderr)
                break
    for scenario in SCENARIOS:
        for line in report(scenario, figures):
            print(line)
    return 0 if figures else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_sip", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), help="what to measure")
    parser.add_argument("--windows", type=int, default=3, help="readings of each figure")
    parser.add_argument("--window-s", type=float, default=0.8, help="seconds of each")
    parser.add_argument("--warm-up-s", type=float, default=6.0, help="before the first: ended calls linger for 5 s")
    parser.add_argument("--in-flight", type=int, default=128, help="calls kept under way")
    return parser.parse_args(argv)


def measure(subject: Subject, scenario: Scenario, core: int, options: argparse.Namespace) -> Figure:
    rejecting = 200 not in scenario.statuses
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callsieve-bench-")))
        port, softswitch = free_port(), free_port()
        run = LoadRun(
            Plan(
                target=("127.0.0.1", port),
                in_flight=options.in_flight,
                duration_s=60.0,
                drain_s=1.0,
                mix=scenario.mix,
                spinning=True,
                answering=Answering(
                    address=("127.0.0.1", softswitch),
                    contact=f"127.0.0.1:{port}" if subject.leaves_dialog_alone else None,
                ),
            )
        )
        stack.callback(run.close)
        process = stack.enter_context(subject.started(directory, port, softswitch, core, rejecting))
        run.start()
        stack.callback(run.wait, 10.0)
        stack.callback(run.stop)
        windows = tuple(observe(run, process, options))
    check_statuses(scenario, run)
    return Figure(windows, run.counts["lost"])


def observe(run: LoadRun, process: int, options: argparse.Namespace) -> Iterator[Window]:
    deadline = time.monotonic() + SERVING_LIMIT_S
    while run.counts["finished"] == 0:
        if time.monotonic() > deadline:
            raise Unavailable("no call ended")
        time.sleep(0.05)
    time.sleep(options.warm_up_s)
    for _ in range(options.windows):
        calls, before, started = run.counts["finished"], cpu_seconds(process), time.monotonic()
        time.sleep(options.window_s)
        elapsed_s = time.monotonic() - started
        calls = run.counts["finished"] - calls
        spent = [seconds - before.get(pid, 0.0) for pid, seconds in cpu_seconds(process).items()]
        if calls == 0:
            raise Unavailable("no call ended within a window")
        yield Window(calls, sum(spent), max(spent), elapsed_s)


def check_statuses(scenario: Scenario, run: LoadRun) -> None:
    seen = {status for uac in run.uacs for i in range(len(run.deck.families)) for status in uac.statuses(i)}
    if seen - scenario.statuses - {0}:
        raise Unavailable(f"{scenario.name}: calls ended with {sorted(seen - {0})}")


def cpu_seconds(process: int) -> dict[int, float]:
    """User and system time of a process and of all that descend from it, by process id."""
    parents, ticks = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(entry.name)] = int(fields[1])
        ticks[int(entry.name)] = int(fields[11]) + int(fields[12])
    return {pid: ticks[pid] / TICKS_PER_S for pid in parents if descends(pid, process, parents)}


def descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid and pid != ancestor:
        pid = parents.get(pid, 0)
    return pid == ancestor


def report(scenario: Scenario, figures: dict[tuple[str, str], Figure]) -> Iterator[str]:
    for name in SUBJECTS:
        figure = figures.get((scenario.name, name))
        if figure is None:
            continue
        ratios = ", ".join(
            f"{figure.cpu_us / figures[scenario.name, other].cpu_us:.2f} of {other}"
            for other in ("kamailio", "floor")
            if other != name and (scenario.name, other) in figures
        )
        yield (
            f"{scenario.name:37} {name:9} {figure.cpu_us:6.1f} us CPU a call (highest {figure.worst_us:.1f}, "
            f"worker alone {figure.worker_us:.1f}), "
            f"{figure.calls_per_s:,.0f} calls/s, core {100 * figure.core_share:.0f} % busy, {figure.lost} lost"
            + (f"; {ratios}" if ratios else "")
        )


if __name__ == "__main__":
    raise SystemExit(main())
