"""Reload: what is put into force when, and what stays when something is wrong."""

import asyncio
from pathlib import Path

import pytest

from engine.config_errors import ConfigError, ConfigFinding, warning
from proxy.config import Admin, Configuration, Gateway, Listener, Node, Target
from proxy.control.compile import CompileResult, keep_sealed
from proxy.control.intake import EventIntake
from proxy.control.reload import Reloader, ReloadOutcome
from proxy.event_channel import EventSender, Hello, Swap, Swapped, decode_message
from proxy.logs import open_log
from proxy.state_directory import StateDirectory
from tests.proxy.eventually import eventually

LOG = open_log("test")
ERROR = ConfigFinding("callsieve.toml", "trunk[carrier].route", "no gateway of that name")


class Policy:
    def write(self, path: Path) -> None:
        path.write_bytes(b"image")


class ReloadingNode:
    """A state directory with generation 1 in force, an intake, and a compiler that is told what to answer."""

    def __init__(self, path: Path) -> None:
        self.state = StateDirectory(path)
        self.state.create()
        self.result = CompileResult(())
        self.compiled: list[tuple[int, int]] = []
        self.intake = EventIntake(self.state.events_socket, LOG, lambda batch: None, 1)
        self.reloader = Reloader(Path("callsieve.toml"), self.state, self.intake, self.compile, LOG)
        self.write(1)
        self.state.activate(1)

    def write(self, generation: int) -> None:
        self.state.write_generation(generation, Configuration(), Policy())

    async def compile(self, generation: int, sealed: int) -> CompileResult:
        self.compiled.append((generation, sealed))
        if not self.result.errors:
            self.write(generation)
        return self.result

    async def worker(self, number: int, *errors: str | None) -> asyncio.Task[list[int]]:
        """A worker that answers one order to swap for each of `errors`."""
        sender = EventSender(self.state.events_socket, number)
        end = sender.connect()
        assert end is not None
        sender.note(Hello(number, 1, 1))
        await eventually(lambda: number in [link.worker for link in self.intake.workers])

        async def answer() -> list[int]:
            told = []
            with end:
                for error in errors:
                    order = decode_message(await asyncio.get_running_loop().sock_recv(end, 65536))
                    assert isinstance(order, Swap)
                    told.append(order.generation)
                    sender.note(Swapped(order.generation, error))
                await eventually(lambda: self.reloader.failed + self.reloader.succeeded)
            return told

        return asyncio.create_task(answer())


def test_all_workers_swap(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = ReloadingNode(tmp_path)
        node.intake.open()
        node.result = CompileResult((warning("limit[burst]", "never fires"),))
        workers = [await node.worker(number, None) for number in range(2)]
        assert await node.reloader.reload() == ReloadOutcome(2, [], [warning("limit[burst]", "never fires")])
        assert [await worker for worker in workers] == [[2], [2]]
        assert (node.compiled, node.state.current(), node.intake.current) == ([(2, 1)], 2, 2)
        assert (node.reloader.succeeded, node.reloader.failed) == (1, 0)
        node.intake.close()

    asyncio.run(scenario())


def test_error_keeps_the_old(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = ReloadingNode(tmp_path)
        node.intake.open()
        node.result = CompileResult((ERROR, warning("x", "y")))
        assert await node.reloader.reload() == ReloadOutcome(1, [ERROR], [warning("x", "y")])
        assert (node.state.current(), node.intake.current, node.reloader.failed) == (1, 1, 1)
        node.intake.close()

    asyncio.run(scenario())


def test_what_one_worker_refuses_none_keeps(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = ReloadingNode(tmp_path)
        node.intake.open()
        workers = [await node.worker(0, None, None), await node.worker(1, "no memory", None)]
        outcome = await node.reloader.reload()
        assert [await worker for worker in workers] == [[2, 1], [2, 1]]
        assert (outcome.generation, [finding.why for finding in outcome.errors]) == (
            1,
            ["worker 1 refused it: no memory"],
        )
        assert (node.state.current(), node.intake.current) == (1, 1)
        node.result = CompileResult(())
        assert (await node.reloader.reload()).generation == 3
        node.intake.close()

    asyncio.run(scenario())


def test_worker_that_went_away_takes_it_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = ReloadingNode(tmp_path)
        node.intake.open()
        sender = EventSender(node.state.events_socket, 0)
        end = sender.connect()
        assert end is not None
        sender.note(Hello(0, 1, 1))
        await eventually(lambda: node.intake.workers)
        reload = asyncio.create_task(node.reloader.reload())
        assert await asyncio.get_running_loop().sock_recv(end, 100)
        end.close()
        outcome = await reload
        assert (outcome.generation, outcome.errors) == (2, [])
        assert [finding.why for finding in outcome.warnings] == ["worker 0 has not answered yet"]
        node.intake.close()

    asyncio.run(scenario())


def test_reloads_do_not_overlap(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = ReloadingNode(tmp_path)
        node.intake.open()
        outcomes = await asyncio.gather(*(node.reloader.reload() for _ in range(3)))
        assert [outcome.generation for outcome in outcomes] == [2, 3, 4]
        assert node.compiled == [(2, 1), (3, 2), (4, 3)]
        node.intake.close()

    asyncio.run(scenario())


# What a running node cannot change

SEALED = Configuration(node=Node(name="n", workers=2), listeners=(Listener(name="udp", address="127.0.0.1:5060"),))


def gateway(listener: str | None) -> Gateway:
    return Gateway(name="softswitch", targets=(Target(address="127.0.0.1:5070"),), listener=listener)


def test_process_lifetime_is_kept_with_a_warning() -> None:
    wanted = Configuration(
        node=Node(name="n", workers=4),
        admin=Admin(address="127.0.0.1:9999"),
        listeners=(Listener(name="udp", address="127.0.0.1:5080"),),
        gateways=(gateway("udp"),),
    )
    kept, findings = keep_sealed(wanted, SEALED)
    assert (kept.node, kept.admin, kept.listeners) == (SEALED.node, SEALED.admin, SEALED.listeners)
    assert kept.gateways == wanted.gateways
    assert [(finding.key, finding.severity) for finding in findings] == [
        ("node.workers", "warning"),
        ("listener", "warning"),
        ("admin.address", "warning"),
    ]


def test_gateway_on_a_new_listener_needs_a_restart() -> None:
    with pytest.raises(ConfigError, match=r"gateway\[softswitch\].listener: tls is a new listener"):
        keep_sealed(Configuration(gateways=(gateway("tls"),)), SEALED)


def test_nothing_sealed_changed_is_nothing_to_say() -> None:
    kept, findings = keep_sealed(SEALED, SEALED)
    assert (kept, findings) == (SEALED, [])
