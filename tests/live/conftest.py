"""What live tests stand on: free ports, SIPp, baresip phones, and the proxy itself, all stopped when a test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.baresip import BaresipFactory
from tests.live.beside import Beside, start_beside
from tests.live.kamailio import KamailioFactory
from tests.live.linphone import LinphoneFactory
from tests.live.node import Node, Setup
from tests.live.programs import Ports
from tests.live.sipp import SippFactory


@pytest.fixture(scope="session")
def ports() -> Ports:
    return Ports()


@pytest.fixture
def sipp(tmp_path: Path, ports: Ports) -> Iterator[SippFactory]:
    factory = SippFactory(tmp_path, ports)
    yield factory
    factory.stop()


@pytest.fixture
def baresip(tmp_path: Path, ports: Ports) -> Iterator[BaresipFactory]:
    factory = BaresipFactory(tmp_path, ports)
    yield factory
    factory.stop()


@pytest.fixture
def kamailio(tmp_path: Path, ports: Ports) -> Iterator[KamailioFactory]:
    factory = KamailioFactory(tmp_path, ports)
    yield factory
    factory.stop()


@pytest.fixture
def linphone(tmp_path: Path, ports: Ports) -> Iterator[LinphoneFactory]:
    factory = LinphoneFactory(tmp_path, ports)
    yield factory
    factory.stop()


@pytest.fixture
def start_node(tmp_path: Path, ports: Ports) -> Iterator[Callable[..., Node]]:
    """Starts the proxy in front of a softswitch on `gateway_port`; further arguments are those of Setup."""
    started: list[Node] = []

    def start(gateway_port: int, **wanted: Any) -> Node:
        node = Node(tmp_path, ports, gateway_port, Setup(**wanted))
        started.append(node)
        return node

    yield start
    for node in started:
        node.stop()


@pytest.fixture
def beside(start_node: Callable[..., Node], kamailio: KamailioFactory, ports: Ports) -> Beside:
    """Kamailio with the plug-in in front of a callee, and a node without listeners beside it."""
    return start_beside(start_node, kamailio, ports)


@pytest.fixture
def node(start_node: Callable[..., Node], ports: Ports) -> Node:
    """A proxy with one worker; nobody is at its gateway port yet."""
    return start_node(ports.udp())
