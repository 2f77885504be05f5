"""Every kind of table: a file that is torn, cut, flipped, foreign or of another layout is made anew, never read."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from engine._orders import OrderTable
from engine._pairs import PairMemory
from engine._rate_limiter import RateLimiter
from engine._reputation import ReputationCache
from engine._shares import ShareTable
from engine._subscriber_lists import SubscriberLists
from engine._subscribers import SubscriberTable
from engine._table import TableError
from engine.tables import Tables

HEADER_SIZE = 4096
HEADER_BYTES = 84  # fields and their checksum; what follows counts and marks
LAYOUT_AT = 8
CAPACITY = 256
RECORDS = b"\x55" * 16 * CAPACITY

Opener = Callable[[Path], Any]
KINDS: dict[str, tuple[Opener, Opener]] = {
    "reputation": (lambda path: ReputationCache(path, CAPACITY, 14.0), ReputationCache.attach),
    "rate_limiter": (lambda path: RateLimiter(path, CAPACITY), RateLimiter.attach),
    "pairs": (lambda path: PairMemory(path, CAPACITY), PairMemory.attach),
    "subscribers": (lambda path: SubscriberTable(path, CAPACITY), SubscriberTable.attach),
    "subscriber_lists": (lambda path: SubscriberLists(path, CAPACITY), SubscriberLists.attach),
    "orders": (lambda path: OrderTable(path, CAPACITY), OrderTable.attach),
    "shares": (lambda path: ShareTable(path, CAPACITY), ShareTable.attach),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def path(tmp_path: Path, kind: str) -> Path:
    """A table full of records that would be garbage if anything read them."""
    path = tmp_path / f"{kind}.tbl"
    KINDS[kind][0](path)
    content = path.read_bytes()
    assert len(content) == HEADER_SIZE + len(RECORDS)
    path.write_bytes(content[:HEADER_SIZE] + RECORDS)
    return path


def is_refused_and_made_anew(kind: str, path: Path) -> None:
    make, attach = KINDS[kind]
    before = path.read_bytes()
    with pytest.raises((TableError, FileNotFoundError)):
        attach(path)
    assert path.read_bytes() == before, "who only attaches changes nothing"
    table = make(path).table
    assert table.fresh
    assert "rebuilt" in table.reason
    assert len(table) == 0
    assert make(path).table.fresh is False


def test_every_table_of_a_node_is_here() -> None:
    assert set(KINDS) == {field.name for field in fields(Tables)}


@every_kind
def test_a_whole_file_is_read(kind: str, path: Path) -> None:
    assert len(KINDS[kind][0](path).table) == CAPACITY
    assert len(KINDS[kind][1](path).table) == CAPACITY


@every_kind
@pytest.mark.parametrize("size", [0, 1, 8, HEADER_BYTES - 1, HEADER_BYTES, HEADER_SIZE - 1, HEADER_SIZE, -16, -1])
def test_a_cut_file(kind: str, path: Path, size: int) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:size])
    is_refused_and_made_anew(kind, path)


@every_kind
@pytest.mark.parametrize("more", [1, 16, HEADER_SIZE])
def test_a_file_that_has_grown(kind: str, path: Path, more: int) -> None:
    path.write_bytes(path.read_bytes() + bytes(more))
    is_refused_and_made_anew(kind, path)


@every_kind
def test_any_bit_of_the_header(kind: str, path: Path) -> None:
    """Each of the 672 bits by itself."""
    _, attach = KINDS[kind]
    content = bytearray(path.read_bytes())
    for bit in range(8 * HEADER_BYTES):
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(TableError):
            attach(path)
        content[bit // 8] ^= 1 << bit % 8
    content[random.Random(4).randrange(HEADER_BYTES)] ^= 0x10
    path.write_bytes(content)
    is_refused_and_made_anew(kind, path)


@every_kind
@pytest.mark.parametrize("layout", [0, 1, 99])
def test_another_layout_with_a_sound_checksum(kind: str, path: Path, layout: int) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, LAYOUT_AT, layout)
    struct.pack_into("<I", content, HEADER_BYTES - 4, zlib.crc32(content[: HEADER_BYTES - 4]))
    path.write_bytes(content)
    is_refused_and_made_anew(kind, path)


@every_kind
@pytest.mark.parametrize("other", KINDS)
def test_a_table_of_another_kind(kind: str, path: Path, other: str) -> None:
    if other == kind:
        return
    path.unlink()
    KINDS[other][0](path)
    is_refused_and_made_anew(kind, path)


@every_kind
@pytest.mark.parametrize("content", [b"", b"no table", bytes(HEADER_SIZE + len(RECORDS)), b"\xff" * 3 * HEADER_SIZE])
def test_no_table_at_all(kind: str, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    is_refused_and_made_anew(kind, path)
