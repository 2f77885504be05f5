"""Plays SIP scripts against a ProxyCore on a fake clock: receive this, expect that, let 32 s pass, expect this."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from engine._image import PolicyImage
from engine._screener import Screener
from engine.policy import compile_policy
from engine.tables import Tables
from proxy.config import Capacity, Configuration, Listener, Timers
from proxy.config_load import policy_set
from proxy.core import ProxyCore
from proxy.counters import Counters
from proxy.events import EventBatch
from proxy.outbox import Outbox
from proxy.router import ListenerAddress
from proxy.server_location import Destination
from proxy.trunks import build_routing
from tests import policies
from tests.proxy.messages import request

START_US = 1_790_000_000_000_000
CARRIER = ("192.0.2.10", 5060)
SOFTSWITCH = ("198.51.100.20", 5060)
SPARE = ("198.51.100.21", 5060)
PROXY = ("203.0.113.5", 5060)

CONFIGURATION = """
[redress]
url = "https://redress.example.net/r"

[[listener]]
name = "outside"
address = "203.0.113.5:5060"

[[trunk]]
name = "carrier"
sources = ["192.0.2.0/24"]
dial_plan = "cn"
policy = "default"
route = "softswitch"

[[gateway]]
name = "softswitch"
targets = [{ address = "198.51.100.20", priority = 1 }, { address = "198.51.100.21", priority = 2 }]
""" + "".join(
    (
        policies.policy(anonymous="tag"),
        policies.label('Suspected "spam": loans'),
        policies.never_block(),
        policies.deny_list(),
        policies.suspected(),
        policies.burst("burst-caller", 5, 10, outcome="reject"),
    )
)


@dataclass(frozen=True, slots=True)
class Datagram:
    """One message the core wants sent, with what tests ask of it."""

    listener: int
    to: tuple[str, int]
    data: bytes
    flow: int = 0
    token: int = 0

    @property
    def first_line(self) -> str:
        return self.data.split(b"\r\n", 1)[0].decode("utf-8", "replace")

    @property
    def status(self) -> int:
        return int(self.first_line.split(" ")[1]) if self.first_line.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        return "" if self.status else self.first_line.split(" ")[0]

    @property
    def uri(self) -> str:
        return self.first_line.split(" ")[1]

    def all(self, name: str) -> list[str]:
        """Every value of a header, rows in order."""
        head = self.data.split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace")
        return [value for key, value in re.findall(r"^([^:\r\n]+?)[ \t]*:[ \t]*(.*?)\r?$", head, re.M) if key == name]

    def one(self, name: str) -> str:
        values = self.all(name)
        assert len(values) == 1, f"{name}: {values} in {self.data!r}"
        return values[0]

    def tag(self, name: str) -> str:
        found = re.search(r";tag=([^;>\s]+)", self.one(name))
        return found.group(1) if found else ""

    @property
    def branch(self) -> str:
        found = re.search(r"branch=([^;,\s]+)", self.all("Via")[0])
        assert found
        return found.group(1)


class Play:
    """A core with a configuration, a clock that only moves when told, and what it has sent."""

    def __init__(
        self, text: str = CONFIGURATION, *, capacity: Capacity | None = None, worker: int = 0, workers: int = 1
    ) -> None:
        self.now_us = START_US
        self.out = Outbox()
        self.directory = tempfile.TemporaryDirectory(prefix="callsieve-play-")
        self.counters = Counters.in_memory()
        self.generation = 0
        configuration = msgspec.toml.decode(text, type=Configuration)
        self.tables = Tables.open(Path(self.directory.name), reputation=4096, rate_limiter=4096, half_life_days=14.0)
        self.core = ProxyCore(
            [_listener(listener) for listener in configuration.listeners],
            worker=worker,
            workers=workers,
            secret=bytes(range(32)),
            counters=self.counters,
            capacity=capacity or Capacity(transactions=1024, calls=1024),
            timers=Timers(),
        )
        self.configure(text)

    def configure(self, text: str) -> None:
        """What a reload does."""
        self.generation += 1
        configuration = msgspec.toml.decode(text, type=Configuration)
        self.image = _image_of(text, self.generation)
        screener = Screener(self.image, self.tables, bytes(16))
        self.routing = build_routing(configuration, self.generation)
        self.core.configure(self.routing, screener)

    def move(self, gateway: str, *places: tuple[str, int]) -> None:
        """What the worker does when the names of a gateway lead to (ip, port) each."""
        ((index, route),) = [row for row in enumerate(self.routing.gateways) if row[1].name == gateway]
        known = tuple(Destination("udp", ip, port) for ip, port in places)
        self.core.set_targets(index, route.with_names([replace(name, known=known) for name in route.names]))

    def receive(self, data: bytes, source: tuple[str, int] = CARRIER, listener: int = 0) -> list[Datagram]:
        self.core.receive_datagram(data, source, listener, self.now_us, self.out)
        return self.sent()

    def receive_stream(
        self, data: bytes, source: tuple[str, int] = CARRIER, *, listener: int, flow: int, tls_trunk: int = -1
    ) -> list[Datagram]:
        """One message from a connection."""
        self.core.receive_stream(data, source, listener, flow, self.now_us, self.out, tls_trunk)
        return self.sent()

    def fail(self, lost: Datagram) -> list[Datagram]:
        """What the edge does when a request cannot be delivered."""
        self.core.transport_failed(lost.token, self.now_us, self.out)
        return self.sent()

    def leave_target(self, gateway: int, target: int) -> int:
        """What the edge does when a target has gone down, every step; how many calls. What was sent is still there."""
        position, calls = 1, 0
        while position:
            left, position = self.core.leave_target(gateway, target, position, self.now_us, self.out)
            calls += left
        return calls

    def prove(self, source: tuple[str, int] = CARRIER) -> None:
        """Has the source acknowledge a rejection: from then on its rejections have transactions."""
        ask = functools.partial(request, branch="z9hG4bK-prove", call_id="prove", sent_by=f"{source[0]}:{source[1]}")
        (refused,) = self.receive(ask(headers=["Proxy-Require: proof"]), source)
        assert self.receive(ask("ACK", to_tag=refused.tag("To")), source) == []

    def questions(self) -> list[tuple[int, str, int | None, str | None, bool]]:
        """What the edge would ask the resolver now."""
        return self.core.take_questions()

    def resolve(self, question: int, *places: tuple[str, str, int], ttl_s: float = 60) -> list[Datagram]:
        """The resolver's answer: (transport, ip, port) each."""
        self.core.resolved(question, places, ttl_s, self.now_us, self.out)
        return self.sent()

    def wait(self, seconds: float) -> list[Datagram]:
        """Lets time pass, stopping at every deadline on the way."""
        end_us = self.now_us + round(seconds * 1_000_000)
        sent: list[Datagram] = []
        while (deadline_us := self.core.next_deadline()) and deadline_us <= end_us:
            self.now_us = max(self.now_us, deadline_us)
            self.core.handle_timer(self.now_us, self.out)
            sent += self.sent()
        self.now_us = end_us
        return sent

    def sent(self) -> list[Datagram]:
        return [
            Datagram(sent.listener, (sent.ip, sent.port), sent.data, sent.flow, sent.token) for sent in self.out.drain()
        ]

    def events(self) -> EventBatch:
        return EventBatch(b"".join(iter(self.core.take_events, b"")))


@functools.lru_cache(maxsize=32)
def _image_of(text: str, generation: int) -> PolicyImage:
    """Compiled once: an image never changes."""
    policies = policy_set(msgspec.toml.decode(text, type=Configuration))
    return compile_policy(policies, base_dir=Path(), generation=generation)


def _listener(listener: Listener) -> ListenerAddress:
    host, port = listener.address.rsplit(":", 1)
    return ListenerAddress(host, int(port), host, int(port), listener.transport.value)


def response(
    to: Datagram,
    status: int,
    reason: str = "Whatever",
    *,
    tag: str = "to1",
    headers: Sequence[str] = (),
    cseq: str | None = None,
) -> bytes:
    """An answer to a request that the core has sent."""
    lines = [f"SIP/2.0 {status} {reason}"]
    lines += [f"Via: {via}" for via in to.all("Via")]
    lines += [f"Record-Route: {route}" for route in to.all("Record-Route")] if status < 300 else []
    destination = to.one("To")
    lines += [
        f"From: {to.one('From')}",
        f"To: {destination}" + (f";tag={tag}" if status > 100 and ";tag=" not in destination else ""),
        f"Call-ID: {to.one('Call-ID')}",
        f"CSeq: {cseq or to.one('CSeq')}",
        *headers,
        "Content-Length: 0",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"
