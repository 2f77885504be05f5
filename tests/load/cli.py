"""`callsieve load`: places calls from a labelled mix through a proxy on this machine and prints what became of them."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.load.mix import DEFAULT_MIX, MixError, read_mix
from tests.load.report import CallsFile, Report
from tests.load.run import Answering, HostPort, LoadRun, Plan

EXIT_COMPLETE, EXIT_LOST, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 128 + signal.SIGINT
PROGRESS_STEP_S = 0.1
LONGEST_S = 3600.0

EXAMPLES = """examples:
  callsieve load 127.0.0.1:5060 --answer 127.0.0.1:5070
      ten seconds at 500 calls/s of the built-in mix; the calls that the proxy lets through are answered here
  callsieve load 127.0.0.1:5060 --answer none --rate 2000 --duration 30 --json
      somebody else answers; figures as JSON on standard output
  callsieve load 127.0.0.1:5060 --answer 127.0.0.1:5070 --in-flight 200 --count 100000 --calls calls.csv
      as fast as the proxy will go, 200 calls at a time; each call written down for `callsieve replay`

exit status: 0 every call had an outcome, 1 calls were lost, 2 wrong use, 130 interrupted (the table is printed)
"""


class UsageError(Exception):
    """An option that cannot be used as given: says which and why."""


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        run = LoadRun(plan_of(options))
    except (UsageError, MixError) as error:
        print(f"callsieve load: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"callsieve load: cannot bind an address given with --bind or --answer: {error}", file=sys.stderr)
        return EXIT_USAGE
    try:
        calls = CallsFile(options.calls, run, options.trunk) if options.calls else None
    except OSError as error:
        print(f"callsieve load: --calls {options.calls}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    interrupted = watch(run, calls)
    if calls:
        calls.close()
    report = Report(run, run.close())
    if options.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        report.print(Console())
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_LOST if report.lost else EXIT_COMPLETE


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="callsieve load",
        description="Places calls through a proxy on this machine and prints what became of them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", help="the proxy, host:port; only addresses of the loopback network")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=float, default=500.0, metavar="N", help="calls a second (default 500)")
    pace.add_argument("--in-flight", type=int, default=0, metavar="N", help="instead: as fast as N calls at a time go")
    parser.add_argument("--duration", type=float, default=10.0, metavar="S", help="seconds of placing (default 10)")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="place at most N calls")
    parser.add_argument("--drain", type=float, default=5.0, metavar="S", help="seconds to end what is open (default 5)")
    parser.add_argument("--mix", type=Path, metavar="FILE", help="TOML with [[family]] tables (default: built in)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the mix (default 1)")
    parser.add_argument("--bind", default="127.0.0.1:0", metavar="HOST:PORT", help="where calls come from")
    parser.add_argument("--callers", type=int, default=1, metavar="N", help="calling sockets, on ports that follow")
    parser.add_argument(
        "--answer", default="127.0.0.1:5070", metavar="HOST:PORT", help="answer calls there; none: somebody else does"
    )
    parser.add_argument("--ring-ms", type=float, default=0.0, metavar="MS", help="from 180 to 200 (default 0)")
    parser.add_argument("--talk-ms", type=float, metavar="MS", help="from 200 to BYE (default: as the mix says)")
    parser.add_argument("--reject", type=int, default=0, metavar="STATUS", help="the answering side rejects every call")
    parser.add_argument("--drop-every", type=int, default=0, metavar="N", help="the answering side drops one in N")
    parser.add_argument("--trunk", default="carrier", metavar="NAME", help="of --calls rows (default carrier)")
    parser.add_argument("--calls", type=Path, metavar="FILE", help="write every finished call as a row of calls.csv")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    return parser


def plan_of(options: argparse.Namespace) -> Plan:
    positive("--rate", options.rate)
    positive("--duration", options.duration)
    positive("--callers", options.callers)
    for name in ("in_flight", "count", "drain", "ring_ms", "drop_every"):
        if getattr(options, name) < 0:
            raise UsageError(f"--{name.replace('_', '-')}: cannot be negative")
    if options.duration > LONGEST_S:
        raise UsageError(f"--duration {options.duration:g}: at most {LONGEST_S:g} seconds")
    if options.reject and not 300 <= options.reject <= 699:
        raise UsageError(f"--reject {options.reject}: expected 300 to 699")
    return Plan(
        target=loopback("target", options.target),
        rate_per_s=0.0 if options.in_flight else options.rate,
        in_flight=options.in_flight,
        calls=options.count,
        duration_s=options.duration,
        drain_s=options.drain,
        mix=read_mix(options.mix) if options.mix else DEFAULT_MIX,
        seed=options.seed,
        bind=loopback("--bind", options.bind, any_port=True),
        callers=options.callers,
        talk_ms=options.talk_ms,
        record=options.calls is not None,
        answering=answering_of(options),
    )


def answering_of(options: argparse.Namespace) -> Answering | None:
    if options.answer == "none":
        return None
    return Answering(
        address=loopback("--answer", options.answer, any_port=True),
        ring_ms=options.ring_ms,
        reject_status=options.reject,
        drop_every=options.drop_every,
    )


def positive(name: str, value: float) -> None:
    if not value > 0:
        raise UsageError(f"{name} {value:g}: expected more than 0")


def loopback(name: str, text: str, *, any_port: bool = False) -> HostPort:
    """host:port of the loopback network. This harness floods whoever it is pointed at: nobody else is called."""
    host, _, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    try:
        address = ip_address(host)
        number = int(port)
    except ValueError:
        raise UsageError(f"{name} {text}: expected a numeric address and a port, as 127.0.0.1:5060") from None
    if not address.is_loopback:
        raise UsageError(f"{name} {text}: refused: only 127.0.0.0/8 and ::1 are called, never another machine")
    if not (0 if any_port else 1) <= number <= 65535:
        raise UsageError(f"{name} {text}: no such port")
    return host, number


def watch(run: LoadRun, calls: CallsFile | None) -> bool:
    """Shows how it goes until the run is over; Ctrl-C ends it early, a second one at once. Whether that was so."""
    columns = (TextColumn("{task.description}"), BarColumn(30), TimeElapsedColumn())
    with Interruption() as interruption, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=1.0)
        run.start()
        stopped = False
        while True:
            ended = run.wait(PROGRESS_STEP_S)
            progress.update(task, completed=share_done(run), description=in_short(run))
            if calls:
                calls.drain()
            if ended:
                return interruption.asked
            if interruption.asked and not stopped:
                stopped = True
                run.stop()


class Interruption:
    """Takes Ctrl-C as a wish, wherever the program just is; the second one is taken as usual."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interruption:
        self._usual = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._usual)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self._usual)


def share_done(run: LoadRun) -> float:
    plan = run.plan
    by_time = run.elapsed_s / plan.duration_s
    return min(1.0, max(by_time, run.counts["finished"] / plan.calls if plan.calls else 0.0))


def in_short(run: LoadRun) -> str:
    counts = run.counts
    return (
        f"{counts['finished']:,} calls, {counts['finished'] / run.elapsed_s:,.0f}/s, {counts['active']:,} in flight, "
        f"{counts['answered']:,} accepted, {counts['rejected']:,} rejected, {counts['lost']:,} lost"
    )
