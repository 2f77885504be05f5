"""Operators' orders: read and refused in words, durable, in the table when they are acknowledged, over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from engine._orders import ORDER_EPOCH_S, OrderTable
from engine.policy_rows import name_hash
from proxy.control.decisions import Act, Decision, Kind
from proxy.control.order_request import read_order, shown, subject_of
from proxy.control.order_routes import OrderRoutes
from proxy.control.orders import Orders
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread, StoreUnavailable
from proxy.control.trunk_keys import TrunkKeys
from proxy.logs import open_log

LOG = open_log("test")
BLOCK, ALLOW, NEVER_BLOCK = Act
BEGIN_S = ORDER_EPOCH_S + 30_000_000
NUMBER = "+8613800138000"
TRUNKS = TrunkKeys(lambda: ("carrier",))


class Desk:
    """Orders on a store and a table of their own, at a time that the test says."""

    def __init__(self, folder: Path, capacity: int = 1024) -> None:
        self.now_s = float(BEGIN_S)
        self.table = OrderTable(folder / "orders.tbl", capacity)
        self.thread = StoreThread(lambda: Store(folder / "store.db"), LOG)
        self.orders = Orders(self.thread, self.table, TRUNKS, lambda: self.now_s, LOG)

    def holds(self, text: str, callee: bool = False) -> Act | None:
        found = self.table.read(subject_of(text, TRUNKS)[1], int(self.now_s * 1_000_000), callee=callee)
        return found and Act(found[0])

    async def give(self, text: str, act: str = "block", **more: Any) -> list[Decision]:
        body = {"numbers": [text], "act": act, **more}
        return await self.orders.give(read_order(json.dumps(body).encode(), self.now_s, TRUNKS))

    async def withdraw(self, text: str, namespace: str = "operator") -> list[Decision]:
        return await self.orders.withdraw(namespace, [subject_of(text, TRUNKS)])


def play(folder: Path, scene: Callable[[Desk], Awaitable[None]]) -> None:
    desk = Desk(folder)
    try:
        asyncio.run(scene(desk))  # type: ignore[arg-type]
    finally:
        desk.thread.close()


# What holds


def test_a_trunk_is_closed_and_opened_again(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        (given,) = await desk.give("trunk:carrier")
        assert shown(given, desk.now_s, TRUNKS)["number"] == "trunk:carrier"
        assert desk.table.read_trunk(name_hash("carrier"), int(desk.now_s * 1_000_000)) == (BLOCK, 2)
        await desk.withdraw("trunk:carrier")
        assert desk.table.read_trunk(name_hash("carrier"), int(desk.now_s * 1_000_000)) is None

    play(tmp_path, scene)


@pytest.mark.parametrize(("text", "act"), [("trunk:nobody", "block"), ("trunk:carrier", "never-block")])
def test_orders_about_trunks_that_cannot_be(text: str, act: str) -> None:
    body = json.dumps({"numbers": [text], "act": act}).encode()
    with pytest.raises(ValueError, match="trunk"):
        read_order(body, BEGIN_S, TRUNKS)


def test_an_order_about_a_trunk_holds_from_before_and_after_a_fleet() -> None:
    trunks = TrunkKeys(lambda: ("carrier",))
    before = trunks.key_of("trunk:carrier")
    trunks.use_salt(b"salt of the test")
    after = trunks.key_of("trunk:carrier")
    assert trunks.refresh()
    assert before is not None and after is not None and before != after
    assert trunks.name_of(before) == trunks.name_of(after) == "carrier"



def test_a_block_holds_when_it_is_acknowledged_and_no_more_when_it_is_withdrawn(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        (given,) = await desk.give(NUMBER, reason="robot calls", owner="li")
        assert desk.holds(NUMBER) is BLOCK
        assert shown(given, desk.now_s, TRUNKS) == {
            "number": NUMBER,
            "act": "block",
            "namespace": "operator",
            "owner": "li",
            "reason": "robot calls",
            "from": None,
            "until": None,
            "in_force": True,
            "given": "2026-12-14T05:20:00Z",
        }
        assert len(await desk.withdraw(NUMBER)) == 1
        assert desk.holds(NUMBER) is None
        assert await desk.withdraw(NUMBER) == []

    play(tmp_path, scene)


def test_the_regulator_stands_above_the_operator_until_it_withdraws(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        await desk.give(NUMBER, namespace="regulator")
        await desk.give(NUMBER, "allow", owner="li", until_s=BEGIN_S + 500)
        assert desk.holds(NUMBER) is BLOCK
        await desk.withdraw(NUMBER, "regulator")
        assert desk.holds(NUMBER) is ALLOW

    play(tmp_path, scene)


def test_one_that_ends_gives_way_to_the_next(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        await desk.give(NUMBER, "allow", namespace="regulator", owner="li", until_s=BEGIN_S + 10)
        await desk.give(NUMBER)
        assert desk.holds(NUMBER) is ALLOW
        desk.now_s += 10
        assert desk.holds(NUMBER) is None, "by itself"
        await desk.orders.turn()
        assert desk.holds(NUMBER) is BLOCK

    play(tmp_path, scene)


def test_one_that_is_to_begin_begins_although_control_is_gone(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        await desk.give("+86170*", from_s=BEGIN_S + 10)
        assert desk.holds("+8617012345678") is None
        desk.now_s += 10
        assert desk.holds("+8617012345678") is BLOCK

    play(tmp_path, scene)


def test_a_called_number_may_be_never_blocked_and_as_a_caller_blocked(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        await desk.give(NUMBER, "never-block", namespace="tenant")
        await desk.give(NUMBER)
        assert desk.holds(NUMBER) is BLOCK
        assert desk.holds(NUMBER, callee=True) is NEVER_BLOCK

    play(tmp_path, scene)


def test_the_table_is_made_again_from_the_store(tmp_path: Path) -> None:
    async def before(desk: Desk) -> None:
        await desk.give(NUMBER)
        await desk.give("CN:955*")
        await desk.give("+861391234*")
        await desk.withdraw("+861391234*")

    async def after(desk: Desk) -> None:
        assert desk.table.table.fresh and desk.holds(NUMBER) is None
        await desk.orders.load()
        held = [desk.holds(text) for text in (NUMBER, "CN:95588", "+8613912345678")]
        assert held == [BLOCK, BLOCK, None]

    play(tmp_path, before)
    (tmp_path / "orders.tbl").unlink()
    play(tmp_path, after)


def test_a_withdrawal_that_never_reached_the_table_reaches_it_at_the_next_start(tmp_path: Path) -> None:
    async def before(desk: Desk) -> None:
        (given,) = await desk.give(NUMBER)
        gone = Decision(*[*given.identity, given.act, given.prio, given.hlc + 1], tomb=True)  # type: ignore[misc]
        await desk.thread.do(lambda store: store.decisions.merge([gone]))
        assert desk.holds(NUMBER) is BLOCK

    async def after(desk: Desk) -> None:
        await desk.orders.load()
        assert desk.holds(NUMBER) is None

    play(tmp_path, before)
    play(tmp_path, after)


def test_orders_of_other_nodes_hold_and_only_own_ones_are_told(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        told: list[Decision] = []
        desk.orders.on_local(told.extend)
        stamp = int(desk.now_s * 1000) << 16
        other = Decision("operator", Kind.EXACT, subject_of(NUMBER, TRUNKS)[1], BLOCK, 2, stamp, signer=7)
        assert await desk.orders.merge([other]) == [other]
        assert await desk.orders.merge([other]) == []
        assert (desk.holds(NUMBER), told) == (BLOCK, [])
        (given,) = await desk.give(NUMBER, "allow", owner="li", until_s=BEGIN_S + 500)
        assert told == [given]
        assert given.hlc > stamp
        with pytest.raises(ValueError, match="ahead"):
            await desk.orders.merge([Decision("operator", Kind.EXACT, 1, BLOCK, 2, stamp + (6000 << 16))])

    play(tmp_path, scene)


def test_r5_stamps_grow_although_the_clock_goes_back_and_the_process_dies(tmp_path: Path) -> None:
    stamps: list[int] = []

    async def scene(desk: Desk) -> None:
        for shift_s in (0, 3600, -3600, -30, 0, 0):
            desk.now_s = BEGIN_S + shift_s
            (given,) = await desk.give(NUMBER, reason=str(len(stamps)))
            stamps.append(given.hlc)

    play(tmp_path, scene)
    play(tmp_path, scene)
    assert stamps == sorted(set(stamps))


def test_orders_without_room_are_told(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        numbers = [[f"+86{prefix}{number:08}" for number in range(1000)] for prefix in (138, 139)]
        for chunk in numbers:
            body = json.dumps({"numbers": chunk, "act": "block"}).encode()
            await desk.orders.give(read_order(body, desk.now_s, TRUNKS))
        held = sum(desk.holds(number) is BLOCK for chunk in numbers for number in chunk)
        assert held > 900
        assert held + desk.orders.no_room == 2000

    play(tmp_path, scene)


# What is refused


@pytest.mark.parametrize(
    "body, why",
    [
        ("{", "not understood"),
        ('{"act": "block"}', "numbers"),
        ('{"numbers": [], "act": "block"}', "0 of them"),
        ('{"numbers": ["+861"], "act": "erase"}', "act 'erase'"),
        ('{"numbers": ["+861"], "act": "block", "shout": 1}', "shout"),
        ('{"numbers": ["1380"], "act": "block"}', "'1380'"),
        ('{"numbers": ["+86*"], "act": "block"}', "a country and more"),
        ('{"numbers": ["CN:110"], "act": "block"}', "an emergency number"),
        ('{"numbers": ["+8613800138000"], "act": "allow"}', "an owner and an end"),
        ('{"numbers": ["+8613800138000"], "act": "block", "until_s": 5}', "over before it begins"),
        ('{"numbers": ["+8613800138000"], "act": "block", "from_s": 99999999999}', "before 2060"),
        ('{"numbers": ["+8613800138000"], "act": "block", "namespace": "me"}', "tenant, operator or regulator"),
        ('{"numbers": ["+8613800138000"], "act": "block", "reason": "a\\nb"}', "one line"),
        (json.dumps({"numbers": ["+8613800138000"], "act": "block", "owner": "x" * 65}), "at most 64 bytes"),
    ],
)
def test_what_cannot_be_ordered_is_refused_in_words(body: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_order(body.encode(), BEGIN_S, TRUNKS)


# Over HTTP


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[aiohttp.ClientSession]:
    routes = OrderRoutes(desk.orders, desk.thread, lambda: desk.now_s)
    app = web.Application()
    app.add_routes([*routes.reading(), *routes.commands()])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        yield session
    await runner.cleanup()


async def asked(answer: Any) -> tuple[int, Any]:
    async with answer as response:
        return response.status, await response.json()


def test_orders_over_http(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        async with served(desk) as http:
            body = {"numbers": [NUMBER, "CN:955*"], "act": "block", "reason": "test"}
            status, answer = await asked(http.post("/v1/decisions", json=body))
            assert (status, [one["number"] for one in answer["decisions"]]) == (201, [NUMBER, "CN:955*"])
            status, answer = await asked(http.get("/v1/decisions/orders"))
            assert (status, {one["number"] for one in answer["decisions"]}) == (200, {NUMBER, "CN:955*"})
            status, answer = await asked(http.get("/v1/decisions/orders", params={"number": "CN:955*"}))
            assert [one["reason"] for one in answer["decisions"]] == ["test"]
            for expected in (200, 404):
                status, answer = await asked(http.delete("/v1/decisions/CN:955*"))
                assert (status, len(answer["decisions"])) == (expected, 1 if expected == 200 else 0)
            assert desk.holds("CN:95588") is None
            assert (await asked(http.post("/v1/decisions", data=b"x")))[0] == 400
            assert (await asked(http.delete("/v1/decisions/five")))[0] == 400
            assert (await asked(http.delete("/v1/decisions/+861", params={"namespace": "x"})))[0] == 400
            assert (await asked(http.get("/v1/decisions/orders", params={"number": "x"})))[0] == 400

    play(tmp_path, scene)


@pytest.mark.parametrize("full, status", [(True, 507), (False, 503)])
def test_d3_what_the_disk_does_not_keep_is_not_acknowledged(tmp_path: Path, full: bool, status: int) -> None:
    async def scene(desk: Desk) -> None:
        async def refuse(_: object) -> None:
            raise StoreUnavailable("the store cannot be written: why", full=full)

        async with served(desk) as http:
            await desk.orders.load()
            desk.thread.do = refuse  # type: ignore[assignment]
            body = {"numbers": [NUMBER], "act": "block"}
            refused = {"error": "the store cannot be written: why"}
            assert await asked(http.post("/v1/decisions", json=body)) == (status, refused)
            assert await asked(http.delete(f"/v1/decisions/{NUMBER}")) == (status, refused)
            assert desk.holds(NUMBER) is None

    play(tmp_path, scene)
