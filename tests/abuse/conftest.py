"""What abuse tests of a running node stand on: the fixtures of the live tests."""

from __future__ import annotations

from tests.live.conftest import baresip, node, ports, sipp, start_node

__all__ = ["baresip", "node", "ports", "sipp", "start_node"]
