"""H9: the admin address asked by those who may not, and by those who send too much, too slowly or too often."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from proxy.config import Admin
from proxy.control.access import BODY_BYTES, BODY_S
from proxy.control.admin_site import CONNECTIONS, FIRST_REQUEST_S
from tests.abuse.size import size
from tests.live.node import LISTED, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import SippFactory

TOKEN = "correct-horse-battery-staple"
READING = ("/", "/console.js", "/console.css", "/icon.svg", "/metrics", "/healthz", "/v1/status", "/v1/counters")
ROUTES = [("GET", path) for path in (*READING, "/v1/decisions", "/v1/nothing")] + [("POST", "/v1/reload")]
MEBIBYTE = 1 << 20


class Answer(NamedTuple):
    status: int | None  # None = the connection was closed without an answer
    head: str
    took_s: float


@pytest.fixture
def guarded(start_node: Callable[..., Node], ports: Ports) -> Node:
    return start_node(ports.udp(), token=TOKEN)


def ask(node: Node, method: str = "GET", path: str = "/v1/status", *headers: str, token: str | None = TOKEN) -> Answer:
    """One request, its headers as given, and its answer."""
    return raw(node, request(node, method, path, *headers, token=token))


def request(node: Node, method: str, path: str, *headers: str, token: str | None = TOKEN) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *headers]
    if not any(header.lower().startswith("host:") for header in headers):
        lines.append(f"Host: {LOOPBACK}:{node.admin_port}")
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def raw(node: Node, head: bytes, body: Callable[[socket.socket], None] | None = None, timeout_s: float = 30) -> Answer:
    """`body` writes what follows the head; that the peer closes meanwhile is no error."""
    begun_s = time.monotonic()
    with socket.create_connection((LOOPBACK, node.admin_port), timeout_s) as end:
        received = b""
        try:
            end.sendall(head)
            if body is not None:
                body(end)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            while b"\r\n\r\n" not in received and (chunk := end.recv(65536)):
                received += chunk
        except ConnectionResetError:
            pass
    text = received.partition(b"\r\n\r\n")[0].decode("latin-1")
    return Answer(int(text.split()[1]) if text else None, text, time.monotonic() - begun_s)


def test_h9_loopback_is_the_default(node: Node) -> None:
    assert Admin().address.startswith("127.0.0.1:")
    assert Admin().token_file is None
    assert ask(node, "POST", "/v1/reload", token=None).status == 404, "without a token it only reads"


def test_h9_an_open_address_without_a_token_does_not_start(node: Node) -> None:
    text = node.configuration.read_text()
    node.configuration.write_text(text.replace(f'"{LOOPBACK}:{node.admin_port}"', f'"0.0.0.0:{node.admin_port}"'))
    refused = node.command("check")
    assert refused.returncode != 0
    assert "admin.token_file" in refused.stdout + refused.stderr


def test_h9_every_route_asks_for_the_token(guarded: Node) -> None:
    for method, path in ROUTES:
        asks_for_the_token(guarded, method, path)


def asks_for_the_token(guarded: Node, method: str, path: str) -> None:
    found = 404 if path == "/v1/nothing" else 200
    wrong = ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\x80\xff"]
    answers = [ask(guarded, method, path, token=None), *(ask(guarded, method, path, token=token) for token in wrong)]
    answers.append(ask(guarded, method, path, "Authorization: Basic ::::", token=None))
    answers.append(ask(guarded, method, path, f"Authorization: {TOKEN}", token=None))
    assert [answer.status for answer in answers] == [401] * len(answers)
    assert all('WWW-Authenticate: Basic realm="callsieve"' in answer.head for answer in answers)
    assert ask(guarded, method, path).status == found
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    assert ask(guarded, method, path, f"Authorization: Basic {basic}", token=None).status == found


def test_h9_pages_of_other_sites_may_not_ask(guarded: Node) -> None:
    for method, path in ROUTES:
        refuses_other_sites(guarded, method, path)


def refuses_other_sites(guarded: Node, method: str, path: str) -> None:
    own = f"{LOOPBACK}:{guarded.admin_port}"
    foreign = ("http://evil.example", "null", f"http://{LOOPBACK}:1", f"http://{own}.evil.example", f"file://{own}", "")
    for origin in foreign:
        assert ask(guarded, method, path, f"Origin: {origin}").status == 403, origin
    hosts = ("evil.example", f"evil.example:{guarded.admin_port}", "127.0.0.1.evil.example", "[", "localhost@x.example")
    for host in hosts:
        assert ask(guarded, method, path, f"Host: {host}").status in (400, 403), host
    assert ask(guarded, method, path, f"Host: {own}", "Host: evil.example").status in (400, 403)
    assert ask(guarded, method, path, f"Origin: http://{own}").status in (200, 404)
    assert ask(guarded, method, path, f"Host: localhost:{guarded.admin_port}").status in (200, 404)


def test_h9_a_huge_body_is_refused_and_not_kept(guarded: Node) -> None:
    control = guarded.control()
    ask(guarded)
    before = guarded.resident_bytes(control)
    megabytes = 1024
    sent = 0

    def flood(end: socket.socket, piece: bytes) -> None:
        nonlocal sent
        for _ in range(megabytes):
            end.sendall(piece)
            sent += len(piece)

    block = b"x" * MEBIBYTE
    announced = request(guarded, "POST", "/v1/reload", f"Content-Length: {megabytes * MEBIBYTE}")
    chunked = request(guarded, "POST", "/v1/reload", "Transfer-Encoding: chunked")
    assert raw(guarded, announced).status == 413, "refused by what it announces"
    assert raw(guarded, announced, lambda end: flood(end, block)).status in (413, None)
    assert raw(guarded, chunked, lambda end: end.sendall(b"%x\r\n" % MEBIBYTE + block)).status == 413
    assert raw(guarded, chunked, lambda end: flood(end, b"%x\r\n%b\r\n" % (MEBIBYTE, block))).status in (413, None)
    assert raw(guarded, request(guarded, "GET", "/metrics", f"Content-Length: {BODY_BYTES + 1}")).status == 413
    assert sent < 2 * megabytes * MEBIBYTE
    assert guarded.resident_bytes(control) - before < 8 * MEBIBYTE
    assert guarded.metric("callsieve_reloads_total") == 0


def test_h9_a_slow_body_and_a_silent_peer_are_ended(guarded: Node) -> None:
    def drip(end: socket.socket) -> None:
        for _ in range(int(BODY_S) * 4):
            end.sendall(b"x")
            time.sleep(0.25)

    announced = request(guarded, "POST", "/v1/reload", "Content-Length: 1000")
    unfinished = request(guarded, "GET", "/v1/status")[:-2]
    with ThreadPoolExecutor(4) as pool:
        slow = pool.submit(raw, guarded, announced, drip)
        stuck = pool.submit(raw, guarded, announced)
        silent = pool.submit(raw, guarded, b"")
        half = pool.submit(raw, guarded, unfinished)
        assert ask(guarded).status == 200, "others are served meanwhile"
        assert slow.result().status == stuck.result().status == 408
        assert silent.result().status in (None, 408)
        assert half.result().status in (None, 408)
    bound_s = max(BODY_S, FIRST_REQUEST_S) + 10
    assert all(answer.took_s < bound_s for answer in (slow.result(), stuck.result(), silent.result(), half.result()))


def reloads(node: Node) -> float | None:
    """None: the connection was refused, because too many are still being ended."""
    try:
        return node.metric("callsieve_reloads_total")
    except ConnectionResetError:
        return None


def test_h9_many_requests_leave_memory_and_descriptors_flat(guarded: Node) -> None:
    control = guarded.control()
    kinds = [
        request(guarded, "GET", "/v1/status"),
        request(guarded, "GET", "/v1/status", token="wrong"),
        request(guarded, "GET", "/" + "x" * 2000),
        request(guarded, "GET", "/v1/decisions?limit=x"),
        request(guarded, "POST", "/v1/reload", "Origin: http://evil.example"),
        request(guarded, "POST", "/v1/status", "Content-Length: 999999999"),
        b"\x16\x03\x01 this is not HTTP\r\n\r\n",
    ]

    def flood(requests: int) -> None:
        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(lambda turn: raw(guarded, kinds[turn % len(kinds)]), range(requests)):
                pass

    open_before = guarded.open_files(control)
    flood(size(500, 50_000))  # until everything that is used has been used, and the allocator has its pages
    before = guarded.resident_bytes(control)
    flood(size(2000, 1_000_000))
    assert guarded.resident_bytes(control) - before < 4 * MEBIBYTE
    wait_until(lambda: guarded.open_files(control) <= open_before + 4, "descriptors to be given back", 20)
    wait_until(lambda: reloads(guarded) == 0, "the next answer")


def test_h9_many_connections_are_bounded(guarded: Node, sipp: SippFactory) -> None:
    held = [socket.create_connection((LOOPBACK, guarded.admin_port)) for _ in range(CONNECTIONS + 50)]
    try:
        rejected = sipp.caller(guarded.port, "rejected", caller=LISTED, status=403)
        assert rejected.wait() == 0, rejected.tail()
        assert guarded.open_files(guarded.control()) < CONNECTIONS + 50
    finally:
        for end in held:
            end.close()
    wait_until(guarded.healthy, "the admin address to answer again", 20)
