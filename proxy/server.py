"""The process of a worker: what it is started with, and its parts put together. Driven by uvloop. No HTTP; names are
looked up beside it; of the disk only certificates that have changed, in a thread.

    python -m proxy.server --state-dir DIR --worker K --workers N --fds 5,6 --clock-offset US --lifeline FD

fds: one bound socket for each listener, in the order of the configuration. SIGTERM drains; so does the end of the
supervisor, which breaks the lifeline. A worker goes on when control is away, and reports to it again when it is back.
--in-flight and --quarantine: memory shared with the supervisor (proxy/watchdog.py). SIGUSR1 writes all stacks to
`stack-K.txt`, whatever the process is doing.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import functools
import gc
import signal
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import uvloop

from engine._screener import Screener
from engine.policy import PolicyImage
from proxy.call_limits import open_limits
from proxy.config import Configuration, InternalErrorAction, Listener
from proxy.config_address import parse_host_port
from proxy.core import ProxyCore
from proxy.counters import Counters
from proxy.dns_servers import DnsServers
from proxy.event_channel import EventSender
from proxy.fault_log import FaultLog
from proxy.hearing import Hearing
from proxy.in_flight import InFlight, Quarantine
from proxy.logs import open_log
from proxy.process_name import name_process
from proxy.resolver import Resolver
from proxy.router import ListenerAddress
from proxy.spare import ARGUMENT as SPARE
from proxy.spare import awaited_arguments
from proxy.state_directory import StateDirectory
from proxy.stream_setup import build_streams, open_certificates, renew_certificates, troubled_certificates
from proxy.trunks import build_routing
from proxy.udp import UdpEdge
from proxy.worker import Prepared, Worker
from proxy.worker_tables import WorkerTables, open_tables


def prepare_generation(
    state: StateDirectory, tables: WorkerTables, node_key: bytes, worker: int, workers: int, generation: int
) -> Prepared:
    """Opens a generation; OSError or ValueError if it cannot be run."""
    routing = build_routing(state.configuration(generation), generation)
    image = PolicyImage.open(state.policy_image(generation))
    limits = open_limits(state.call_limits(generation), routing.limits, worker, workers)
    return routing, Screener(image, tables.current, node_key), limits


def build_resolver(configuration: Configuration) -> Resolver:
    """Made within the running loop. The preferred transport is that of the first listener."""
    reach = [
        (row.transport.value, ip_address(parse_host_port(row.address).host).version) for row in configuration.listeners
    ]
    return Resolver(reach, DnsServers(configuration.dns.servers).query)


def build_core(
    configuration: Configuration,
    sockets: Sequence[socket.socket],
    counters: Counters,
    worker: int,
    workers: int,
    state: StateDirectory,
) -> ProxyCore:
    return ProxyCore(
        [_listener(listener, bound) for listener, bound in zip(configuration.listeners, sockets, strict=True)],
        worker=worker,
        workers=workers,
        secret=state.secret(),
        counters=counters,
        capacity=configuration.capacity,
        timers=configuration.timers,
        server_header=configuration.node.server_header,
        open_on_error=configuration.node.on_internal_error is InternalErrorAction.OPEN,
    )


def _listener(listener: Listener, bound: socket.socket) -> ListenerAddress:
    ip, port = bound.getsockname()[:2]
    host, told_port = ip, port
    if listener.advertise is not None:
        told = parse_host_port(listener.advertise, port)
        host, told_port = told.host, told.port
    return ListenerAddress(ip, port, f"[{host}]" if ":" in host else host, told_port, listener.transport.value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="proxy.server")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--worker", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--fds", required=True)
    parser.add_argument("--clock-offset", type=int, required=True)
    parser.add_argument("--lifeline", type=int)
    parser.add_argument("--in-flight", type=int, default=-1)
    parser.add_argument("--quarantine", type=int, default=-1)
    # A terminal's Ctrl-C and hang-up reach the whole group; what they mean is for the supervisor to say.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    options = parser.parse_args(awaited_arguments(sys.argv[2]) if sys.argv[1:2] == [SPARE] else None)
    name_process(f"callsieve-w{options.worker}")
    log = open_log(f"worker-{options.worker}")
    state = StateDirectory(options.state_dir)
    stack = state.stack(options.worker).open("w")
    faulthandler.register(signal.SIGUSR1, stack)
    generation = state.current()
    if generation is None:
        raise SystemExit(f"{state.path} holds no generation: start callsieve run")
    configuration = state.configuration(generation)
    sockets = [socket.socket(fileno=int(fd)) for fd in options.fds.split(",")]
    tables = WorkerTables(open_tables(state, configuration), log)
    counters = Counters.open(state.counters(options.worker))
    core = build_core(configuration, sockets, counters, options.worker, options.workers, state)
    in_flight, quarantine = InFlight(options.in_flight), Quarantine(options.quarantine)
    hand_over = state.path if options.workers > 1 else None
    edge = UdpEdge(core, sockets, options.clock_offset, hand_over, in_flight, quarantine)
    certificates = open_certificates(configuration, log)
    streams = edge.streams = build_streams(configuration, sockets, certificates, edge, counters, options.worker)
    worker = Worker(
        options.worker,
        core,
        edge,
        streams,
        functools.partial(renew_certificates, certificates, counters, log),
        functools.partial(troubled_certificates, certificates),
        sockets,
        in_flight,
        Hearing(core.load, [each for each in sockets if each.type == socket.SOCK_DGRAM], counters, log),
        EventSender(state.events_socket, options.worker),
        functools.partial(prepare_generation, state, tables, state.node_key(), options.worker, options.workers),
        tables.reopen,
        functools.partial(build_resolver, configuration),
        log,
    )
    gc.freeze()  # what has been made lives as long as the process
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(FaultLog(log))
        runner.run(worker.run(generation, configuration.node.drain_s, options.lifeline))


if __name__ == "__main__":
    main()
