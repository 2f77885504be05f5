"""The resolver against a DNS server on loopback (RFC 3263), and its cache against a fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.dns_servers import DnsServers
from proxy.record_cache import FAILURE_S, NEGATIVE_S, QueryError, RecordCache, RecordSet
from proxy.resolver import Resolver
from proxy.server_location import Destination
from tests.dns_server import DnsServer

REACH = [("udp", 4), ("tcp", 4), ("tls", 4)]
BOTH = {
    ("example.net.", "NAPTR"): [
        '20 10 "s" "SIP+D2U" "" _sip._udp.example.net.',
        '10 10 "s" "SIPS+D2T" "" _sips._tcp.example.net.',
    ],
    ("_sip._udp.example.net.", "SRV"): ["20 1 5062 b.example.net.", "10 1 5061 a.example.net."],
    ("_sips._tcp.example.net.", "SRV"): ["10 1 5071 a.example.net."],
    ("a.example.net.", "A"): ["127.0.1.1"],
    ("b.example.net.", "A"): ["127.0.1.2"],
    ("b.example.net.", "AAAA"): ["::2"],
    ("example.net.", "A"): ["127.0.1.9"],
}

Scene = Callable[[DnsServer, Resolver], Awaitable[None]]


def play(
    scene: Scene,
    records: dict[tuple[str, str], list[str]],
    *,
    deadline_s: float = 2.0,
    ttl_s: int = 60,
    reach: list[tuple[str, int]] = REACH,
) -> None:
    async def run() -> None:
        async with DnsServer(records, ttl_s) as server:
            servers = DnsServers([f"127.0.0.1:{server.port}"])
            resolver = Resolver(reach, servers.query, deadline_s=deadline_s)
            try:
                await scene(server, resolver)
            finally:
                resolver.close()
                await servers.close()

    asyncio.run(run())


def places(destinations: tuple[Destination, ...]) -> list[tuple[str, str, int]]:
    return [(d.transport, d.ip, d.port) for d in destinations]


def test_numeric_host_is_itself_and_nobody_is_asked() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        assert places((await resolver.locate("192.0.2.1")).destinations) == [("udp", "192.0.2.1", 5060)]
        assert places((await resolver.locate("192.0.2.1", 5090, "tcp")).destinations) == [("tcp", "192.0.2.1", 5090)]
        assert places((await resolver.locate("192.0.2.1", secure=True)).destinations) == [("tls", "192.0.2.1", 5061)]
        assert (await resolver.locate("[2001:db8::1]")).destinations == ()  # no IPv6 listener
        assert not server.asked

    play(scene, {})


def test_port_means_addresses_only() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        assert places((await resolver.locate("example.net", 5080)).destinations) == [("udp", "127.0.1.9", 5080)]
        assert {kind for _, kind in server.asked} == {"A"}

    play(scene, BOTH)


def test_naptr_then_srv_then_addresses() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        assert places((await resolver.locate("example.net")).destinations) == [("tls", "127.0.1.1", 5071)]

    play(scene, BOTH)


def test_only_transports_that_there_are_listeners_for() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        found = (await resolver.locate("example.net")).destinations
        assert places(found) == [("udp", "127.0.1.1", 5061), ("udp", "127.0.1.2", 5062)]
        assert [d.priority for d in found] == [10, 20]

    play(scene, BOTH, reach=[("udp", 4)])


def test_both_ip_versions_where_there_are_listeners() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        assert [d.ip for d in (await resolver.locate("b.example.net", 5060)).destinations] == ["127.0.1.2", "::2"]

    play(scene, BOTH, reach=[("udp", 4), ("udp", 6)])


def test_given_transport_is_not_looked_for() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        found = await resolver.locate("example.net", transport="udp")
        assert places(found.destinations) == [("udp", "127.0.1.1", 5061), ("udp", "127.0.1.2", 5062)]
        assert "NAPTR" not in {kind for _, kind in server.asked}

    play(scene, BOTH)


def test_nothing_but_an_address() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        assert places((await resolver.locate("plain.example.net")).destinations) == [("udp", "127.0.1.3", 5060)]

    play(scene, {("plain.example.net.", "A"): ["127.0.1.3"]})


def test_name_that_does_not_exist() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        assert (await resolver.locate("nowhere.example.net")).destinations == ()
        before = sum(server.asked.values())
        assert (await resolver.locate("nowhere.example.net")).destinations == ()
        assert sum(server.asked.values()) == before  # remembered

    play(scene, BOTH)


@pytest.mark.parametrize("silent", [{"bad.example.net."}, set()])
def test_one_bad_srv_target_does_not_fail_the_others(silent: set[str]) -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        server.silent_names = silent
        found = await resolver.locate("example.net", transport="udp")
        assert places(found.destinations) == [("udp", "127.0.1.1", 5060)]

    records = {
        ("_sip._udp.example.net.", "SRV"): ["1 1 5060 bad.example.net.", "2 1 5060 a.example.net."],
        ("a.example.net.", "A"): ["127.0.1.1"],
    }
    play(scene, records)


def test_d1_500_records_are_bounded() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        found = (await resolver.locate("example.net", transport="udp")).destinations
        assert 1 <= len(found) <= 64  # of the 64 that are asked for, those that are there while others are
        assert len({name for name, kind in server.asked if kind == "A"}) <= 64
        assert len((await resolver.locate("many.example.net", 5060)).destinations) == 64

    records = {
        ("_sip._udp.example.net.", "SRV"): [f"{i // 100} {i} 5060 t{i}.example.net." for i in range(500)],
        ("many.example.net.", "A"): [f"127.0.{i // 250}.{i % 250 + 1}" for i in range(500)],
    }
    records |= {(f"t{i}.example.net.", "A"): [f"127.1.{i // 250}.{i % 250 + 1}"] for i in range(500)}
    play(scene, records, deadline_s=20.0)


def test_d1_black_hole_ends_at_the_deadline_and_recovers() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        server.silent = True
        async with asyncio.timeout(20):  # without a deadline it would wait for the server, which never answers
            assert (await resolver.locate("example.net")).destinations == ()
        server.silent = False
        for _ in range(100):
            if (await resolver.locate("example.net")).destinations:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the name is never found again")

    play(scene, BOTH, deadline_s=0.3)


def test_one_query_in_flight_for_each_name() -> None:
    async def scene(server: DnsServer, resolver: Resolver) -> None:
        server.delay_s = 0.1
        await asyncio.gather(*(resolver.locate("a.example.net", 5060) for _ in range(50)))
        assert server.asked["a.example.net.", "A"] == 1

    play(scene, BOTH)


# The cache alone, on a fake clock.


class Source:
    """A name server and a clock in one."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked = 0
        self.answer: RecordSet | None = RecordSet(("127.0.0.1",), 10)
        self.cache = RecordCache(self.query, lambda: self.now_s, entries=3, in_flight=2)

    async def query(self, name: str, kind: str) -> RecordSet:
        self.asked += 1
        await asyncio.sleep(0)
        if self.answer is None:
            raise QueryError("silence")
        return self.answer

    async def get(self, name: str = "a") -> tuple[object, ...]:
        return (await self.cache.get(name, "A")).records


def test_cache_serves_stale_while_it_asks_again() -> None:
    async def scene() -> None:
        source = Source()
        assert await source.get() == ("127.0.0.1",)
        source.answer = RecordSet(("127.0.0.2",), 10)
        source.now_s = 9.0
        assert await source.get("A.") == ("127.0.0.1",)
        assert source.asked == 1
        source.now_s = 11.0
        assert await source.get() == ("127.0.0.1",)
        await asyncio.sleep(0.01)
        assert source.asked == 2
        assert await source.get() == ("127.0.0.2",)

    asyncio.run(scene())


def test_cache_keeps_the_last_good_answer_when_nobody_answers() -> None:
    async def scene() -> None:
        source = Source()
        await source.get()
        source.answer = None
        for minute in range(1, 50):
            source.now_s = 60.0 * minute
            assert await source.get() == ("127.0.0.1",)
            await asyncio.sleep(0.001)
        assert source.asked > 10

    asyncio.run(scene())


def test_cache_remembers_failures_and_nothing_for_a_while() -> None:
    async def scene() -> None:
        source = Source()
        source.answer = None
        for _ in range(3):
            with pytest.raises(QueryError):
                await source.get()
        assert source.asked == 1
        source.now_s, source.answer = FAILURE_S + 1, RecordSet((), 0)
        assert await source.get() == ()
        source.now_s += NEGATIVE_S - 1
        assert await source.get() == ()
        assert source.asked == 2
        source.now_s += 2
        await source.get()
        assert source.asked == 3

    asyncio.run(scene())


def test_cache_is_bounded() -> None:
    async def scene() -> None:
        source = Source()
        for name in "abcd":
            await source.get(name)
        await source.get("d")
        assert source.asked == 4
        await source.get("a")
        assert source.asked == 5
        results = await asyncio.gather(*(source.get(n) for n in "wxyz"), return_exceptions=True)
        assert sum(isinstance(result, QueryError) for result in results) == 2

    asyncio.run(scene())
