"""Complaints: read and refused in words, weighed by source, reporter and call, gathered in cases, given out."""

import asyncio
import csv
import io
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine._numbers import block_of, parse_entry
from engine._reputation import ReputationCache
from engine.decision import Category
from engine.rules import Reputation
from proxy.config_complaints import Complaints as Settings
from proxy.config_complaints import ComplaintSource
from proxy.control.call_index import CallIndex, CallWatch
from proxy.control.case_clock import CaseClock
from proxy.control.case_record import evidence_rows, write_evidence
from proxy.control.complaint import read_complaint
from proxy.control.complaint_store import Case
from proxy.control.complaints import IN_BAND, Complaints, Counted, Receipt, Taken
from proxy.control.store import Store
from proxy.control.store_thread import StoreThread
from proxy.events import EventBatch, EventRecord
from proxy.logs import open_log

LOG = open_log("test")
CALLER, OTHER = "+8613800138000", "+862066660000"
BEGIN_S = 1_795_521_600.0  # Tuesday, 2026-11-24 12:00 UTC
POINTS = Reputation()
USUAL = Settings()
CLOCK = CaseClock.of(3, 15, ["2026-11-27"])


def word(text: str) -> int:
    return parse_entry(text)[0]


class Desk:
    def __init__(self, folder: Path, settings: Settings = USUAL) -> None:
        self.now_s = BEGIN_S
        self.thread = StoreThread(lambda: Store(folder / "store.db"), LOG)
        self.reputation = ReputationCache(folder / "reputation.tbl", 4096)
        key = bytes(16)
        self.calls = CallIndex(folder / "calls.idx", 1024, key)
        sources = (
            ComplaintSource(name="app", token_file="", per_day=3),
            ComplaintSource(name="import", token_file="", weight=0.5),
        )
        self.complaints = Complaints(
            self.thread, self.reputation, self.calls, settings, POINTS, sources, key, lambda: self.now_s
        )
        self.told: list[Counted] = []
        self.complaints.on_counted(self.told.append)

    def called(self, call_id: str, caller: str = CALLER) -> None:
        self.calls.add(call_id.encode(), word(caller), word("+862088886666"), int(self.now_s * 1_000_000))

    async def take(self, source: str = "desk", **parts: Any) -> Receipt:
        body = {"time": self.now_s, "caller": CALLER, "reporter": secrets.token_hex(4)} | parts
        return await self.complaints.take(source, read_complaint(json.dumps(body).encode(), self.now_s))

    def known(self, text: str = CALLER) -> tuple[int, int] | None:
        found = self.reputation.read(word(text), int(self.now_s * 1_000_000))
        return found and (found.points, found.complaints)


def play(folder: Path, scene: Callable[[Desk], Awaitable[None]], settings: Settings = USUAL) -> None:
    desk = Desk(folder, settings)
    try:
        asyncio.run(scene(desk))  # type: ignore[arg-type]
    finally:
        desk.thread.close()


# What a complaint weighs


def test_one_about_a_known_call_counts_fully_and_others_a_part(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        desk.called("call-1")
        desk.called("call-2", OTHER)
        weights = [(await desk.take(call_id=call_id)).weight for call_id in ("call-1", "call-2", "call-3", "")]
        assert weights == [1.0, 0.25, 0.25, 0.25]
        assert desk.known() == (pytest.approx(150 + 3 * 37, abs=2), 4)
        block = desk.reputation.read(block_of(word(CALLER), 2), int(desk.now_s * 1e6))
        assert block is not None and block.points == pytest.approx(15 + 3 * 3, abs=2)

    play(tmp_path, scene)


def test_a_reporter_counts_once_in_a_case(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        for call_id in ("one", "two", "three"):
            desk.called(call_id)
        weights = [(await desk.take(call_id=call_id, reporter="li")).weight for call_id in ("one", "two", "three")]
        assert weights == [1.0, 0.0, 0.0]
        again = await desk.take(call_id="one", reporter="li")
        assert again.taken is Taken.SAME_CALL
        assert (await desk.take(call_id="one", reporter="wang")).weight == 1.0
        assert [one.weight for one in desk.told] == [1.0, 1.0]
        assert len({one.complainant for one in desk.told}) == 2

    play(tmp_path, scene)


def test_a_repeat_with_the_sources_own_id_changes_nothing(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        first = await desk.take(id="4711")
        assert await desk.take(id="4711") == Receipt(Taken.REPEATED, first.case_id, first.weight)
        assert (await desk.take("other", id="4711")).taken is Taken.NEW
        assert desk.known() == (pytest.approx(2 * 37, abs=1), 2)

    play(tmp_path, scene)


def test_beyond_its_quota_a_reporter_is_kept_and_counts_nothing(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        taken = [await desk.take(caller=f"+8613800138{number:03}", reporter="li") for number in range(4)]
        assert [one.taken for one in taken] == [Taken.NEW, Taken.NEW, Taken.OVER_QUOTA, Taken.OVER_QUOTA]
        assert taken[3].weight == 0.0
        assert await desk.thread.do(lambda store: len(list(store.complaints.all()))) == 4
        desk.now_s += 86_401
        assert (await desk.take(caller="+8613800138999", reporter="li")).taken is Taken.NEW

    play(tmp_path, scene, Settings(per_reporter_per_day=2))


def test_who_complains_of_many_counts_less(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        weights = [
            (await desk.take(caller=f"+8613800138{number:03}", reporter="li", call_id=f"c{number}")).weight
            for number in range(10)
            if desk.called(f"c{number}", f"+8613800138{number:03}") is None
        ]
        assert weights[:5] == [1.0] * 5
        assert weights[9] == 0.5

    play(tmp_path, scene)


def test_who_had_consented_and_a_light_source(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        desk.called("call-1")
        assert (await desk.take(call_id="call-1", consented=True)).weight == 0.0
        assert (await desk.take("import", call_id="call-1")).weight == 0.5
        assert desk.known() == (pytest.approx(75, abs=1), 1)

    play(tmp_path, scene)


def test_a_source_has_a_quota_of_its_own(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        for _ in range(3):
            assert not desk.complaints.source_is_full("app")
            await desk.take("app")
        assert desk.complaints.source_is_full("app")
        assert not desk.complaints.source_is_full("import")
        desk.now_s += 86_400
        assert not desk.complaints.source_is_full("app")

    play(tmp_path, scene)


# Calls, and callees who say 607


def test_calls_are_known_from_events_and_over_a_restart(tmp_path: Path) -> None:
    events = [
        EventRecord(1, 5_000, 1, b"went-on", caller=word(CALLER), callee=word(OTHER)),
        EventRecord(1, 5_000, 2, b"rejected", caller=word(CALLER), callee=word(OTHER), status=403),
        EventRecord(2, 9_000, 1, b"went-on", caller=word(CALLER), callee=word(OTHER), status=607, unwanted=True),
        EventRecord(2, 9_000, 3, b"ended", caller=word(CALLER), callee=word(OTHER), status=200),
    ]
    unwanted: list[tuple[bytes, int, int, int]] = []
    CallWatch(CallIndex(tmp_path / "calls.idx", 1024, bytes(16)), lambda *call: unwanted.append(call)).add(
        EventBatch(b"".join(event.pack() for event in events))
    )
    assert unwanted == [(b"went-on", word(CALLER), word(OTHER), 9_000)]
    again = CallIndex(tmp_path / "calls.idx", 1024, bytes(16))
    known = again.find(b"went-on")
    assert known is not None and (known.caller, known.time_us) == (word(CALLER), 5_000)
    assert again.find(b"rejected") is None


def test_the_index_forgets_the_oldest_calls(tmp_path: Path) -> None:
    index = CallIndex(tmp_path / "calls.idx", 1024, bytes(16))
    for call in range(5000):
        index.add(b"%d" % call, call + 1, 1, call)
    assert index.find(b"4999") is not None
    assert sum(index.find(b"%d" % call) is not None for call in range(5000)) <= 1024


def test_a_callees_607_is_a_complaint_whose_points_the_worker_has_given(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        now_us = int(desk.now_s * 1e6)
        for callee in (word(OTHER), word(OTHER), word("+862088886666")):
            call_id = secrets.token_hex(4).encode()
            await desk.complaints.refused_by_callee(call_id, word(CALLER), callee, now_us)
        assert desk.known() == (0, 2)
        assert [one.weight for one in desk.told] == [0.5, 0.5]
        found = await desk.thread.do(lambda store: list(store.complaints.all()))
        assert {one.source for one in found} == {IN_BAND}

    play(tmp_path, scene)


def test_a_reputation_made_anew_gets_what_complaints_are_still_worth(tmp_path: Path) -> None:
    async def before(desk: Desk) -> None:
        desk.called("call-1")
        await desk.take(call_id="call-1", category="loan")
        await desk.take(time=desk.now_s - 14 * 86_400)

    async def after(desk: Desk) -> None:
        assert desk.known() is None
        assert await desk.complaints.replay() == 2
        assert desk.known() == (pytest.approx(150 + 18, abs=2), 2)
        assert await desk.complaints.replay() == 0, "once"
        found = desk.reputation.read(word(CALLER), int(desk.now_s * 1e6))
        assert found is not None and found.category in (Category.LOAN, Category.OTHER)

    play(tmp_path, before)
    (tmp_path / "reputation.tbl").unlink()
    play(tmp_path, after)


# Cases and evidence


def test_a_case_gathers_until_it_is_closed(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        first, second = await desk.take(category="fraud"), await desk.take()
        assert first.case_id == second.case_id == 1
        assert (await desk.take(caller=OTHER)).case_id == 2
        now_us = int(desk.now_s * 1e6)
        await desk.thread.do(lambda store: store.cases.move(1, "closed", now_us))
        assert (await desk.take()).case_id == 3
        cases = await desk.thread.do(lambda store: list(store.cases.all()))
        assert [case.category for case in cases] == [Category.FRAUD, Category.OTHER, Category.OTHER]
        assert await desk.thread.do(lambda store: store.complaints.complainants(1)) == 2

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "opened, due",
    [
        ("2026-11-24", "2026-11-30"),  # Tuesday; Friday is a holiday
        ("2026-11-20", "2026-11-25"),  # Friday
        ("2026-11-21", "2026-11-25"),  # Saturday
    ],
)
def test_the_clock_counts_working_days(opened: str, due: str) -> None:
    opened_us = int((date.fromisoformat(opened) - date(1970, 1, 1)).total_seconds() * 1e6)
    assert CLOCK.forward_due(opened_us).isoformat() == due
    assert CLOCK.answer_due(0) is None


def test_evidence_as_json_lines_and_as_csv_without_formulas(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        desk.called("=cmd()")
        await desk.take(call_id="=cmd()", category="loan", reporter="@li")
        await desk.take(caller=OTHER)

    play(tmp_path, scene)
    store = Store(tmp_path / "store.db")
    lines, table = io.StringIO(), io.StringIO()
    assert write_evidence(evidence_rows(store, CLOCK, None), lines, "jsonl") == 2
    assert write_evidence(evidence_rows(store, CLOCK, 1), table, "csv") == 1
    store.close()
    first = json.loads(lines.getvalue().splitlines()[0])
    assert (first["case"], first["caller"], first["category"], first["weight"]) == (1, CALLER, "loan", 1.0)
    assert first["forward_due"] == "2026-11-30" and "li" not in first["reporter"]
    (row,) = csv.DictReader(io.StringIO(table.getvalue()))
    assert row["call_id"] == "=cmd()" and row["call_time"] == "2026-11-24T12:00:00Z"
    assert all(cell[0] == cell[-1] == '"' for line in table.getvalue().splitlines() for cell in line.split(","))


def test_a_case_moves_through_its_states(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    with store.batch():
        case = store.cases.open_new(word(CALLER), 5, Category.LOAN)
        assert store.cases.move(case.id, "forwarded", 7) == Case(1, word(CALLER), 5, Category.LOAN, "forwarded", 7)
        assert store.cases.move(case.id, "closed", 9) == Case(1, word(CALLER), 5, Category.LOAN, "closed", 7, 9)
        assert store.cases.move(99, "closed", 9) is None
    assert store.cases.latest(10, only_open=True) == []
    store.close()


# What is refused


@pytest.mark.parametrize(
    "parts, why",
    [
        ({"caller": "13800138000"}, r"caller '13800138000': expected \+86"),
        ({"caller": "+86138*"}, "caller"),
        ({"category": "rude"}, "expected fraud, sales, loan, debt, estate, harassment, silent, other"),
        ({"time": 5.0}, "the last 90 days"),
        ({"time": "now"}, "not understood"),
        ({"v": 2}, "expected 1"),
        ({"text": "he said"}, "text"),
        ({"reporter": "x" * 257}, "reporter"),
        ({"call_id": "a\nb"}, "call_id: expected one line"),
    ],
)
def test_what_is_no_complaint_is_refused_in_words(parts: dict[str, Any], why: str) -> None:
    body = {"time": BEGIN_S, "caller": CALLER} | parts
    with pytest.raises(ValueError, match=why):
        read_complaint(json.dumps(body).encode(), BEGIN_S)


def test_only_time_and_caller_are_needed() -> None:
    complaint = read_complaint(json.dumps({"time": BEGIN_S, "caller": "CN:95588"}).encode(), BEGIN_S)
    assert complaint.kind is Category.OTHER
