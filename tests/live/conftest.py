"""What live tests stand on: free ports, SIPp, baresip phones, and the proxy itself, all stopped when a test ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.baresip import BaresipFactory
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
