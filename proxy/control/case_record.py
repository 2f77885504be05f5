"""Cases and complaints as people and other systems read them: JSON over the API, JSON lines and CSV as evidence."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TextIO

from proxy.control.case_clock import CaseClock
from proxy.control.complaint_store import Case, StoredComplaint
from proxy.control.order_request import text_of
from proxy.control.store import Store

_FIELDS = (
    "case", "state", "opened", "forwarded", "forward_due", "answer_due", "closed", "caller", "case_category",
    "complainants", "redress_id", "received", "time", "category", "reporter", "source", "call_id", "call_time",
    "weight", "consented", "text_hash",
)  # fmt: skip


def case_shown(case: Case, complainants: int, clock: CaseClock) -> dict[str, object]:
    return {
        "case": case.id,
        "state": case.state,
        "opened": time_text(case.opened_us),
        "forwarded": time_text(case.forwarded_us),
        "forward_due": _day(clock.forward_due(case.opened_us)),
        "answer_due": _day(clock.answer_due(case.forwarded_us)),
        "closed": time_text(case.closed_us),
        "caller": text_of(case.caller),
        "category": case.category.name.lower(),
        "complainants": complainants,
        "redress_id": case.redress or None,
    }


def complaint_shown(one: StoredComplaint) -> dict[str, object]:
    """reporter: a keyed hash, the same for all that one person reports to this node."""
    return {
        "received": time_text(one.received_us),
        "time": time_text(one.time_us),
        "category": one.category.name.lower(),
        "reporter": f"{one.reporter:016x}",
        "source": one.source,
        "call_id": one.call_id or None,
        "call_time": time_text(one.call_us),
        "weight": one.weight / 1000,
        "consented": one.consented,
        "text_hash": one.text_hash or None,
    }


def evidence_rows(store: Store, clock: CaseClock, case_id: int | None) -> Iterator[dict[str, object]]:
    """One row a complaint, with its case; of one case, or of all."""
    cases = store.cases.all() if case_id is None else iter(filter(None, [store.cases.get(case_id)]))
    for case in cases:
        shown = case_shown(case, store.complaints.complainants(case.id), clock)
        shown["case_category"] = shown.pop("category")
        for one in store.complaints.of_case(case.id):
            yield {name: value for name, value in (shown | complaint_shown(one)).items() if name in _FIELDS}


def write_evidence(rows: Iterator[dict[str, object]], out: TextIO, form: str) -> int:
    """form: jsonl or csv; how many rows. Every cell of the CSV is quoted: what came from a caller is no formula."""
    count = 0
    table = csv.DictWriter(out, _FIELDS, quoting=csv.QUOTE_ALL, lineterminator="\r\n") if form == "csv" else None
    if table is not None:
        table.writeheader()
    for row in rows:
        count += 1
        if table is not None:
            table.writerow(row)
        else:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def time_text(unix_us: int) -> str | None:
    return f"{datetime.fromtimestamp(unix_us / 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}" if unix_us else None


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
