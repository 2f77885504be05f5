"""Frames: batches of records that their origin has signed. Nobody believes the broker about who sent what.

    frame = [body, kid, signature]         Ed25519 (RFC 8032) over body
    body  = [1, type, origin, epoch, seq, hlc, trust, zlib, records]

What costs nothing is looked at before the signature, the records after it. An origin that restarts counts a new epoch.
What it still sends of an earlier one has the distance of the two in the upper half of `seq`, so that every frame says
which life it was sent in, and one of an earlier life than the latest seen is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta

from proxy.control.hybrid_clock import MAX_AHEAD_MS, milliseconds_of
from proxy.control.sync.records import FRAME_BYTES, RecordType, Refused, Unsigned, Word32, decode, deflate, inflate
from proxy.control.sync.trust import Member

FORMAT = 1
LIFE_SHIFT = 32


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    body: Annotated[bytes, Meta(max_length=FRAME_BYTES)]
    kid: Word32
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class _Body(msgspec.Struct, array_like=True, gc=False):
    format: int
    type: RecordType
    origin: Word32
    epoch: Word32
    seq: Unsigned
    hlc: Unsigned
    trust: Word32
    deflated: Annotated[int, Meta(ge=0, le=1)]
    records: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Frame:
    """What was signed. records: msgpack, inflated. raw: the whole of it, as it can be handed on."""

    type: RecordType
    origin: int
    epoch: int
    seq: int
    hlc: int
    trust: int
    records: bytes
    raw: bytes

    @property
    def life(self) -> int:
        """The epoch of its sender when it was sent."""
        return self.epoch + (self.seq >> LIFE_SHIFT)


_envelope = msgspec.msgpack.Decoder(_Envelope)
_body = msgspec.msgpack.Decoder(_Body)
_bytes = msgspec.msgpack.Decoder(bytes)
_encode = msgspec.msgpack.Encoder().encode


class Signer:
    """Seals the frames of one life of one origin, each with the next number."""

    def __init__(self, key: Ed25519PrivateKey, kid: int, origin: int, epoch: int) -> None:
        self.origin = origin
        self.epoch = epoch
        self._key = key
        self._kid = kid
        self._seq: dict[int, int] = {}

    def seal(self, kind: RecordType, records: bytes, hlc: int, trust: int, *, epoch: int | None = None) -> bytes:
        """records: msgpack. epoch: of slots of an earlier life that are sent again."""
        about = self.epoch if epoch is None else epoch
        seq = self._seq[about] = self._seq.get(about, (self.epoch - about) << LIFE_SHIFT) + 1
        return self.seal_as(kind, records, hlc, trust, about, seq)

    def seal_as(self, kind: RecordType, records: bytes, hlc: int, trust: int, epoch: int, seq: int) -> bytes:
        packed, deflated = deflate(records)
        held = _encode(packed) if deflated else packed
        body = _encode([FORMAT, kind, self.origin, epoch, seq, hlc, trust, int(deflated), msgspec.Raw(held)])
        return _encode([body, self._kid, self._key.sign(body)])


def open_frame(
    raw: bytes, member_of: Callable[[int], Member | None], now_ms: int, *, relayed: bool = False
) -> tuple[Frame, Member]:
    """The frame with who signed it; Refused says in a word why it is not taken. Replays are for `replay.Windows`.

    member_of: kid -> member in good standing. relayed: an old frame from a log, whose member may have left since.
    """
    if len(raw) > FRAME_BYTES:
        raise Refused("size")
    envelope: _Envelope = decode(_envelope, raw)
    member = member_of(envelope.kid)
    if member is None:
        raise Refused("kid")
    body: _Body = decode(_body, envelope.body)
    if body.format != FORMAT:
        raise Refused("format")
    if body.origin != member.origin:
        raise Refused("origin")
    if body.hlc >> 64 or milliseconds_of(body.hlc) > now_ms + MAX_AHEAD_MS:
        raise Refused("ahead")
    if not relayed and not member.is_valid_at(now_ms // 1000):
        raise Refused("expired")
    try:
        member.public_key.verify(envelope.signature, envelope.body)
    except InvalidSignature:
        raise Refused("signature") from None
    records = inflate(decode(_bytes, body.records)) if body.deflated else bytes(body.records)
    return Frame(body.type, body.origin, body.epoch, body.seq, body.hlc, body.trust, records, raw), member
