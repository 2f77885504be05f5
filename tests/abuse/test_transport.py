"""Connections that are meant to hurt, against a running node: P4, P5 and group T of the abuse tests.

Beside every attack scripted callers place calls over UDP: all of them must be completed, and none is held up.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.abuse.clean_caller import CleanCaller, assert_unaffected
from tests.abuse.size import size
from tests.abuse.stream_clients import (
    LISTED,
    STREAMS,
    TlsCallers,
    Watched,
    connect,
    invite,
    is_closed,
    read_to_end,
    reset,
    secure,
)
from tests.certificates import Authority, Issued
from tests.live.node import PROTECTED_CALLEE, STRANGER, Node
from tests.live.programs import LOOPBACK, Ports, wait_until
from tests.live.sipp import Sipp, SippFactory
from tests.sip.test_framing import BAD, LEGAL

LIMITED = STREAMS + "\n[streams]\nmessage_timeout_s = 2\nhandshake_timeout_s = 2\nmax_connections_per_source = 6000\n"
LIMITED += "new_connections_per_source_per_s = 20000\nnew_connections_per_s = 20000\nnew_tls_per_s = 20000\n"
SECURE = '\n[[listener]]\nname = "tls"\naddress = "{{host}}:{port}"\ntransport = "tls"\ntls = "own"\n'
SECURE += '\n[[tls]]\nname = "own"\ncertificate = "{certificate}"\nkey = "{key}"\nclient_ca = "{authority}"\n'

Start = Callable[..., Node]


@pytest.fixture
def gateway(ports: Ports) -> Iterator[socket.socket]:
    """The softswitch's place, where every datagram that the node forwards is kept."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((LOOPBACK, ports.udp()))
        end.settimeout(5)
        yield end


@pytest.fixture
def watched(start_node: Start, gateway: socket.socket) -> Watched:
    """A node with a TCP listener beside its UDP one, whose gateway is `gateway`."""
    return Watched(start_node(gateway.getsockname()[1], more=LIMITED))


class Bystander:
    """Whole calls that go on beside an attack, over UDP, to a softswitch that answers."""

    def __init__(self, node: Node, sipp: SippFactory) -> None:
        self._callee = sipp.callee(port=node.gateway_port)
        self._node = node
        self._sipp = sipp

    def start(self, calls: int = 20) -> Sipp:
        return self._sipp.caller(self._node.port, callee=PROTECTED_CALLEE, calls=calls, rate=10)


@pytest.fixture
def clean(
    start_node: Start, ports: Ports, sipp: SippFactory, clean_caller: CleanCaller
) -> tuple[Watched, Bystander]:
    node = start_node(ports.udp(), more=LIMITED + clean_caller.more, calls_a_minute=100_000)
    return Watched(node), Bystander(node, sipp)


# P4, P5


def test_p4_bad_content_length_is_refused_once_and_hides_no_call(watched: Watched, gateway: socket.socket) -> None:
    hidden = invite("Content-Length: 0")
    for lines, status in BAD.values():
        with connect(watched.node.port) as end:
            end.sendall(invite(*lines) + hidden * 3)
            answer = read_to_end(end)
        assert answer.startswith(b"SIP/2.0 %d " % status), (lines, answer)
        assert answer.count(b"SIP/2.0 ") == 1, (lines, answer)
    gateway.setblocking(False)
    with pytest.raises(BlockingIOError):
        gateway.recv(65536)
    assert watched.count("invites") == 0
    assert watched.count("framing_errors") == len(BAD)
    assert watched.is_the_same()


def call_of(message: bytes) -> bytes:
    """The Call-ID in the head of a message."""
    head, _, _ = message.partition(b"\r\n\r\n")
    (line,) = (line for line in head.split(b"\r\n") if line.startswith(b"Call-ID: "))
    return line


@pytest.mark.parametrize("step", [1, 65536])
def test_p4_legal_content_length_carries_its_body_whole(watched: Watched, gateway: socket.socket, step: int) -> None:
    """What comes again, because the softswitch does not answer, is passed over."""
    hidden = invite("Content-Length: 0")
    for number, line in enumerate(LEGAL.values()):
        whole = invite(line.format(len(hidden)), caller=f"+86138001380{number:02}", body=hidden)
        with connect(watched.node.port) as end:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(whole), step):
                end.sendall(whole[at : at + step])
            while call_of(received := gateway.recv(65536)) != call_of(whole):
                assert call_of(received) != call_of(hidden)
            assert received.endswith(b"\r\n\r\n" + hidden)
    gateway.settimeout(0.2)
    with suppress(TimeoutError):
        for _ in range(len(LEGAL)):
            assert call_of(gateway.recv(65536)) != call_of(hidden)
    assert watched.count("invites") == len(LEGAL)


def test_p5_declared_bytes_take_no_memory(watched: Watched) -> None:
    count = size(300, 1000)
    before = watched.resident_bytes()
    ends = []
    for _ in range(count):
        ends.append(connect(watched.node.port))
        ends[-1].sendall(invite("Content-Length: 4294967295"))
    watched.wait_for("framing_errors", count)
    print(f"RSS of a connection: {(watched.resident_bytes() - before) // count} bytes")
    assert watched.resident_bytes() - before <= count * 65536
    for end in ends:
        assert read_to_end(end).startswith(b"SIP/2.0 513 ")
        end.close()
    watched.wait_for("connections", 0)


# T


def test_t1_messages_that_trickle_end_at_the_message_timeout(
    clean: tuple[Watched, Bystander], clean_caller: CleanCaller
) -> None:
    watched, caller = clean
    count = size(300, 5000)
    alone_s = [clean_caller.p99_s(watched.node) for _ in range(3)]
    during_s = []
    ends = [connect(watched.node.port) for _ in range(count)]
    calls = caller.start()
    with ThreadPoolExecutor(1) as thread:
        trickling = thread.submit(trickle, ends)
        while not trickling.done():
            if len(during_s) < 5:  # clean calls stay open, and must not take the room of all
                during_s.append(clean_caller.p99_s(watched.node))
            time.sleep(0.1)
        trickling.result()
    wait_until(lambda: all(map(is_closed, ends)), "the node to close them all", 20)
    assert watched.count("connection_timeouts") == count
    assert calls.wait() == 0, calls.tail()
    assert_unaffected(during_s, alone_s)
    assert watched.is_the_same()


def trickle(ends: list[socket.socket]) -> None:
    """Two bytes on each, evenly, within 3 s: of 5,000 connections three times as many as one every 5 s would be."""
    for byte in (b"I", b"N"):
        for number, end in enumerate(ends):
            with suppress(ConnectionError):  # its time is over already
                end.sendall(byte)
            if number % 20 == 0:
                time.sleep(1.5 * 20 / len(ends))


def test_t2_messages_without_end_on_one_connection_hold_up_nobody(
    clean: tuple[Watched, Bystander], clean_caller: CleanCaller
) -> None:
    watched, caller = clean
    count = size(50_000, 1_000_000)
    alone_s = [clean_caller.p99_s(watched.node) for _ in range(3)]
    calls = caller.start()
    before = watched.resident_bytes()
    one = invite("Content-Length: 0")
    with connect(watched.node.port, STRANGER, 60) as end, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(lambda: [end.sendall(one * 1000) for _ in range(count // 1000)])
        during_s = [clean_caller.p99_s(watched.node)]
        while not sending.done():
            during_s.append(clean_caller.p99_s(watched.node))
        sending.result()
        assert calls.wait() == 0, calls.tail()
        # Beyond what a stranger may cost, they are dropped unread.
        wait_until(lambda: watched.count("unknown_source") + watched.count("flooded") == count, "all to be taken", 120)
    grown = watched.resident_bytes() - before
    print(f"RSS grew by {grown} bytes")
    assert grown <= 16 << 20
    assert_unaffected(during_s, alone_s)
    assert watched.is_the_same()


def test_t2_connections_of_one_source_are_capped(start_node: Start, ports: Ports) -> None:
    watched = Watched(start_node(ports.udp(), more=STREAMS + "\n[streams]\nmax_connections_per_source = 50\n"))
    ends = [connect(watched.node.port) for _ in range(60)]
    wait_until(lambda: watched.count("connections_refused") == 10, "ten to be refused")
    assert abs(sum(not is_closed(end) for end in ends) - 50) <= 1
    with connect(watched.node.port, STRANGER) as other:
        assert not is_closed(other)
    for end in ends:
        end.close()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_t3_requests_and_then_a_reset_leave_nothing_behind(
    start_node: Start,
    ports: Ports,
    tmp_path: Path,
    transport: str,
) -> None:
    authority, port = Authority(tmp_path), ports.tcp()
    own = authority.issue("own", "IP:127.0.0.1")
    secured = SECURE.format(port=port, certificate=own.certificate, key=own.key, authority=authority.certificate)
    watched = Watched(start_node(ports.udp(), more=LIMITED + secured))

    def attack() -> None:
        end = connect(watched.node.port) if transport == "tcp" else secure(port, authority.certificate)
        end.sendall(b"".join(invite("Content-Length: 0", caller=LISTED) for _ in range(10)))
        reset(end)

    attack()
    watched.wait_for("connections_accepted", 1)
    watched.wait_for("connections", 0)
    baseline = watched.descriptors()  # once everything is open that opens late
    rounds = size(100, 10_000)
    for _ in range(rounds):
        attack()
    wait_until(lambda: watched.descriptors() <= baseline, "descriptors back to where they were")
    watched.wait_for("connections", 0)
    assert watched.is_the_same()
    if rounds == 10_000:
        wait_until(lambda: watched.node.metric("callsieve_worker_server_transactions") == 0, "timers H and J", 60)


def test_t3_a_lost_connection_cancels_nothing(watched: Watched, gateway: socket.socket) -> None:
    end = connect(watched.node.port)
    end.sendall(invite("Content-Length: 0"))
    received, node = gateway.recvfrom(65536)
    lines = received.decode().split("\r\n")
    kept = [
        line for line in lines[1:] if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route")
    ]
    ringing = "\r\n".join(["SIP/2.0 180 Ringing", *kept, "Content-Length: 0", "", ""]).replace("\r\nTo: ", "\r\nt: ")
    gateway.sendto(ringing.encode(), node)
    assert b"SIP/2.0 180 " in end.recv(65536)
    reset(end)
    watched.wait_for("connections", 0)
    gateway.settimeout(0.5)
    with pytest.raises(TimeoutError):
        gateway.recv(65536)


@pytest.fixture
def secured(
    start_node: Start,
    ports: Ports,
    tmp_path: Path,
) -> tuple[Watched, int, Authority, Issued]:
    """A node with a TLS listener: its worker, port, authority and the files that its certificate is in."""
    authority, port = Authority(tmp_path), ports.tcp()
    own = authority.issue("own", "IP:127.0.0.1")
    more = SECURE.format(port=port, certificate=own.certificate, key=own.key, authority=authority.certificate)
    return Watched(start_node(ports.udp(), more=LIMITED + more)), port, authority, own


def served(port: int, authority: Authority) -> str:
    """The certificate that a new connection is shown."""
    with secure(port, authority.certificate) as end:
        return ssl.DER_cert_to_PEM_cert(end.getpeercert(binary_form=True) or b"").strip()


def install(new: Issued, place: Issued) -> None:
    """As a renewal does: each file replaced whole."""
    for source, target in ((new.key, place.key), (new.certificate, place.certificate)):
        copy = target.with_name(f"{target.name}.new")
        shutil.copy(source, copy)
        copy.rename(target)


def test_t4_certificates_change_under_load(secured: tuple[Watched, int, Authority, Issued]) -> None:
    watched, port, authority, own = secured
    standing = secure(port, authority.certificate)
    warm_up = size(1, 20)  # reloads, until everything that is used has been used, and the allocator has its pages
    before = 0
    with TlsCallers(port, authority.certificate) as callers:
        for number in range(warm_up + size(3, 100)):
            if number == warm_up:
                before = watched.resident_bytes()
            new = authority.issue(f"new-{number}", "IP:127.0.0.1")
            install(new, own)
            expected = new.certificate.read_text().strip()
            wait_until(lambda expected=expected: served(port, authority) == expected, "the new certificate")
        grown = watched.resident_bytes() - before
    print(f"RSS grew by {grown} bytes; {callers.calls} calls beside")
    assert callers.failures == [], "no handshake fails, no connection is dropped"
    assert callers.calls > 2 * warm_up
    assert grown <= size(4 << 20, 1 << 20)
    expired = authority.issue("expired", "IP:127.0.0.1", days=-1)
    garbage = Issued(expired.certificate.with_suffix(".garbage"), own.key)
    garbage.certificate.write_text("garbage")
    mismatched = Issued(new.certificate, expired.key)
    for bad in (garbage, mismatched, expired):
        refused = watched.count("tls_reload_failures")  # also of a good one, looked at between its two files
        install(bad, own)
        wait_until(lambda refused=refused: watched.count("tls_reload_failures") > refused, "the bad one to be refused")
        assert served(port, authority) == expected
        standing.sendall(invite("Content-Length: 0", caller=LISTED))
        assert standing.recv(65536).startswith(b"SIP/2.0 "), "a connection of before goes on"
        assert watched.node.command("check").returncode != 0
        install(new, own)
        wait_until(lambda: watched.node.command("check").returncode == 0, "the good one to be back")
    assert "certificate refused, the old one stays" in watched.node.output()
    standing.sendall(invite("Content-Length: 0", caller=LISTED))
    assert standing.recv(65536).startswith(b"SIP/2.0 "), "a connection of before goes on"
    assert watched.count("tls_failures") == 0
    assert watched.is_the_same()


def test_t4_a_worker_that_starts_with_a_bad_certificate_says_so(
    secured: tuple[Watched, int, Authority, Issued],
) -> None:
    """It lets nobody in without TLS, and serves as soon as the files are good again."""
    watched, port, authority, own = secured
    node, good = watched.node, Issued(own.certificate.with_suffix(".good"), own.key.with_suffix(".good-key"))
    install(own, good)
    own.certificate.write_text("garbage")
    os.kill(watched.pid, signal.SIGKILL)
    wait_until(lambda: node.workers() not in ([], [watched.pid]) and node.healthy(), "another worker", 30)
    why = "holds no certificate in PEM form"
    wait_until(lambda: why in node.command("status").stdout, "status to say so", 20)
    assert node.command("status").returncode == 1
    assert "NO TLS" in node.output()
    with connect(port) as end:
        end.sendall(invite("Content-Length: 0", caller=LISTED))
        assert read_to_end(end) == b"", "nothing is answered in the clear"
    with connect(node.port) as end:
        end.sendall(invite("Content-Length: 0", caller=LISTED))
        assert end.recv(65536).startswith(b"SIP/2.0 "), "the other listeners serve"
    install(good, own)
    expected = own.certificate.read_text().strip()
    wait_until(lambda: node.command("status").returncode == 0, "status to be well again", 20)
    assert served(port, authority) == expected


def test_t5_handshakes_that_stop_half_way(secured: tuple[Watched, int, Authority, Issued]) -> None:
    watched, port, authority, _ = secured
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    ends = [connect(port) for _ in range(size(50, 1000))]
    for end in ends:
        end.sendall(hello)
    with secure(port, authority.certificate) as clean:
        clean.sendall(invite("Content-Length: 0", caller=LISTED))
        assert clean.recv(65536).startswith(b"SIP/2.0 ")
    wait_until(lambda: all(map(is_closed, ends)), "the node to close them all", 20)
    watched.wait_for("connections", 0)
    assert watched.is_the_same()


def test_t5_large_certificates_are_read(secured: tuple[Watched, int, Authority, Issued]) -> None:
    watched, port, authority, _ = secured
    names = ",".join(f"DNS:{'n' * 50}{i}.example.net" for i in range(220))
    large = authority.issue("large", names)
    with secure(port, authority.certificate, large.certificate, large.key) as end:
        end.sendall(invite("Content-Length: 0", caller=LISTED))
        assert end.recv(65536).startswith(b"SIP/2.0 ")
    assert large.certificate.stat().st_size >= 16 << 10
    assert watched.is_the_same()


def test_t5_renegotiation_is_refused(secured: tuple[Watched, int, Authority, Issued]) -> None:
    _, port, _, _ = secured
    program = [shutil.which("openssl") or "openssl", "s_client", "-connect", f"{LOOPBACK}:{port}", "-tls1_2"]
    done = subprocess.run(program, input="R\n", capture_output=True, text=True, timeout=20, check=False)
    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stdout + done.stderr, done.stderr


def ping() -> bytes:
    """What is always answered, at once and with 200: OPTIONS that may go no further."""
    return invite("Content-Length: 0", method="OPTIONS").replace(b"Max-Forwards: 70", b"Max-Forwards: 0")


def test_t6_a_peer_that_takes_nothing_is_cut_off(clean: tuple[Watched, Bystander]) -> None:
    watched, caller = clean
    calls = caller.start()
    before = watched.resident_bytes()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(20)
        deaf.connect((LOOPBACK, watched.node.port))
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                deaf.sendall(b"".join(ping() for _ in range(50)))
    assert watched.count("write_queue_overflows") == 1
    assert watched.resident_bytes() - before <= 32 << 20
    watched.wait_for("connections", 0)
    assert calls.wait() == 0, calls.tail()


def test_t7_without_descriptors_it_waits_and_recovers(clean: tuple[Watched, Bystander]) -> None:
    watched, caller = clean
    resource.prlimit(watched.pid, resource.RLIMIT_NOFILE, (256, 256))
    ends = [connect(watched.node.port) for _ in range(400)]
    wait_until(lambda: watched.count("accept_pauses") > 0, "descriptors to run out")
    calls = caller.start(10)
    share = watched.load(2.0)
    print(f"processor share without descriptors: {share:.1%}")
    assert share <= 0.2
    assert calls.wait() == 0, calls.tail()
    for end in ends:
        end.close()
    watched.wait_for("connections", 0)
    with connect(watched.node.port) as end:
        end.sendall(invite("Content-Length: 0", caller=LISTED))
        assert end.recv(65536).startswith(b"SIP/2.0 ")
    assert watched.is_the_same()
