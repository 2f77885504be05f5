"""A DNS server on loopback for tests, by UDP and TCP: what it answers, and whether it does, can change at any time."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

_UDP_BYTES = 1232


class DnsServer:
    """records: (name with closing dot, type) -> texts of records. asked: how often each was asked for.

    silent: nothing is answered. delay_s: how late answers are. silent_names: nothing is answered for these.
    """

    def __init__(self, records: dict[tuple[str, str], list[str]] | None = None, ttl_s: int = 60) -> None:
        self.records = records or {}
        self.ttl_s = ttl_s
        self.asked: Counter[tuple[str, str]] = Counter()
        self.silent = False
        self.silent_names: set[str] = set()
        self.delay_s = 0.0
        self.port = 0

    async def __aenter__(self) -> DnsServer:
        while not await self._listens():
            pass
        return self

    async def _listens(self) -> bool:
        """On a port that is free for both; False: the one that TCP was given is not."""
        self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        try:
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), ("127.0.0.1", self.port))
        except OSError:
            self._tcp.close()
            return False
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._udp.close()
        self._tcp.close()

    def answer(self, wire: bytes) -> dns.message.Message | None:
        question = dns.message.from_wire(wire)
        name, kind = question.question[0].name.to_text().lower(), dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked[name, kind] += 1
        if self.silent or name in self.silent_names:
            return None
        response = dns.message.make_response(question)
        texts = self.records.get((name, kind))
        if texts:
            response.answer.append(dns.rrset.from_text(name, self.ttl_s, dns.rdataclass.IN, kind, *texts))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                response = self.answer(await reader.readexactly(length))
                if response is not None:
                    await asyncio.sleep(self.delay_s)
                    wire = response.to_wire(max_size=65535)
                    writer.write(struct.pack("!H", len(wire)) + wire)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        response = self._server.answer(data)
        if response is None:
            return
        wire = response.to_wire(max_size=65535)
        if len(wire) > _UDP_BYTES:
            short = dns.message.make_response(dns.message.from_wire(data))
            short.flags |= dns.flags.TC
            wire = short.to_wire()
        asyncio.get_running_loop().call_later(self._server.delay_s, self._transport.sendto, wire, source)
