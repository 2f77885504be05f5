"""Records on the wire: what each type holds, written compactly and read within bounds.

Records are msgpack arrays with fixed positions; fields at the tail that a newer node adds are passed over. Keys of all
but decisions and generations are sorted and written as differences. What is read has been measured before it is made:
msgspec looks at the length of an array, its types and ranges before it builds a value, so that a bomb costs nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from proxy.control.decisions import Act, Decision, Kind
from proxy.control.sync.keys import MAX_KEY, is_key

FRAME_BYTES = 64 << 10
MAX_RECORDS = 4000
INFLATE_RATIO = 20
INFLATED_BYTES = 1 << 20
METRICS = 16
COMPLAINANTS = 16
REGISTERS_BYTES = 48
TEN_YEARS_S = 10 * 366 * 86_400
_WORTHWHILE_BYTES = 256  # below that deflating gains nothing


class RecordType(IntEnum):
    EVIDENCE = 69  # E
    COMPLAINANTS = 75  # K
    REGION = 82  # R
    VERDICT = 86  # V
    DECISION = 68  # D
    CALLEES = 72  # H
    GENERATION = 71  # G
    LEASE = 84  # T
    DEMAND = 87  # W
    SUMMARY = 83  # S: sum
    STATUS = 85  # U: st
    REQUEST = 81  # Q: rq
    ANSWER = 65  # A: rs
    TRUST = 66  # B: trust bundle


class Refused(ValueError):
    """What came is not taken. `why` is one of few words, for counting; nothing has changed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


Unsigned = Annotated[int, Meta(ge=0)]
Word16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
Word32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
Metric = Annotated[int, Meta(ge=0, lt=METRICS)]


class _Keyed(msgspec.Struct, array_like=True, gc=False):
    """key: on the wire the difference to that of the record before."""

    key: Unsigned


class Complainants(_Keyed, array_like=True, gc=False):
    """K: the smallest keyed hashes of who complained of a key on a day."""

    gen: Word32
    day: Word32
    hashes: Annotated[list[Unsigned], Meta(max_length=COMPLAINANTS)]


class Region(_Keyed, array_like=True, gc=False):
    """R: a region's sum of a metric, each origin capped; who contributed, and its largest origins by index."""

    gen: Word32
    metric: Metric
    q: Word32
    day: Word32
    origins: Word32
    largest: Annotated[list[tuple[Annotated[int, Meta(ge=0, lt=32)], Word32]], Meta(max_length=8)]


class Verdict(_Keyed, array_like=True, gc=False):
    """V: what reduction came to. why: bits of `score.Why`. ttl_s: how long it holds without being renewed."""

    gen: Word32
    score: Annotated[int, Meta(ge=0, le=1000)]
    band: Annotated[int, Meta(ge=0, le=3)]
    why: Word16
    ttl_s: Word32


class Callees(_Keyed, array_like=True, gc=False):
    """H: 64 registers of six bits, distinct callees within an hour."""

    gen: Word32
    hour: Word32
    registers: Annotated[bytes, Meta(min_length=REGISTERS_BYTES, max_length=REGISTERS_BYTES)]


class Lease(_Keyed, array_like=True, gc=False):
    """T: a share of a limit that holds for the whole fleet, lent to `origin`; rates are calls in 10^6 s.

    A lender's pulse is one too: micro_rate = how many nodes there are, burst = 1 once it lends, origin = 0.
    """

    micro_rate: Unsigned
    burst: Word32
    lease_ms: Word32
    term: Unsigned
    origin: Word32 = 0


class Demand(_Keyed, array_like=True, gc=False):
    """W: what a node wants of such a limit, what it holds, and what the limit is by its own policy."""

    wanted: Unsigned
    held: Unsigned
    limit: Unsigned
    burst: Word32


class Generation(msgspec.Struct, array_like=True, gc=False):
    """G: evidence of a lower generation is void."""

    key: Unsigned
    gen: Word32


class _WireDecision(msgspec.Struct, array_like=True, gc=False):
    """D, in its own order of fields."""

    key: Unsigned
    kind: Annotated[int, Meta(ge=0, le=2)]
    ns: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")]
    act: Annotated[int, Meta(ge=1, le=3)]
    prio: Annotated[int, Meta(ge=1, le=3)]
    hlc: Unsigned
    from_s: Unsigned
    until_s: Unsigned
    tomb: bool
    reason: Annotated[str, Meta(max_length=64)] = ""
    owner: Annotated[str, Meta(max_length=64)] = ""


Evidence = tuple[int, int, list[int]]  # key, generation, [metric, q, metric, q, ...]
Keyed = TypeVar("Keyed", bound=_Keyed)

_Records = Meta(max_length=MAX_RECORDS)
_encode = msgspec.msgpack.Encoder().encode
_evidence = msgspec.msgpack.Decoder(
    Annotated[list[Annotated[list[Unsigned], Meta(min_length=4, max_length=2 + 2 * METRICS)]], _Records]
)
_decoders: dict[type, Any] = {
    record: msgspec.msgpack.Decoder(Annotated[list[record], _Records])  # type: ignore[valid-type]
    for record in (Complainants, Region, Verdict, Callees, Lease, Demand, Generation, _WireDecision)
}


def write_evidence(records: Sequence[Evidence]) -> bytes:
    """E: of each key the metrics that an origin reports, in full."""
    ordered = sorted(records)
    keys = [0, *(key for key, _, _ in ordered)]
    return _encode([[b - a, gen, *pairs] for (a, b), (_, gen, pairs) in zip(pairwise(keys), ordered, strict=True)])


def read_evidence(data: bytes) -> list[Evidence]:
    """Refused unless every key, metric and q is within its range."""
    records, key = [], 0
    for dkey, gen, *pairs in decode(_evidence, data):
        key = _key(key + dkey)
        if len(pairs) % 2 or gen > 0xFFFF_FFFF or max(pairs[1::2]) > 0xFFFF_FFFF or max(pairs[::2]) >= METRICS:
            raise Refused("range")
        records.append((key, gen, pairs))
    return records


def write_keyed(records: Sequence[Keyed]) -> bytes:
    """K, R, V, H, T and W."""
    ordered = sorted(records, key=lambda record: record.key)
    rows = [list(msgspec.structs.astuple(record)) for record in ordered]
    before = 0
    for row in rows:
        before, row[0] = row[0], row[0] - before
    return _encode(rows)


def read_keyed(data: bytes, record: type[Keyed]) -> list[Keyed]:
    records: list[Keyed] = decode(_decoders[record], data)
    key = 0
    for each in records:
        each.key = key = _key(key + each.key)
    return records


def write_generations(records: Sequence[Generation]) -> bytes:
    return _encode(records)


def read_generations(data: bytes) -> list[Generation]:
    records: list[Generation] = decode(_decoders[Generation], data)
    for record in records:
        _key(record.key)
    return records


def write_decisions(decisions: Sequence[Decision]) -> bytes:
    """D. Its signer is the origin of the frame."""
    return _encode(
        [
            [d.key, d.kind, d.ns, d.act, d.prio, d.hlc, d.from_s, d.until_s, d.tomb, d.reason, d.owner]
            for d in decisions
        ]
    )


def read_decisions(data: bytes, signer: int, now_s: int) -> list[Decision]:
    """Refused if a time is more than ten years away."""
    decisions = []
    for wire in decode(_decoders[_WireDecision], data):
        # Trunks are keyed by name and may have any kind; numbers and prefixes are the engine's words.
        _key(wire.key)
        if max(wire.from_s, wire.until_s) > now_s + TEN_YEARS_S or wire.hlc >> 64:
            raise Refused("range")
        if len(wire.reason.encode()) > 64 or len(wire.owner.encode()) > 64:
            raise Refused("range")
        fields = msgspec.structs.asdict(wire) | {"kind": Kind(wire.kind), "act": Act(wire.act), "signer": signer}
        decisions.append(Decision(**fields))
    return decisions


def deflate(data: bytes) -> tuple[bytes, bool]:
    """(data, whether it is deflated)."""
    if len(data) < _WORTHWHILE_BYTES:
        return data, False
    packed = zlib.compress(data, 1)
    return (packed, True) if len(packed) < len(data) and len(data) <= INFLATE_RATIO * len(packed) else (data, False)


def inflate(data: bytes) -> bytes:
    """Refused if it grows beyond 20 times its size or 1 MiB, before it has."""
    room = min(INFLATE_RATIO * len(data), INFLATED_BYTES)
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(data, room + 1)
    except zlib.error:
        raise Refused("zlib") from None
    if len(inflated) > room or not stream.eof or stream.unused_data:
        raise Refused("inflate")
    return inflated


def decode(decoder: Any, data: bytes) -> Any:
    """What a decoder makes of it; Refused for whatever does not fit its types, nested beyond measure included."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise Refused("msgpack") from None



def _key(key: int) -> int:
    if key > MAX_KEY or not is_key(key):
        raise Refused("key")
    return key
