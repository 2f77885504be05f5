"""Complaints on a running node: from a source with its token, by command, and from a callee who answers 607."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.node import Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import CALLER, SippFactory

TOKEN = "a-source-and-nothing-else"
SOURCE = '\n[[complaint_source]]\nname = "app"\ntoken_file = "app.token"\n'


@pytest.fixture
def node(start_node: Callable[..., Node], ports: Ports, tmp_path: Path) -> Node:
    (tmp_path / "app.token").write_text(f"{TOKEN}\n")
    return start_node(ports.udp(), more=SOURCE)


def post(node: Node, body: dict[str, Any], token: str | None = TOKEN, path: str = "/v1/complaints") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, node.admin_port, timeout=5)
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text[:1] == b"{" else text.decode()
    finally:
        connection.close()


def complaint(**parts: Any) -> dict[str, Any]:
    return {"v": 1, "time": time.time(), "caller": CALLER} | parts


def points(node: Node) -> int:
    found = json.loads(node.command("lookup", CALLER, "--json").stdout)["reputation"]
    return sum(record["points"] for record in found if record["of"] == CALLER)


def test_a_source_reports_a_call_of_this_node(node: Node, sipp: SippFactory) -> None:
    sipp.callee(port=node.gateway_port)
    caller = sipp.caller(node.port)
    assert caller.wait() == 0, caller.tail()
    (decision,) = node.decisions(1)
    call = complaint(call_id=decision["call_id"], reporter="li", category="loan")
    assert post(node, call, token=None)[0] == 401
    assert post(node, call, token=TOKEN + "x")[0] == 401
    assert post(node, call) == (202, {"case": 1, "weight": 1.0, "taken": "new"})
    assert post(node, call)[0] == 409
    assert points(node) == 150
    assert post(node, complaint(caller="110"))[0] == 400
    assert post(node, {}, path="/v1/decisions")[0] in (401, 405), "a source may do nothing else"
    assert node.metric("callsieve_complaints_total", taken="new") == 1
    shown = json.loads(node.command("case", "show", "1", "--json").stdout)
    assert (shown["caller"], shown["category"], shown["complainants"]) == (CALLER, "loan", 1)
    assert shown["complaints"][0]["call_id"] == decision["call_id"]


def test_complain_by_command_and_export(node: Node, tmp_path: Path) -> None:
    taken = node.command("complain", CALLER, "--category", "fraud", "--reporter", "desk", "--json")
    assert json.loads(taken.stdout) == {"case": 1, "weight": 0.25, "taken": "new"}, taken.stderr
    assert CALLER in node.command("case", "list").stdout
    assert node.command("case", "forward", "1").returncode == 0
    assert json.loads(node.command("case", "close", "1", "--json").stdout)["state"] == "closed"
    assert node.command("case", "close", "9").returncode == 1
    assert "no case is open" in node.command("case", "list").stdout
    assert node.command("case", "export", "--format", "csv", "--output", str(tmp_path / "e.csv")).returncode == 0
    assert CALLER in (tmp_path / "e.csv").read_text()
    node.stop()
    assert json.loads(node.command("case", "export").stdout)["caller"] == CALLER


def test_a_607_of_the_callee_is_a_complaint(node: Node, sipp: SippFactory) -> None:
    sipp.callee("uas_unwanted", port=node.gateway_port)
    caller = sipp.caller(node.port, "rejected", status=607)
    assert caller.wait() == 0, caller.tail()
    wait_until(lambda: node.metric("callsieve_complaints_total", taken="new") == 1, "the complaint")
    case = json.loads(node.command("case", "show", "1", "--json").stdout)
    assert case["caller"] == CALLER
    assert [(one["source"], one["weight"]) for one in case["complaints"]] == [("sip-607", 0.5)]


def test_the_store_is_checked_copied_and_restored(node: Node, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert node.command("block", CALLER).returncode == 0
    assert "is whole" in node.command("store", "check").stdout
    assert node.command("store", "backup", str(copy)).returncode == 0
    assert "is whole" in node.command("store", "check", str(copy)).stdout
    assert node.command("unblock", CALLER).returncode == 0
    running = node.command("store", "restore", str(copy))
    assert (running.returncode, "stop it first" in running.stderr) == (4, True)
    node.stop()
    restored = node.command("store", "restore", str(copy))
    assert restored.returncode == 0, restored.stderr
    node.start_again()
    wait_until(lambda: CALLER in node.command("decisions").stdout, "the restored order")
    copy.write_bytes(b"nothing")
    assert node.command("store", "check", str(copy)).returncode == 4
