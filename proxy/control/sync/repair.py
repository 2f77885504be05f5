"""Repair: what makes nodes equal whatever was lost. They compare digests; where two differ twice in a row, they ask.

    sum  [tick, verdict roots, decisions, head hlc, decision hash, evidence roots]
    rq   [what, shard, buckets or from_hlc]
    rs   [what, shard, part, parts, records]

An origin heals its own slots: it sees that a peer differs in a bucket and tells what it has there again. Slots of an
origin that is gone are vouched for by others (`hearsay`). Decisions travel in the frames that their authority signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta

from proxy.control.sync.digest import ROOTS_BYTES, SHARD_BYTES, Digest
from proxy.control.sync.hearsay import Hearsay
from proxy.control.sync.joining import Joining
from proxy.control.sync.keys import SHARDS
from proxy.control.sync.records import (
    FRAME_BYTES,
    Evidence,
    Refused,
    Unsigned,
    Verdict,
    Word32,
    decode,
    read_evidence,
    read_keyed,
    write_evidence,
)
from proxy.control.sync.replica import Replica
from proxy.control.sync.trust import Member, Role
from proxy.control.sync.verdicts import TTL_S

CHUNK_BYTES = 40_000
CHUNK_RECORDS = 3000
ROUNDS = 2  # digests that differ so often in a row differ for more than what is on its way
SHARDS_AT_ONCE = 16
DECISION_OVERLAP = 60_000 << 16  # decisions may arrive out of order by so much (60 s of hlc)


class What(IntEnum):
    TRUST = 0
    DECISIONS = 1
    VERDICTS = 2
    VERDICT_BUCKETS = 3
    VERDICT_ENTRIES = 4
    EVIDENCE_BUCKETS = 5
    EVIDENCE_ENTRIES = 6
    REGIONS = 7  # no answer: a reducer tells its sums again


Roots = Annotated[bytes, Meta(min_length=ROOTS_BYTES, max_length=ROOTS_BYTES)]
Shard = Annotated[int, Meta(ge=0, lt=SHARDS)]


class Summary(msgspec.Struct, array_like=True, frozen=True):
    tick: Unsigned
    verdicts: Roots
    decisions: Unsigned
    head_hlc: Unsigned
    decision_hash: Annotated[bytes, Meta(min_length=8, max_length=8)]
    evidence: Roots = bytes(ROOTS_BYTES)


class Request(msgspec.Struct, array_like=True, frozen=True):
    """about: buckets of the shard, or the stamp after which decisions are wanted."""

    what: What
    shard: Shard = 0
    about: Unsigned | Annotated[list[Annotated[int, Meta(ge=0, le=255)]], Meta(max_length=256)] = 0


class Answer(msgspec.Struct, array_like=True, frozen=True):
    what: What
    shard: Shard
    part: Unsigned
    parts: Unsigned
    records: Annotated[bytes, Meta(max_length=FRAME_BYTES)]


Entries = list[tuple[Word32, Word32, Annotated[bytes, Meta(max_length=FRAME_BYTES)]]]  # origin, epoch, E records

summary_decoder = msgspec.msgpack.Decoder(Summary)
request_decoder = msgspec.msgpack.Decoder(Request)
answer_decoder = msgspec.msgpack.Decoder(Answer)
_entries = msgspec.msgpack.Decoder(Annotated[Entries, Meta(max_length=4000)])
_frames = msgspec.msgpack.Decoder(
    Annotated[list[Annotated[bytes, Meta(max_length=FRAME_BYTES)]], Meta(max_length=4000)]
)
encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class _Peer:
    """Of a member whose digests we see: how often in a row each of them has differed."""

    decisions: int = 0
    evidence: Counter[int] | None = None
    verdicts: Counter[int] | None = None


@dataclass(slots=True)
class _Asked:
    """Buckets of verdicts that a judge was asked for; how many parts of its answer came, of how many, 0 = not known."""

    buckets: frozenset[int]
    parts: int = 0
    of: int = 0
    named: set[int] = field(default_factory=set)


class Repair:
    """tell_again: own keys to be told once more. take_frames: of signed decisions. mesh: every node judges itself."""

    def __init__(
        self,
        replica: Replica,
        mesh: bool,
        region: str,
        tell_again: Callable[[Iterable[int]], None],
        take_frames: Callable[[list[bytes]], None],
        joining: Joining,
    ) -> None:
        self._replica = replica
        self._mesh = mesh
        self._region = region
        self._tell_again = tell_again
        self._take_frames = take_frames
        self._peers: dict[int, _Peer] = {}
        self._asked: dict[tuple[int, int], _Asked] = {}  # by judge and shard
        self.hearsay = Hearsay()
        self.joining = joining
        self.has_decisions = False  # since the start: a peer's log was seen to be equal, or was read whole

    def summary(self, tick: int) -> Summary:
        replica = self._replica
        log = replica.decisions
        return Summary(
            tick,
            replica.verdicts.digest.roots(),
            len(log),
            log.head_hlc,
            log.hash.to_bytes(8),
            replica.evidence.digest.roots(),
        )

    # --- Comparing ----------------------------------------------------------------------------------------------------

    def compare(self, member: Member, theirs: Summary) -> list[Request]:
        """What to ask a peer after its summary."""
        peer = self._peers.setdefault(member.origin, _Peer())
        asked = self._compare_decisions(peer, theirs)
        if self._holds_same_evidence(member):
            differ = self._replica.evidence.digest.different_shards(theirs.evidence)
            peer.evidence = _again(peer.evidence, differ)
            asked += [Request(What.EVIDENCE_BUCKETS, shard) for shard in _lasting(peer.evidence)]
        elif not self._mesh and member.has(Role.TOP):
            differ = self._replica.verdicts.digest.different_shards(theirs.verdicts)
            self.joining.has(set(range(SHARDS)).difference(differ))
            peer.verdicts = _again(peer.verdicts, [shard for shard in differ if not self.joining.wants(shard)])
            # Judges whose verdicts differ have not heard the same, and believe reducers alone.
            what = What.REGIONS if self._replica.judges else What.VERDICT_BUCKETS
            asked += [Request(what, shard) for shard in _lasting(peer.verdicts)]
        return asked

    def differs(self) -> int:
        """Peers with which anything has differed in their last two summaries."""
        return sum(
            peer.decisions >= ROUNDS or any(_lasting(peer.evidence)) or any(_lasting(peer.verdicts))
            for peer in self._peers.values()
        )

    def forget(self, origin: int) -> None:
        self._peers.pop(origin, None)
        self.hearsay.forget(origin)

    def _compare_decisions(self, peer: _Peer, theirs: Summary) -> list[Request]:
        log = self._replica.decisions
        if (len(log), log.hash.to_bytes(8)) == (theirs.decisions, theirs.decision_hash):
            peer.decisions = 0
            self.has_decisions = True
            return []
        peer.decisions += 1
        since = max(log.head_hlc - DECISION_OVERLAP, 0) if peer.decisions == 1 and self.has_decisions else 0
        return [Request(What.DECISIONS, 0, since)]

    def _holds_same_evidence(self, member: Member) -> bool:
        return self._mesh or (self._replica.reduces and member.has(Role.REDUCER) and member.region == self._region)

    # --- Answering ----------------------------------------------------------------------------------------------------

    def answer(self, request: Request, trust_raw: bytes) -> Iterator[Answer]:
        """Made one by one, as they are sent: the whole may be large."""
        replica, shard = self._replica, request.shard
        buckets = frozenset(request.about) if isinstance(request.about, list) else None
        match request.what:
            case What.TRUST:
                yield Answer(What.TRUST, 0, 1, 1, trust_raw)
            case What.DECISIONS:
                since = request.about if isinstance(request.about, int) else 0
                yield from _parts(What.DECISIONS, 0, _chunks_of_frames(replica.decisions.frames_since(since)))
            case What.VERDICTS | What.VERDICT_ENTRIES:
                wanted = None if request.what is What.VERDICTS else buckets or frozenset()
                yield from _parts(request.what, shard, self._verdict_chunks(shard, wanted))
            case What.REGIONS:
                replica.tell_regions_again([shard])
            case What.VERDICT_BUCKETS:
                yield Answer(request.what, shard, 1, 1, replica.verdicts.digest.shard(shard))
            case What.EVIDENCE_BUCKETS:
                yield Answer(request.what, shard, 1, 1, replica.evidence.digest.shard(shard))
            case What.EVIDENCE_ENTRIES:
                yield from _parts(request.what, shard, self._evidence_chunks(shard, buckets or frozenset()))

    def take(self, member: Member, answer: Answer, hlc: int, now_s: int) -> list[Request]:
        """Takes in what a peer answered; what to ask it next. Refused if it is not what was to come."""
        match answer.what:
            case What.DECISIONS:
                self._take_frames(decode(_frames, answer.records))
                self.has_decisions |= answer.part == answer.parts
            case What.VERDICTS | What.VERDICT_ENTRIES:
                self._take_verdicts(member, answer, hlc, now_s)
            case What.VERDICT_BUCKETS:
                requests = self._differing(answer, self._replica.verdicts.digest, What.VERDICT_ENTRIES)
                for request in requests:
                    assert isinstance(request.about, list)
                    self._asked[member.origin, answer.shard] = _Asked(frozenset(request.about))
                return requests
            case What.EVIDENCE_BUCKETS:
                return self._differing(answer, self._replica.evidence.digest, What.EVIDENCE_ENTRIES)
            case What.EVIDENCE_ENTRIES:
                self._take_evidence(member, answer)
        return []

    def _differing(self, answer: Answer, digest: Digest, then: What) -> list[Request]:
        if len(answer.records) != SHARD_BYTES:
            raise Refused("range")
        buckets = digest.different_buckets(answer.shard, answer.records)
        if then is What.EVIDENCE_ENTRIES and buckets:
            self._tell_again(self._replica.evidence.keys(answer.shard, frozenset(buckets)))
        return [Request(then, answer.shard, buckets)] if buckets else []

    def _take_verdicts(self, member: Member, answer: Answer, hlc: int, now_s: int) -> None:
        if not member.has(Role.TOP):
            raise Refused("role")
        replica, trust = self._replica, self._replica.trust.version
        if answer.what is What.VERDICTS:
            replica.copy_verdicts(member.origin, hlc, trust, answer.records, now_s)
            self.joining.heard(answer.shard, now_s * 1000)
            if answer.part == answer.parts:
                self.joining.has([answer.shard])
            return
        replica.merge_verdicts(member.origin, hlc, trust, answer.records, now_s)
        asked = self._asked.get((member.origin, answer.shard))
        if asked is None:
            return
        asked.named.update(record.key for record in read_keyed(answer.records, Verdict))
        asked.parts += 1
        asked.of = max(asked.of, answer.parts)
        if asked.parts == asked.of:
            del self._asked[member.origin, answer.shard]
            replica.hear_silence(member.origin, hlc, trust, answer.shard, asked.buckets, asked.named, now_s)

    def _take_evidence(self, member: Member, answer: Answer) -> None:
        f = self._replica.trust.parameters.f
        for origin, epoch, data in decode(_entries, answer.records):
            if origin == member.origin:
                self._replica.take_evidence(origin, epoch, data)
            elif self._replica.trust.by_origin(origin) is not None:
                records = read_evidence(data)
                vouched = [self._vouched(record, origin, epoch, member.origin, f) for record in records]
                self._replica.merge_evidence(origin, epoch, [record for record in vouched if record[2]])

    def _vouched(self, record: Evidence, origin: int, epoch: int, member: int, f: int) -> Evidence:
        key, gen, pairs = record
        heard: list[int] = []
        for metric, q in zip(pairs[::2], pairs[1::2], strict=True):
            value = self.hearsay.hear((key, origin, epoch, gen, metric), q, member, f)
            heard += [metric, value] if value else []
        return key, gen, heard

    def _verdict_chunks(self, shard: int, buckets: frozenset[int] | None) -> Iterator[bytes]:
        replica = self._replica
        keys = replica.verdicts.keys(shard, buckets)
        for start in range(0, len(keys), CHUNK_RECORDS):
            chunk = keys[start : start + CHUNK_RECORDS]
            yield replica.verdicts.write_records(chunk, [replica.evidence.generation(key) for key in chunk], TTL_S)

    def _evidence_chunks(self, shard: int, buckets: frozenset[int]) -> Iterator[bytes]:
        evidence = self._replica.evidence
        by_source: dict[tuple[int, int], dict[int, list[int]]] = {}
        for key in evidence.keys(shard, buckets):
            for origin, epoch, metric, q in evidence.read(key):
                by_source.setdefault((origin, epoch), {}).setdefault(key, []).extend((metric, q))
        entries: list[tuple[int, int, bytes]] = []
        size = 0
        for (origin, epoch), keys in by_source.items():
            pending = iter(keys.items())
            while some := list(islice(pending, 300)):
                data = write_evidence([(key, evidence.generation(key), pairs) for key, pairs in some])
                if size + len(data) > CHUNK_BYTES:
                    yield encode(entries)
                    entries, size = [], 0
                entries.append((origin, epoch, data))
                size += len(data) + 16
        if entries:
            yield encode(entries)


def _chunks_of_frames(frames: Iterator[bytes]) -> Iterator[bytes]:
    chunk: list[bytes] = []
    size = 0
    for frame in frames:
        if chunk and size + len(frame) > CHUNK_BYTES:
            yield encode(chunk)
            chunk, size = [], 0
        chunk.append(frame)
        size += len(frame) + 5
    yield encode(chunk)


def _parts(what: What, shard: int, chunks: Iterator[bytes]) -> Iterator[Answer]:
    """Numbered from 1; only the last one knows how many there are, the others say 0."""
    part = 0
    held: bytes | None = None
    for chunk in chunks:
        if held is not None:
            part += 1
            yield Answer(what, shard, part, 0, held)
        held = chunk
    yield Answer(what, shard, part + 1, part + 1, encode([]) if held is None else held)


def _again(before: Counter[int] | None, differ: list[int]) -> Counter[int]:
    return Counter({shard: (before or Counter())[shard] + 1 for shard in differ})


def _lasting(rounds: Counter[int] | None) -> list[int]:
    """Some of the shards that keep differing; in later rounds others."""
    lasting = [(shard + SHARDS_AT_ONCE * count, shard) for shard, count in (rounds or {}).items() if count >= ROUNDS]
    return [shard for _, shard in sorted(lasting, key=lambda each: each[0] % SHARDS)[:SHARDS_AT_ONCE]]
