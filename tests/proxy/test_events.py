"""Event records and their JSON lines, against the standard library's own JSON, UTF-8, base32 and calendar."""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import redress_text
from proxy.event_lines import EventNames, write_calls, write_decisions
from proxy.events import ACTION_NAMES, BASIS_NAMES, EVENT_BYTES, EventBatch, EventRecord, VerdictTally

SCREENED, ENDED = 1, 2
NOON_US = 1_795_348_800_000_000
KIND_NUMBER, KIND_ANONYMOUS, KIND_INVALID = 1, 14, 15


def number(digits: str, kind: int = KIND_NUMBER) -> int:
    return kind << 60 | int("1" + digits)


CALLER, CALLEE = number("8613800138000"), number("862088886666")


def names(**options: bool) -> EventNames:
    book = EventNames("node-1", **options)
    book.add(
        1,
        trunks=["carrier"],
        gateways=["softswitch"],
        rules=["deny", "burst"],
        reasons=["listed", "rate"],
        labels=['Suspected "spam": 贷款'],
    )
    return book


def screened(**fields: Any) -> EventRecord:
    usual = {"type": SCREENED, "time_us": NOON_US, "call": 1, "caller": CALLER, "callee": CALLEE}
    return EventRecord(**(usual | fields))


def decision(record: EventRecord, book: EventNames | None = None) -> dict[str, Any]:
    out = bytearray()
    assert write_decisions(EventBatch(record.pack()), book or names(), out) == 1
    assert out.endswith(b"}\n") and out.count(b"\n") == 1
    line: dict[str, Any] = json.loads(out)
    return line


def test_decision_line_names_everything() -> None:
    line = decision(
        screened(
            call=(3 << 48) + 10,
            call_id=b"a84b4c76e66710@pc33",
            caller_text=b"13800138000",
            callee_text=b"02088886666",
            user_agent=b"friendly",
            source_ip=b"\xc6\x33\x64\x07",
            source_port=5062,
            action=3,
            basis=1,
            status=603,
            rule=1,
            score=812,
            label=0,
            observed=3,
            observed_rule=0,
            redress=0x0123456789ABCDEF,
            reasons=((0, 500, 0), (1, -312, 0x80), (1, 0, 3), (0, 0, 0x82)),
        )
    )
    assert line == {
        "time": "2026-11-22T12:00:00.000000Z",
        "node": "node-1",
        "call": "000300000000000a",
        "call_id": "a84b4c76e66710@pc33",
        "trunk": "carrier",
        "source": "198.51.100.7:5062",
        "caller": "+8613800138000",
        "presented": "13800138000",
        "callee": "+862088886666",
        "diverted_by": None,
        "diversion": None,
        "user_agent": "friendly",
        "action": "reject",
        "status": 603,
        "basis": "analytics",
        "rule": "burst",
        "score": 812,
        "label": 'Suspected "spam": 贷款',
        "reasons": [
            {"name": "listed", "points": 500},
            {"name": "rate", "points": -312, "observed": True},
            {"name": "rate", "points": 0, "asks": "reject"},
            {"name": "listed", "points": 0, "asks": "divert", "observed": True},
        ],
        "redress_id": "AERUKZ4JVPG66",
        "observed": "reject",
        "observed_rule": "deny",
        "gateway": None,
        "generation": 1,
    }


def test_accepted_call_leaves_open_what_does_not_apply() -> None:
    line = decision(screened(gateway=0))
    assert [line[key] for key in ("action", "status", "basis", "rule", "label", "redress_id", "gateway")] == [
        "accept", None, "none", None, None, None, "softswitch",
    ]  # fmt: skip
    assert line["reasons"] == []


def test_diverted_call_names_who_diverted_it_and_why() -> None:
    line = decision(screened(diverter=CALLEE, diversion=2))
    assert (line["diverted_by"], line["diversion"]) == ("+862088886666", "unconditional")
    masked = decision(screened(diverter=CALLEE, diversion=3), names(mask_numbers=True))
    assert (masked["diverted_by"], masked["diversion"]) == ("+86208888xxxx", "user-busy")


def test_call_line() -> None:
    record = EventRecord(
        type=ENDED, time_us=NOON_US + 1, call=7, call_id=b"x@y", caller=CALLER, callee=CALLEE, gateway=0, status=200,
        setup_ms=305, ring_ms=2_005, talk_ms=61_040, released_by=2, action=1,
    )  # fmt: skip
    out = bytearray()
    assert write_calls(EventBatch(record.pack()), names(), out) == 1
    assert json.loads(out) == {
        "time": "2026-11-22T12:00:00.000001Z",
        "call": "0000000000000007",
        "call_id": "x@y",
        "trunk": "carrier",
        "caller": "+8613800138000",
        "callee": "+862088886666",
        "gateway": "softswitch",
        "status": 200,
        "setup_s": 0.305,
        "ring_s": 2.005,
        "talk_s": 61.04,
        "released_by": "callee",
        "action": "tag",
    }


def test_each_line_goes_where_it_belongs() -> None:
    data = b"".join(EventRecord(type=kind, time_us=NOON_US, call=i).pack() for i, kind in enumerate((1, 2, 1, 9)))
    batch, decisions, calls = EventBatch(data), bytearray(b"kept\n"), bytearray()
    assert (write_decisions(batch, names(), decisions), write_calls(batch, names(), calls)) == (2, 1)
    assert decisions.startswith(b"kept\n{") and decisions.count(b"\n") == 3


def test_names_belong_to_the_generation_that_decided() -> None:
    book = names()
    for generation in range(2, 6):
        book.add(generation, trunks=[f"trunk-{generation}"], gateways=[], rules=[], reasons=[], labels=[])
    assert [book.knows(generation) for generation in range(1, 7)] == [False, True, True, True, True, False]
    assert decision(screened(generation=4), book)["trunk"] == "trunk-4"
    assert decision(screened(generation=1, trunk=5), book)["trunk"] == "#5"
    assert decision(screened(generation=4, trunk=5), book)["trunk"] == "#5"


def test_longest_lines_fit() -> None:
    book = EventNames("\x01" * 500)
    long = ["\x01" * 500]
    book.add(1, trunks=long, gateways=long, rules=long, reasons=long, labels=long)
    ugly = screened(
        call_id=b"\x01" * 200, caller_text=b"\x01" * 99, callee_text=b"\x01" * 99, user_agent=b"\x01" * 99, gateway=0,
        callee=number("", KIND_INVALID), label=0, rule=0, reasons=((0, -30000, 0x84),) * 8,
        source_ip=b"\xfe" * 16, action=3,
    )  # fmt: skip
    out = bytearray()
    assert write_decisions(EventBatch(ugly.pack() * 64), book, out) == 64
    assert {len(line["node"]) for line in map(json.loads, out.splitlines())} == {128}


@given(st.binary(max_size=96))
def test_wire_text_is_exact_json(raw: bytes) -> None:
    line = decision(screened(call_id=raw, user_agent=raw))
    assert line["call_id"] == raw.decode("utf-8", "replace")
    assert line["user_agent"] == raw[:48].decode("utf-8", "replace")


@given(st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_wire_text_of_any_characters(raw: bytes) -> None:
    assert decision(screened(call_id=raw[:96]))["call_id"] == raw[:96].decode("utf-8", "replace")


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2400, 3, 1)))
def test_time_is_utc_with_microseconds(moment: datetime) -> None:
    time_us = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    assert decision(screened(time_us=time_us))["time"] == moment.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@given(st.integers(1, 2**64 - 1))
def test_redress_id_is_the_one_that_the_caller_was_told(value: int) -> None:
    assert decision(screened(redress=value))["redress_id"] == redress_text(value)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "fe80::ffff:1"])
def test_source_address(address: str) -> None:
    ip = ip_address(address)
    expected = f"{ip}:65535" if ip.version == 4 else f"[{ip}]:65535"
    assert decision(screened(source_ip=ip.packed, source_port=65535))["source"] == expected


@pytest.mark.parametrize(
    ("presented", "masked"),
    [
        ("+8613800138000", "+861380013xxxx"),
        ("138-0013-8000", "138-0013-xxxx"),
        ("0013800138000;phone-context=+86", "001380013xxxx;phone-context=+xx"),
        ("110", "xxx"),
        ("anonymous", "anonymous"),
        ("", ""),
    ],
)
def test_masked_numbers(presented: str, masked: str) -> None:
    line = decision(screened(caller_text=presented.encode()), names(mask_numbers=True))
    assert (line["presented"], line["caller"], line["callee"]) == (masked, "+861380013xxxx", "+86208888xxxx")


def test_callee_that_is_no_number_is_shown_as_called() -> None:
    line = decision(screened(callee=number("", KIND_INVALID), callee_text=b"alice", caller=number("", KIND_ANONYMOUS)))
    assert (line["callee"], line["caller"]) == ("alice", "anonymous")


def test_record_survives_packing() -> None:
    reasons = ((1, 2, 0), (3, -4, 0x83))
    record = screened(call_id=b"id", user_agent=b"ua", source_ip=bytes(range(16)), reasons=reasons, redress=9)
    assert list(EventBatch(record.pack() * 2)) == [record, record]
    assert len(record.pack()) == EVENT_BYTES


def test_hostile_lengths_are_bounded() -> None:
    """A record damaged in any byte is written or skipped, never read past its end."""
    packed = screened(call_id=b"id").pack()
    for position in range(EVENT_BYTES):
        damaged = packed[:position] + b"\xff" + packed[position + 1 :]
        out = bytearray()
        write_decisions(EventBatch(damaged), names(), out)
        for line in out.splitlines():
            json.loads(line)


def test_partial_record_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        EventBatch(b"x" * (EVENT_BYTES + 1))


def test_generations_in_a_batch() -> None:
    data = b"".join(screened(generation=g).pack() for g in (4, 4, 5, 4))
    assert EventBatch(data).generations() == {4, 5}


def test_tally() -> None:
    tally = VerdictTally()
    rejected, busy = screened(action=3, basis=1), EventRecord(ENDED, NOON_US, 1, status=486)
    events = [rejected, rejected, screened(), busy]
    EventBatch(b"".join(event.pack() for event in events)).tally(tally)
    verdicts = tally.verdicts()
    assert (verdicts["reject", "analytics"], verdicts["accept", "none"], sum(verdicts.values())) == (2, 1, 3)
    assert set(verdicts) == {(action, basis) for action in ACTION_NAMES for basis in BASIS_NAMES}
    assert tally.ended_calls()["4xx"] == 1 and sum(tally.ended_calls().values()) == 1
