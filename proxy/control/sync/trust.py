"""The trust bundle: who belongs to the fleet, with which keys and roles, and by which parameters it judges.

    frame = [body, signature]        by the root key, which is pinned in every node's configuration
    body  = [1, version, salt, members, revoked, parameters]

A bundle replaces one of a lower version, never one of a higher. Its version travels in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from functools import cached_property
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

from proxy.control.sync.records import Refused, Word32, decode

FORMAT = 1
MAX_MEMBERS = 4096
BUNDLE_BYTES = 1 << 20
REGION_SIZE = 32  # proxies: one bit each in the record of a region


class Role(IntFlag):
    PROXY = 1
    REDUCER = 2  # merges the evidence of its region
    TOP = 4  # merges regions and gives verdicts
    AUTHORITY = 8  # signs decisions


Name = Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")]
PublicKeyBytes = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Parameters(msgspec.Struct, frozen=True, array_like=True):
    """By what the fleet judges; every node has the same.

    f: colluding members that must not matter. cap: decayed events that one origin can contribute to a key. tag,
    challenge, block: scores from which a band begins. origins: distinct ones that a block needs, 0 = f + 3.
    """

    f: Annotated[int, Meta(ge=0, le=8)] = 3
    cap: Annotated[int, Meta(ge=1, le=1000)] = 5
    tag: Annotated[int, Meta(ge=1, le=1000)] = 300
    challenge: Annotated[int, Meta(ge=1, le=1000)] = 450
    block: Annotated[int, Meta(ge=1, le=1000)] = 600
    origins: Annotated[int, Meta(ge=0, le=1000)] = 0

    @property
    def origins_to_block(self) -> int:
        return max(self.origins or self.f + 3, self.f + 1)


class Member(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """index: within its region, 0..31. not_before_s, not_after_s: Unix seconds."""

    origin: Word32
    name: Name
    region: Name
    index: Annotated[int, Meta(ge=0, lt=REGION_SIZE)]
    kid: Word32
    public: PublicKeyBytes
    roles: Annotated[int, Meta(ge=0, le=15)]
    not_before_s: Word32
    not_after_s: Word32

    @cached_property
    def public_key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public)

    def is_valid_at(self, now_s: int) -> bool:
        return self.not_before_s <= now_s <= self.not_after_s

    def has(self, role: Role) -> bool:
        return bool(self.roles & int(role))


class Bundle(msgspec.Struct, frozen=True, array_like=True):
    """revoked: origins that once were members."""

    format: int
    version: Word32
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    members: Annotated[tuple[Member, ...], Meta(max_length=MAX_MEMBERS)]
    revoked: Annotated[tuple[Word32, ...], Meta(max_length=MAX_MEMBERS)] = ()
    parameters: Parameters = Parameters()


class _Signed(msgspec.Struct, array_like=True):
    body: Annotated[bytes, Meta(max_length=BUNDLE_BYTES)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


_signed = msgspec.msgpack.Decoder(_Signed)
_bundle = msgspec.msgpack.Decoder(Bundle)
_encode = msgspec.msgpack.Encoder().encode


def sign_bundle(bundle: Bundle, root: Ed25519PrivateKey) -> bytes:
    body = _encode(bundle)
    return _encode([body, root.sign(body)])


def open_bundle(raw: bytes, root: Ed25519PublicKey) -> Bundle:
    """Refused unless the root signed it and it is sound in itself."""
    if len(raw) > BUNDLE_BYTES:
        raise Refused("size")
    signed: _Signed = decode(_signed, raw)
    try:
        root.verify(signed.signature, signed.body)
    except InvalidSignature:
        raise Refused("signature") from None
    bundle: Bundle = decode(_bundle, signed.body)
    if bundle.format != FORMAT:
        raise Refused("format")
    check_bundle(bundle)
    return bundle


def check_bundle(bundle: Bundle) -> None:
    """Refused if two members share what must be their own."""
    members = bundle.members
    for own in ("origin", "name", "kid"):
        if len({getattr(member, own) for member in members}) < len(members):
            raise Refused("duplicate member")
    if len({(member.region, member.index) for member in members}) < len(members):
        raise Refused("duplicate member")


@dataclass(frozen=True)
class Trust:
    """A bundle, ready to be asked."""

    bundle: Bundle
    members: tuple[Member, ...] = field(init=False, repr=False)  # those in good standing
    _by_kid: dict[int, Member] = field(init=False, repr=False)
    _by_kid_ever: dict[int, Member] = field(init=False, repr=False)
    _by_origin: dict[int, Member] = field(init=False, repr=False)
    _by_name: dict[str, Member] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        revoked = frozenset(self.bundle.revoked)
        standing = tuple(m for m in self.bundle.members if m.origin not in revoked)
        object.__setattr__(self, "members", standing)
        object.__setattr__(self, "_by_kid", {m.kid: m for m in standing})
        object.__setattr__(self, "_by_kid_ever", {m.kid: m for m in self.bundle.members})
        object.__setattr__(self, "_by_origin", {m.origin: m for m in standing})
        object.__setattr__(self, "_by_name", {m.name: m for m in standing})

    @property
    def version(self) -> int:
        return self.bundle.version

    @property
    def parameters(self) -> Parameters:
        return self.bundle.parameters

    def by_kid(self, kid: int) -> Member | None:
        return self._by_kid.get(kid)

    def by_origin(self, origin: int) -> Member | None:
        return self._by_origin.get(origin)

    def name_of(self, origin: int) -> str:
        """Of a member, as people know it; of one that has gone its number."""
        member = self.by_origin(origin)
        return f"node {origin}" if member is None else member.name

    def by_name(self, name: str) -> Member | None:
        return self._by_name.get(name)

    def by_kid_ever(self, kid: int) -> Member | None:
        """Revoked ones too: what an authority decided while it was one still stands when another member hands it on."""
        return self._by_kid_ever.get(kid)
