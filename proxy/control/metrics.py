"""What a node counts, for Prometheus. Labels come from the configuration and fixed lists alone, never from the wire."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.control.call_log import LineLog
from proxy.control.intake import EventIntake, all_targets
from proxy.control.reload import Reloader
from proxy.counters import GAUGES
from proxy.events import VerdictTally

Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, eq=False)
class NodeMetrics(Collector):
    """version: of callsieve. worker_counters: read anew at each scrape, by worker. processes: pid by name."""

    version: str
    tally: VerdictTally
    intake: EventIntake
    reloader: Reloader
    logs: dict[str, LineLog]
    worker_counters: Callable[[], dict[int, dict[str, int]]]
    supervisor_pid: int

    def collect(self) -> Iterator[Metric]:
        yield _gauge("build", "Version of callsieve", "version", {self.version: 1})
        yield from self._calls()
        yield from self._workers()
        yield from self._processes()
        yield from self._control()

    def _calls(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("callsieve_calls", "Calls screened, by verdict", labels=["action", "basis"])
        for (action, basis), count in self.tally.verdicts().items():
            calls.add_metric([action, basis], count)
        yield calls
        ended = "Forwarded calls that ended, by class of their final status"
        refused = "Requests answered 503 for want of room or over a limit"
        yield _counter("refused_requests", refused, "trunk", dict(self.intake.refused))
        yield _counter("ended_calls", ended, "status", self.tally.ended_calls())

    def _workers(self) -> Iterator[Metric]:
        counted = self.worker_counters()
        for name in sorted({name for counters in counted.values() for name in counters}):
            by_worker = {str(worker): counters[name] for worker, counters in counted.items()}
            family = _gauge if name in GAUGES else _counter
            yield family(f"worker_{name}", name.replace("_", " ").capitalize(), "worker", by_worker)
        connected = dict.fromkeys(map(str, counted), 0) | {str(link.worker): 1 for link in self.intake.workers}
        yield _gauge("worker_connected", "Whether the worker reports to control", "worker", connected)
        dropped = dict.fromkeys(map(str, counted), 0) | {str(k): v for k, v in self.intake.dropped.items()}
        yield _counter("events_dropped", "Event records that control did not take in time", "worker", dropped)
        plugins = Counter(link.program for link in self.intake.plugins)
        yield _gauge("plugin_processes", "Processes of SIP servers that screen with this node", "program", plugins)
        up = GaugeMetricFamily(
            "callsieve_target_up", "Whether a gateway's target answers", labels=["worker", "gateway", "target"]
        )
        for (worker, gateway, target), is_up in all_targets(self.intake.workers).items():
            up.add_metric([str(worker), gateway, target], is_up)
        yield up

    def _processes(self) -> Iterator[Metric]:
        pids = {"supervisor": self.supervisor_pid, "control": os.getpid()}
        pids |= {f"worker-{link.worker}": link.pid for link in self.intake.workers}
        usage = {name: used for name, pid in pids.items() if (used := _process_usage(pid)) is not None}
        cpu = {name: seconds for name, (seconds, _) in usage.items()}
        memory = {name: resident for name, (_, resident) in usage.items()}
        yield _counter("process_cpu_seconds", "User and system time", "process", cpu)
        yield _gauge("process_resident_bytes", "Resident memory, shared tables included", "process", memory)

    def _control(self) -> Iterator[Metric]:
        written = {name: log.written_lines for name, log in self.logs.items()}
        dropped = {name: log.dropped_lines for name, log in self.logs.items()}
        yield _counter("log_lines_written", "Lines written to the decision and call logs", "log", written)
        yield _counter("log_lines_dropped", "Lines that the disk did not take", "log", dropped)
        results = {"success": self.reloader.succeeded, "failure": self.reloader.failed}
        yield _counter("reloads", "Reloads of the configuration", "result", results)
        yield GaugeMetricFamily("callsieve_generation", "Configuration in force", self.intake.current)
        yield GaugeMetricFamily(
            "callsieve_last_successful_load_timestamp_seconds",
            "When the configuration in force was loaded",
            self.reloader.last_success_s,
        )


def _counter(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> CounterMetricFamily:
    return _with_values(CounterMetricFamily(f"callsieve_{name}", text, labels=[label]), values.items())


def _gauge(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    return _with_values(GaugeMetricFamily(f"callsieve_{name}", text, labels=[label]), values.items())


def _with_values(family: Family, values: Iterable[tuple[str, float]]) -> Family:
    for label, value in values:
        family.add_metric([label], value)
    return family


def _process_usage(pid: int) -> tuple[float, int] | None:
    """(processor seconds, resident bytes) of a process, from /proc; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES
