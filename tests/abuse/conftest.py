"""What abuse tests of a running node stand on: the fixtures of the live tests."""

from __future__ import annotations

from tests.abuse.clean_caller import clean_caller
from tests.live.conftest import baresip, node, ports, sipp, start_node

__all__ = ["baresip", "clean_caller", "node", "ports", "sipp", "start_node"]
