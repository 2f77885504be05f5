"""Abuse tests that need a running node start it as the live tests do."""

from tests.live.conftest import node, ports, start_node

__all__ = ["node", "ports", "start_node"]
