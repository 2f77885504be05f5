"""The labelled mix: which families of calls are placed, how often, and with which numbers.

A mix is drawn once, with a seed, into a deck: packed entries that the calling endpoints place in turn.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec

ENTRY = struct.Struct("=BBBB30s30s")  # DeckEntry of _requests.pxd
LONGEST_NUMBER = 30
USER_CHARACTERS = frozenset("0123456789+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.!~*'()&=$,;?/#%")
ANONYMOUS = "anonymous"

Draw = Callable[[], str]


class MixError(Exception):
    """A mix that cannot be drawn: says which family and why."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Where the numbers of one side of a family come from; in TOML, `kind` says which of these it is."""

    def drawing(self, draws: random.Random) -> Draw:
        raise NotImplementedError


class Listed(Source, tag="list", frozen=True, forbid_unknown_fields=True):
    """Any of these, each equally often."""

    numbers: tuple[str, ...]

    def drawing(self, draws: random.Random) -> Draw:
        return lambda: draws.choice(self.numbers)


class InPrefix(Source, tag="prefix", frozen=True, forbid_unknown_fields=True):
    """One of the prefixes, then `digits` random digits: nearly every call another number."""

    prefixes: tuple[str, ...]
    digits: int

    def drawing(self, draws: random.Random) -> Draw:
        return lambda: draws.choice(self.prefixes) + random_digits(draws, self.digits)


class Rotation(Source, tag="rotation", frozen=True, forbid_unknown_fields=True):
    """A pool of `size` numbers in the prefix, used in turn."""

    prefix: str
    digits: int
    size: int

    def drawing(self, draws: random.Random) -> Draw:
        pool = [self.prefix + random_digits(draws, self.digits) for _ in range(self.size)]
        turn = -1

        def next_number() -> str:
            nonlocal turn
            turn = (turn + 1) % len(pool)
            return pool[turn]

        return next_number


class Withheld(Source, tag="anonymous", frozen=True, forbid_unknown_fields=True):
    """The caller hides the number (RFC 3323)."""

    def drawing(self, draws: random.Random) -> Draw:
        return lambda: ANONYMOUS


AnySource = Listed | InPrefix | Rotation | Withheld


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Calls of one kind. weight: share relative to the others. label: ground truth, `legit:KIND` or `nuisance:KIND`.

    talk_ms: from answer to BYE. cancel_ms: the caller gives up that long after the INVITE; absent = never.
    """

    name: str
    label: str
    weight: float
    callers: AnySource
    callees: AnySource
    talk_ms: float = 0.0
    cancel_ms: float | None = None


class Mix(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"families": "family"}):
    """What a mix file holds: one [[family]] or more."""

    families: tuple[Family, ...]


SUBSCRIBERS = InPrefix(prefixes=("+86208888",), digits=4)

DEFAULT_MIX = Mix(
    families=(
        Family(
            name="residential",
            label="legit:residential",
            weight=55,
            callers=InPrefix(prefixes=("+86138", "+86139", "+86158", "+86186"), digits=8),
            callees=SUBSCRIBERS,
        ),
        Family(
            name="office",
            label="legit:office",
            weight=25,
            callers=Rotation(prefix="+86108765", digits=4, size=200),
            callees=SUBSCRIBERS,
        ),
        Family(
            name="bulk",
            label="nuisance:bulk",
            weight=8,
            callers=Listed(numbers=("+862155550001",)),
            callees=SUBSCRIBERS,
        ),
        Family(
            name="rotate",
            label="nuisance:rotate",
            weight=6,
            callers=Rotation(prefix="+861700", digits=7, size=2000),
            callees=SUBSCRIBERS,
        ),
        Family(
            name="listed",
            label="nuisance:listed",
            weight=4,
            callers=Listed(numbers=("+862066660000", "+8616512345678")),
            callees=SUBSCRIBERS,
        ),
        Family(name="anonymous", label="legit:anonymous", weight=2, callers=Withheld(), callees=SUBSCRIBERS),
    )
)


class Deck:
    """The calls drawn from a mix, packed for the calling endpoint."""

    def __init__(self, families: tuple[Family, ...], packed: bytes) -> None:
        self.families = families
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed) // ENTRY.size

    def entry(self, i: int) -> tuple[Family, str, str]:
        """Family, caller and callee of the i-th call."""
        family, _, caller_length, callee_length, caller, callee = ENTRY.unpack_from(self.packed, i * ENTRY.size)
        return self.families[family], caller[:caller_length].decode(), callee[:callee_length].decode()


def read_mix(path: Path) -> Mix:
    try:
        mix = msgspec.toml.decode(path.read_bytes(), type=Mix)
    except OSError as error:
        raise MixError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise MixError(f"{path}: {error}") from error
    return mix


def draw_deck(mix: Mix, count: int, seed: int) -> Deck:
    """`count` calls; the same mix, count and seed give the same deck."""
    check(mix)
    draws = random.Random(seed)
    sides = [(family.callers.drawing(draws), family.callees.drawing(draws)) for family in mix.families]
    chosen = draws.choices(range(len(mix.families)), [family.weight for family in mix.families], k=count)
    packed = bytearray()
    for family in chosen:
        caller, callee = sides[family]
        packed += pack(family, caller(), callee())
    return Deck(mix.families, bytes(packed))


def pack(family: int, caller: str, callee: str) -> bytes:
    return ENTRY.pack(family, caller == ANONYMOUS, len(caller), len(callee), caller.encode(), callee.encode())


def random_digits(draws: random.Random, count: int) -> str:
    return f"{draws.randrange(10**count):0{count}d}" if count else ""


def check(mix: Mix) -> None:
    if not 0 < len(mix.families) <= 64:
        raise MixError(f"{len(mix.families)} families: expected 1 to 64")
    if not sum(family.weight for family in mix.families) > 0:
        raise MixError("the weights of all families together: expected more than 0")
    for family in mix.families:
        if family.weight < 0 or family.talk_ms < 0 or (family.cancel_ms or 0) < 0:
            raise MixError(f"family {family.name}: weight, talk_ms and cancel_ms cannot be negative")
        check_source(f"family {family.name}: callers", family.callers)
        if isinstance(family.callees, Withheld):
            raise MixError(f"family {family.name}: callees: a callee cannot be anonymous")
        check_source(f"family {family.name}: callees", family.callees)


def check_source(where: str, source: AnySource) -> None:
    match source:
        case Listed(numbers):
            written, digits, size = numbers, 0, len(numbers)
        case InPrefix(prefixes, digits):
            written, size = prefixes, len(prefixes)
        case Rotation(prefix, digits, size):
            written = (prefix,)
        case Withheld():
            return
    if size < 1 or digits < 0:
        raise MixError(f"{where}: expected at least one number")
    for text in written:
        if not 0 < len(text) + digits <= LONGEST_NUMBER or not USER_CHARACTERS.issuperset(text):
            raise MixError(f"{where}: {text!r}: expected 1 to {LONGEST_NUMBER} characters of a SIP URI's user part")
