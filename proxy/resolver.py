"""Names to places to send to (RFC 3263 section 4): asynchronous, cached, and never longer than a deadline."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from proxy.record_cache import MIN_TTL_S, NEGATIVE_S, Query, QueryError, RecordCache, RecordSet
from proxy.server_location import (
    Choose,
    Destination,
    Naptr,
    Service,
    Srv,
    default_port,
    default_transport,
    order_srv,
    services_by_name,
    services_by_naptr,
)

DEADLINE_S = 2.0
GRACE_S = 0.2  # how long the slower answers are waited for once there is something to send to
MAX_DESTINATIONS = 64  # MAX_TARGETS of routing_table.pyx
_FOREVER_S = 3600.0  # numeric addresses
_ADDRESS_TYPES = {4: "A", 6: "AAAA"}


@dataclass(frozen=True, slots=True)
class Located:
    """Destinations in the order in which they are tried; none if the name leads nowhere or nobody answered in time.

    ttl_s: how long this may be remembered.
    """

    destinations: tuple[Destination, ...]
    ttl_s: float


NOWHERE = Located((), NEGATIVE_S)
NO_ANSWER = Located((), MIN_TTL_S)


class Resolver:
    """Finds servers by the transports and IP versions that there are listeners for.

    reach: (transport, IP version) of the listeners, preferred ones first. query: asks a DNS server (`dns_servers`).
    choose: draws among SRV records of one priority.
    """

    def __init__(
        self,
        reach: Sequence[tuple[str, int]],
        query: Query,
        *,
        deadline_s: float = DEADLINE_S,
        choose: Choose = lambda most: random.randint(0, most),
    ) -> None:
        self._transports = tuple(dict.fromkeys(transport for transport, _ in reach))
        self._reach = tuple(dict.fromkeys(reach))
        self._records = RecordCache(query, time.monotonic)
        self._deadline_s = deadline_s
        self._choose = choose

    async def locate(
        self, host: str, port: int | None = None, transport: str | None = None, *, secure: bool = False
    ) -> Located:
        """Where to send a request for host[:port]. secure: the URI is a SIPS URI. Takes deadline_s at most."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._locate(host, port, transport, secure)
        except (TimeoutError, QueryError):
            return NO_ANSWER

    def close(self) -> None:
        self._records.close()

    async def _locate(self, host: str, port: int | None, transport: str | None, secure: bool) -> Located:
        chosen = transport or default_transport(secure)
        if _is_numeric(host):
            return self._numeric(host, port, chosen)
        if port is not None:
            return await self._by_address(host, port, chosen)
        for service in await self._services(host, transport, secure):
            found = await self._by_srv(service)
            if found.destinations:
                return found
        return await self._by_address(host, default_port(chosen), chosen)

    def _numeric(self, host: str, port: int | None, transport: str) -> Located:
        ip = ip_address(host.strip("[]"))
        if (transport, ip.version) not in self._reach:
            return NOWHERE
        return Located((Destination(transport, str(ip), port or default_port(transport)),), _FOREVER_S)

    async def _services(self, host: str, transport: str | None, secure: bool) -> list[Service]:
        """RFC 3263 section 4.1: a transport that is given is not looked for."""
        if transport is not None:
            return services_by_name(host, [transport], secure)
        try:
            naptr = [r for r in (await self._records.get(host, "NAPTR")).records if isinstance(r, Naptr)]
        except QueryError:
            naptr = []  # servers that know no NAPTR may still know SRV
        return services_by_naptr(naptr, self._transports, secure) or services_by_name(host, self._transports, secure)

    async def _by_srv(self, service: Service) -> Located:
        try:
            found = await self._records.get(service.srv_name, "SRV")
        except QueryError:
            return NO_ANSWER
        servers = order_srv((r for r in found.records if isinstance(r, Srv)), self._choose, MAX_DESTINATIONS)
        addresses = await self._addresses(dict.fromkeys(server.target for server in servers), service.transport)
        destinations = [
            Destination(service.transport, ip, server.port, server.priority, server.weight)
            for server in servers
            for ip in addresses[server.target].records
        ]
        ttl_s = min([found.ttl_s, *(a.ttl_s for a in addresses.values() if a.records)])
        return Located(tuple(destinations[:MAX_DESTINATIONS]), ttl_s)

    async def _by_address(self, host: str, port: int, transport: str) -> Located:
        found = (await self._addresses([host], transport))[host]
        destinations = (Destination(transport, str(ip), port) for ip in found.records[:MAX_DESTINATIONS])
        return Located(tuple(destinations), found.ttl_s)

    async def _addresses(self, hosts: Collection[str], transport: str) -> dict[str, _Addresses]:
        """Numeric addresses of every host, those of a bad one empty. The slow are not waited for once one is there."""
        families = [version for offered, version in self._reach if offered == transport]
        asked = {
            (host, version): asyncio.ensure_future(self._records.get(host, _ADDRESS_TYPES[version]))
            for host in hosts
            for version in families
        }
        found: dict[str, _Addresses] = {host: _Addresses((), NEGATIVE_S) for host in hosts}
        await _settle(asked.values())
        for (host, _), task in asked.items():
            found[host] = found[host].with_answer(task)
        return found


@dataclass(frozen=True, slots=True)
class _Addresses:
    records: tuple[str, ...]
    ttl_s: float

    def with_answer(self, task: asyncio.Future[RecordSet]) -> _Addresses:
        if task.cancelled() or task.exception() is not None:
            return _Addresses(self.records, min(self.ttl_s, MIN_TTL_S))
        more = task.result()
        ips = tuple(record for record in more.records if isinstance(record, str))
        ttl_s = more.ttl_s if ips and not self.records else min(self.ttl_s, more.ttl_s)
        return _Addresses(self.records + ips, ttl_s)


async def _settle(tasks: Collection[asyncio.Future[RecordSet]]) -> None:
    """Until all are done, or GRACE_S after the first that brought something; the rest is cancelled."""
    pending = set(tasks)
    loop = asyncio.get_running_loop()
    until_s: float | None = None
    try:
        while pending and (until_s is None or loop.time() < until_s):
            left_s = None if until_s is None else until_s - loop.time()
            done, pending = await asyncio.wait(pending, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if until_s is None and any(not t.cancelled() and not t.exception() and t.result().records for t in done):
                until_s = loop.time() + GRACE_S
    finally:
        for task in pending:
            task.cancel()
    if pending:
        await asyncio.wait(pending)


def _is_numeric(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
