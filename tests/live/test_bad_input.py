"""Datagrams that are not SIP, or not quite: an answer that fits or none, and a proxy that goes on as before."""

from __future__ import annotations

import random
import socket
import subprocess

import pytest

from tests.live.node import STRANGER, Node, exchange
from tests.live.programs import LOOPBACK, require, wait_until
from tests.live.sipp import CALLEE, CALLER, SippFactory

INVITE = f"""\
INVITE sip:{CALLEE}@{LOOPBACK} SIP/2.0
Via: SIP/2.0/UDP {LOOPBACK}:5999;rport;branch=z9hG4bKbad
Max-Forwards: 70
From: <sip:{CALLER}@{LOOPBACK}>;tag=1
To: <sip:{CALLEE}@{LOOPBACK}>
Call-ID: bad-input
CSeq: 1 INVITE
Contact: <sip:{CALLER}@{LOOPBACK}>
Content-Length: 0

""".replace("\n", "\r\n")


def without(header: str) -> bytes:
    return "\r\n".join(line for line in INVITE.split("\r\n") if not line.startswith(header)).encode()


def with_line(old: str, new: str) -> bytes:
    assert old in INVITE
    return INVITE.replace(old, new).encode()


ANSWERED = {
    "no From": (without("From"), 400),
    "no To": (without("To"), 400),
    "no Call-ID": (without("Call-ID"), 400),
    "no CSeq": (without("CSeq"), 400),
    "CSeq of another method": (with_line("1 INVITE", "1 BYE"), 400),
    "CSeq that is no number": (with_line("1 INVITE", "x INVITE"), 400),
    "Max-Forwards used up": (with_line("Max-Forwards: 70", "Max-Forwards: 0"), 483),
    "another SIP version": (with_line("SIP/2.0\r\nVia", "SIP/9.0\r\nVia"), 505),
    "Content-Length beyond the datagram": (with_line("Content-Length: 0", "Content-Length: 9999"), 400),
    "a URI of another scheme": (with_line(f"INVITE sip:{CALLEE}@{LOOPBACK}", "INVITE nobody:knows"), 416),
    "an extension nobody has": (with_line("Max-Forwards", "Proxy-Require: teleport\r\nMax-Forwards"), 420),
}
UNANSWERED = {
    "no Via": without("Via"),
    "nothing": b"",
    "blank lines": b"\r\n\r\n\r\n",
    "NUL bytes": b"\0" * 4096,
    "text": b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n",
    "a response to nothing": b"SIP/2.0 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("what", ANSWERED)
def test_a_malformed_request_is_answered(node: Node, what: str) -> None:
    datagram, status = ANSWERED[what]
    answer = exchange(node.port, datagram)
    assert answer is not None
    assert answer.startswith(f"SIP/2.0 {status} ".encode())
    still_serves(node)


def test_garbage_is_dropped(node: Node) -> None:
    for what, datagram in UNANSWERED.items():
        assert exchange(node.port, datagram, timeout_s=0.1) is None, what
    still_serves(node)


def test_much_garbage_is_dropped(node: Node) -> None:
    """Random bytes of all sizes, the largest datagram too, and the INVITE with bytes of it changed."""
    chance = random.Random(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((LOOPBACK, 0))
        for size in (1, 2, 100, 1500, 9000, 65507):
            for _ in range(20):
                peer.sendto(chance.randbytes(size), (LOOPBACK, node.port))
        for _ in range(500):
            datagram = bytearray(INVITE.encode())
            for _ in range(chance.randint(1, 8)):
                datagram[chance.randrange(len(datagram))] = chance.randrange(256)
            peer.sendto(datagram, (LOOPBACK, node.port))
    still_serves(node)


def test_unknown_sources_are_counted(node: Node) -> None:
    assert exchange(node.port, INVITE.encode(), timeout_s=0.2, source=STRANGER) is None
    wait_until(lambda: node.metric("callsieve_worker_unknown_source_total") == 1, "the drop to be counted")


def test_a_caller_that_is_no_number_is_a_verdict(node: Node, sipp: SippFactory) -> None:
    caller = sipp.caller(node.port, "rejected", from_uri="sip:winner@lottery.example", status=403)
    assert caller.wait() == 0, caller.tail()
    (decision,) = node.decisions(1)
    assert (decision["action"], decision["basis"]) == ("reject", "invalid")


def test_sipsak_with_random_characters(node: Node) -> None:
    argv = [require("sipsak", "sipsak"), "-R", "-s", f"sip:{CALLEE}@{LOOPBACK}:{node.port}", "-t", "50", "-l", "0"]
    subprocess.run(argv, capture_output=True, timeout=60, check=False)
    still_serves(node)


def still_serves(node: Node) -> None:
    """OPTIONS to the proxy itself is answered, by the same workers as before, and none has complained."""
    options = INVITE.replace("INVITE", "OPTIONS").replace(f"sip:{CALLEE}@{LOOPBACK}", f"sip:{LOOPBACK}:{node.port}", 1)
    answer = exchange(node.port, options.replace("z9hG4bKbad", f"z9hG4bK{random.random()}").encode())
    assert answer is not None
    assert answer.startswith(b"SIP/2.0 200 ")
    assert node.get("/healthz")[0] == 200
    assert "Traceback" not in node.output()
