"""The fleet on one core: bytes a record, frames a second, memory a key. Run: python -m tests.bench.bench_fleet

Beside each figure stands what the design reckons with: 12.6 bytes a record of evidence, a reducer of 32 proxies taking
51 frames and 3,200 records a second, 1 GB for 20 million keys, an empty node that takes 20 million verdicts in 90 s.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine._reputation import ReputationCache
from proxy.control.fleet_effects import FleetEffects
from proxy.control.hybrid_clock import stamp_of
from proxy.control.orders import Orders
from proxy.control.sync.decay import HOUR_MS, steps_at
from proxy.control.sync.evidence import EvidenceTable
from proxy.control.sync.frames import Signer, open_frame
from proxy.control.sync.judge import Judge
from proxy.control.sync.key_set import KeySet
from proxy.control.sync.keys import SHARDS
from proxy.control.sync.metrics import HALF_LIFE_MS, Metric, slot_of
from proxy.control.sync.records import (
    MAX_RECORDS,
    Evidence,
    RecordType,
    Verdict,
    deflate,
    read_evidence,
    write_evidence,
    write_keyed,
)
from proxy.control.sync.score import Band, Judgement, Why
from proxy.control.sync.trust import Bundle, Member, Role, Trust
from proxy.control.sync.verdicts import TTL_S, VerdictTable

RECORDS = 1250
ROUNDS = 40
KEYS = 100_000
CHUNK = 3000  # records of a frame of a snapshot
NOW_MS = 1_795_000_000_000
NUMBER = 1 << 60


def numbers(count: int, rng: random.Random) -> list[int]:
    """Chinese mobile numbers, two thirds of them in blocks that they share."""
    blocks = [rng.randrange(10**6) for _ in range(max(count // 4, 1))]
    tails = (rng.choice(blocks) * 1000 + rng.randrange(1000) for _ in iter(int, 1))
    found: set[int] = set()
    while len(found) < count:
        found.add(NUMBER | 18613 * 10**9 + next(tails))
    return list(found)


def evidence(count: int, rng: random.Random) -> list[Evidence]:
    """One metric each, with its short and its long half-life, as a window of five seconds has them."""
    records = []
    for key in numbers(count, rng):
        slot = slot_of(Metric(rng.choice((0, 1, 2))), 0)
        pairs = []
        for each in (slot, slot + 1):
            pairs += [each, steps_at(NOW_MS - rng.randrange(HOUR_MS), HALF_LIFE_MS[each]) + rng.randrange(4096)]
        records.append((key, 0, pairs))
    return records


def one_metric(records: list[Evidence]) -> list[Evidence]:
    return [(key, gen, pairs[:2]) for key, gen, pairs in records]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(median, p99) in microseconds."""
    times = []
    for _ in range(ROUNDS):
        before = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - before) / 1000)
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


def line(name: str, median: float, p99: float, rest: str = "") -> None:
    print(f"{name:44} {median:9.0f} us  p99 {p99:7.0f}  {rest}")


def sizes(records: list[Evidence]) -> None:
    one = one_metric(records)
    plain = len(msgspec.msgpack.encode([[key, gen, *pairs] for key, gen, pairs in one])) / RECORDS
    delta = write_evidence(one)
    packed, _ = deflate(delta)
    print(f"{'evidence, one metric a record':44} {plain:5.1f} B plain  {len(delta) / RECORDS:5.1f} B sorted (12.6)")
    print(f"{'  deflated':44} {len(packed) / RECORDS:5.1f} B (9.1)")
    verdicts = write_keyed([Verdict(key, 0, 700, 3, 1, 21_600) for key, _, _ in records])
    squeezed = len(deflate(verdicts)[0]) / RECORDS
    print(f"{'verdicts':44} {len(verdicts) / RECORDS:5.1f} B sorted (11.6)  {squeezed:5.1f} B deflated")


def a_member() -> tuple[Ed25519PrivateKey, Member]:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return private, Member(1, "node-1", "one", 0, 1, public, Role.PROXY, 0, 0xFFFF_FFFF)


def frames(records: list[Evidence]) -> None:
    private, member = a_member()
    signer = Signer(private, 1, 1, 1)
    written = write_evidence(records)
    hlc = stamp_of(NOW_MS)
    median, p99 = timed(lambda: signer.seal(RecordType.EVIDENCE, write_evidence(records), hlc, 1))
    line(f"pack and sign {RECORDS} records", median, p99, f"{1e6 / median:6.0f} frames/s")
    raw = signer.seal(RecordType.EVIDENCE, written, hlc, 1)
    signature = private.sign(raw)
    floor, p99 = timed(lambda: member.public_key.verify(signature, raw))
    line("  of which Ed25519 alone", floor, p99, "nothing is faster than that")
    median, p99 = timed(lambda: open_frame(raw, lambda kid: member, NOW_MS))
    line(f"verify and inflate a frame of {len(raw)} B", median, p99, f"{1e6 / median:6.0f} frames/s (51 needed)")
    median, p99 = timed(lambda: read_evidence(written))
    line("read its records one by one", median, p99, f"{RECORDS * 1e6 / median:9.0f} records/s")
    table, touched = EvidenceTable(), KeySet()
    grown = iter([write_evidence(later(records, step)) for step in range(ROUNDS)])
    median, p99 = timed(lambda: table.merge_records(next(grown), 1, 1, touched))
    line("read and merge them, with digests", median, p99, f"{RECORDS * 1e6 / median:9.0f} records/s (3,200 needed)")


def later(records: list[Evidence], step: int) -> list[Evidence]:
    return [(key, gen, [q + step * (at % 2) for at, q in enumerate(pairs)]) for key, gen, pairs in records]


def snapshot(rng: random.Random) -> None:
    """What an empty node does with a full one's shards, from a signed frame to the workers' table. In CPU time."""
    served, hlc, now_s = VerdictTable(), stamp_of(NOW_MS), NOW_MS // 1000
    for key in numbers(KEYS, rng):
        served.merge(key, Judgement(700, Band.BLOCK, Why.COMPLAINTS), now_s + TTL_S, 1, hlc, 1)
    private, member = a_member()
    signer = Signer(private, 1, 1, 1)
    chunks = [part for shard in range(SHARDS) for part in split(served.keys(shard), CHUNK)]
    before = time.thread_time()
    frames = [
        signer.seal(RecordType.VERDICT, served.write_records(keys, [0] * len(keys), TTL_S), hlc, 1) for keys in chunks
    ]
    rate = KEYS / (time.thread_time() - before)
    size = sum(map(len, frames)) / KEYS
    print(f"{'snapshot: pack and sign':44} {rate:9.0f} records/s  {size:4.1f} B a record, deflated (16)")
    with TemporaryDirectory() as directory:
        table, changed, spent = VerdictTable(), KeySet(), []
        effects = FleetEffects(NoOrders(), ReputationCache(Path(directory) / "reputation.tbl", 2 * KEYS), table)
        for raw in frames:
            before = time.thread_time()
            frame, _ = open_frame(raw, lambda kid: member, NOW_MS)
            table.take(frame.records, now_s, 1, hlc, 1, changed)
            effects.take_bands(*table.take_changed(changed, CHUNK, now_s), NOW_MS)
            spent.append(time.thread_time() - before)
    print(
        f"{'snapshot: verify, merge and put into force':44} {KEYS / sum(spent):9.0f} records/s (222,000)"
        f"  longest step {max(spent) * 1000:.1f} ms"
    )
    print(f"{'memory of verdicts':44} {table.octets / KEYS:6.0f} B a key (16 in the workers' table)")


def split(keys: list[int], size: int) -> list[list[int]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]


class NoOrders(Orders):
    """Verdicts need none."""

    def __init__(self) -> None: ...


def judgement(records: list[Evidence]) -> None:
    members = tuple(Member(at, f"node-{at}", "one", at, at, bytes(32), Role.PROXY, 0, 1) for at in range(1, 9))
    table, verdicts = EvidenceTable(), VerdictTable()
    for key, gen, pairs in records:
        for origin in range(1, 9):
            table.merge(key, origin, 1, gen, pairs)
    judge = Judge(1, table, verdicts, Trust(Bundle(1, 1, bytes(16), members)))
    keys, changed = [key for key, _, _ in records], KeySet()
    median, p99 = timed(lambda: judge.judge(keys, None, NOW_MS, NOW_MS, stamp_of(NOW_MS), changed, changed))
    line(f"judge {RECORDS} keys with 8 origins each", median, p99, f"{RECORDS * 1e6 / median:9.0f} keys/s")


def memory(rng: random.Random) -> None:
    for origins in (1, 4):
        records = evidence(KEYS, rng)
        table = EvidenceTable()
        for origin in range(origins):
            for start in range(0, KEYS, MAX_RECORDS):
                table.merge_records(write_evidence(records[start : start + MAX_RECORDS]), origin, 1, KeySet())
        used = table.octets
        name = f"memory, {origins} origin{'s' * (origins > 1)} a key, 2 slots each"
        print(f"{name:44} {used / KEYS:6.0f} B a key  {used / KEYS:6.0f} MB a million (50)")


def main() -> None:
    rng = random.Random(1)
    records = evidence(RECORDS, rng)
    sizes(records)
    frames(records)
    snapshot(rng)
    judgement(records)
    memory(rng)


if __name__ == "__main__":
    main()
