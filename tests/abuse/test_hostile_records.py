"""H6, H8: logs, exports and metrics are what they should be, whatever a caller calls itself."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.config import Capacity
from proxy.control.call_log import LineLog, RotatingFile
from proxy.control.compile import CompileResult
from proxy.control.intake import EventIntake
from proxy.control.metrics import NodeMetrics
from proxy.control.reload import Reloader
from proxy.event_lines import EventNames, write_calls, write_decisions
from proxy.events import EventBatch, VerdictTally
from proxy.logs import open_log
from proxy.state_directory import StateDirectory
from tests.abuse.size import size
from tests.proxy.messages import request
from tests.proxy.playbook import SOFTSWITCH, Play, response

PIECES = (
    b"\x1b[31mred", b"\x9b2J", b"\xc2\x9b2J", b"\x07", b"\0", b'"', b"\\", b"\\u001b", b"</script>", b"+1", b"-1",
    b"\x7f", b"=cmd|' /C calc'!A0", b"@SUM(A1)", b"\xff\xfe", b"\xed\xa0\x80", b"\xe8\xb4\xb7", b"\xf0\x9f\x98\x80",
    b"{}", b"[]", b"\xe2\x80\xae", b",", b"'", b"%0d%0a", b"null", b"1e999", b" ", b"\t", b"a" * 60, b"13800138000",
    b"\r\n x",
)  # fmt: skip
SECRET = b"c2VjcmV0LWNyZWRlbnRpYWw"
AUTHORIZATION = [
    f'Authorization: Digest username="u", response="{SECRET.decode()}"',
    f"Proxy-Authorization: Basic {SECRET.decode()}",
]
LOG = open_log("test")
# A number that does not end in what stands for its last digits; separators do not end it.
UNMASKED = re.compile(r"[0-9][-. ()]*(?![-. ()0-9x])")


def names(mask: bool) -> EventNames:
    book = EventNames("node-1", mask_numbers=mask)
    rules = ["deny", "suspected", "burst-caller"]
    book.add(1, trunks=["carrier"], gateways=["softswitch"], rules=rules, reasons=rules, labels=["loans"])
    return book


def hostile(rng: random.Random) -> bytes:
    return b"".join(rng.choices(PIECES, k=rng.randrange(1, 6)))


def hostile_invite(rng: random.Random, number: int) -> bytes:
    data = request(
        branch=f"z9hG4bK-{number}", call_id=f"c{number}-CALLID", headers=["User-Agent: AGENT", *AUTHORIZATION]
    )
    places = {b"AGENT": hostile(rng), b"sip:+8613800138000": b"sip:" + hostile(rng).replace(b"\r\n", b"")}
    if rng.random() < 0.5:
        places[b"CALLID"] = hostile(rng).replace(b"\r\n", b"").replace(b" ", b"").replace(b"\t", b"")
    if rng.random() < 0.5:
        places[b"sip:+862088886666@203.0.113.5:5060"] = b"sip:" + hostile(rng) + b"@203.0.113.5"
    for place, value in places.items():
        data = data.replace(place, value, 1)
    return data


def played(amount: int) -> bytes:
    """Events of this many calls or more: screened, and ended where they were forwarded."""
    rng = random.Random(6)
    events = []
    screened = first = 0
    while screened < amount:
        play = Play(capacity=Capacity(transactions=2048, calls=2048))
        first += 500
        for number in range(first, first + 500):
            play.now_us += 1_000_000
            for sent in play.receive(hostile_invite(rng, number)):
                if sent.method == "INVITE":
                    play.receive(response(sent, 486, "Busy"), SOFTSWITCH)
        screened += play.counters["screened"]
        events += list(iter(play.core.take_events, b""))
    return b"".join(events)


def test_h6_every_record_is_one_valid_line_without_escapes_or_credentials() -> None:
    batch = EventBatch(played(size(1_000, 10_000)))
    for mask in (False, True):
        decisions, calls = bytearray(), bytearray()
        count = write_decisions(batch, names(mask), decisions), write_calls(batch, names(mask), calls)
        assert min(count) > 0
        for text, lines in zip((bytes(decisions), bytes(calls)), count, strict=True):
            assert text.count(b"\n") == lines == len(text.splitlines())
            for line in text.split(b"\n")[:-1]:
                check_line(line, mask)


def check_line(line: bytes, mask: bool) -> None:
    text = line.decode("utf-8")
    assert all(character.isprintable() or ord(character) > 0x9F for character in text), line
    assert SECRET not in line and b"Digest" not in line
    record: dict[str, Any] = json.loads(text)
    if mask:
        assert not [key for key in ("caller", "callee", "presented") if UNMASKED.search(str(record.get(key, "")))], line


def test_h6_cells_of_a_csv_never_begin_a_formula_unquoted(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    values = ["=1+1", "+8613800138000", "-1", "@SUM(A1)", "x"]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerow(values)
    assert not [cell for cell in path.read_text().strip().split(",") if cell[0] in "=+-@"]


def metrics(path: Path, play: Play, tally: VerdictTally) -> CollectorRegistry:
    state = StateDirectory(path)
    state.create()
    intake = EventIntake(state.events_socket, LOG, lambda batch: None, 1)

    async def compiled(generation: int, sealed: int) -> CompileResult:
        return CompileResult(())

    reloader = Reloader(path / "callsieve.toml", state, intake, compiled, LOG)
    logs = {"decisions": LineLog(RotatingFile(path / "decisions.jsonl", 1000, 1), LOG)}
    registry = CollectorRegistry()
    counted = {0: play.counters.read()}
    registry.register(NodeMetrics("1.0", tally, intake, reloader, logs, lambda: counted, supervisor_pid=1))
    return registry


def series(registry: CollectorRegistry) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples}


def test_h8_callers_make_no_series(tmp_path: Path) -> None:
    rng = random.Random(8)
    tally = VerdictTally()
    play = Play()
    before = series(metrics(tmp_path / "before", play, tally))
    callers = 0
    for batch in range(size(4, 2_000)):
        play = Play(capacity=Capacity(transactions=2048, calls=2048))
        for number in range(batch * 500, batch * 500 + 500):
            sender = f"sip:+86138{number:08}".encode() if number % 2 else b"sip:" + hostile(rng) + str(number).encode()
            data = request(branch=f"z9hG4bK-{number}", call_id=f"c{number}").replace(b"sip:+8613800138000", sender, 1)
            play.receive(data)
            callers += 1
        play.events().tally(tally)
    assert callers == size(2_000, 1_000_000)
    after = series(metrics(tmp_path / "after", play, tally))
    assert after == before
    assert sum(tally.verdicts().values()) > callers // 3
