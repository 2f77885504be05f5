"""Table: warm restart, and files that must never be read as something they are not."""

from __future__ import annotations

import multiprocessing
import resource
from pathlib import Path

import pytest

from engine._table import Table, TableError

KIND = 1
HEADER_SIZE = 4096
REGION = 1 << 17


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.tbl"


def filled(path: Path, capacity: int = 256, parameters: tuple[int, ...] = ()) -> None:
    """A table with one record, written behind the table's back."""
    Table(path, KIND, capacity, parameters)
    with path.open("r+b") as file:
        file.seek(HEADER_SIZE)
        file.write(b"\1" * 16)


def test_a_new_table_is_empty_and_says_so(path: Path) -> None:
    table = Table(path, KIND, 1000)
    assert (table.fresh, table.reason, len(table)) == (True, "created", 0)
    assert (table.evictions, table.lost) == (0, 0)
    assert [entry.name for entry in path.parent.iterdir()] == ["some.tbl"]


@pytest.mark.parametrize(("asked", "given"), [(1, 256), (256, 256), (257, 512), (1000, 1024), (1 << 17, 1 << 17)])
def test_the_capacity_is_rounded_up(path: Path, asked: int, given: int) -> None:
    assert Table(path, KIND, asked).capacity == given
    assert path.stat().st_size == HEADER_SIZE + 16 * given


@pytest.mark.parametrize(("asked", "regions"), [(REGION + 1, 2), (2 * REGION, 2), (5 * REGION - 1, 5)])
def test_a_large_table_has_whole_regions_on_their_boundary(path: Path, asked: int, regions: int) -> None:
    assert Table(path, KIND, asked).capacity == regions * REGION
    assert path.stat().st_size == 16 * REGION * (1 + regions)
    assert not Table(path, KIND, asked).fresh


def test_opening_a_large_table_does_not_read_it(path: Path) -> None:
    Table(path, KIND, 32 * REGION)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    table = Table(path, KIND, 32 * REGION)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults < 16 * REGION // 4096
    assert not table.fresh


@pytest.mark.parametrize("capacity", [0, -1, (1 << 36) + 1])
def test_a_capacity_out_of_range_is_refused(path: Path, capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        Table(path, KIND, capacity)
    assert not path.exists()


def test_the_same_table_is_warm(path: Path) -> None:
    filled(path, parameters=(7,))
    table = Table(path, KIND, 256, (7,))
    assert (table.fresh, table.reason, len(table), table.parameters) == (False, "", 1, (7, 0, 0, 0))


@pytest.mark.parametrize(
    ("kind", "capacity", "parameters", "why"),
    [(2, 256, (), "kind"), (KIND, 512, (), "capacity"), (KIND, 256, (1,), "parameters")],
)
def test_another_table_is_rebuilt(
    path: Path, kind: int, capacity: int, parameters: tuple[int, ...], why: str
) -> None:
    filled(path)
    table = Table(path, kind, capacity, parameters)
    assert table.fresh
    assert "rebuilt" in table.reason
    assert why in table.reason
    assert len(table) == 0
    assert not Table(path, kind, capacity, parameters).fresh


@pytest.mark.parametrize("size", [0, 1, 95, 4095, 4096, 4112, 8191, 12288])
def test_a_truncated_or_grown_file_is_rebuilt(path: Path, size: int) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.truncate(size)
    table = Table(path, KIND, 256)
    assert (table.fresh, len(table)) == (True, 0)
    assert path.stat().st_size == HEADER_SIZE + 16 * 256


@pytest.mark.parametrize("position", [*range(0, 84, 4), 79, 83])
def test_a_torn_header_is_rebuilt(path: Path, position: int) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x41]))
    table = Table(path, KIND, 256)
    assert (table.fresh, len(table)) == (True, 0)


def test_two_tables_have_different_secrets(tmp_path: Path) -> None:
    secrets = set()
    for name in ("a", "b"):
        Table(tmp_path / name, KIND, 256)
        secrets.add((tmp_path / name).read_bytes()[32:48])
    assert len(secrets) == 2


def test_attach_takes_the_sizes_of_the_file(path: Path) -> None:
    filled(path, 1024, (5,))
    table = Table.attach(path, KIND)
    assert (table.capacity, table.parameters, len(table), table.fresh) == (1024, (5, 0, 0, 0), 1, False)


def test_attach_never_makes_a_table(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Table.attach(path, KIND)
    filled(path)
    with pytest.raises(TableError, match="kind"):
        Table.attach(path, 2)
    path.write_bytes(b"no table")
    with pytest.raises(TableError):
        Table.attach(path, KIND)
    assert path.read_bytes() == b"no table"


def open_fresh(path: Path, out: multiprocessing.Queue[tuple[bool, bytes]]) -> None:
    table = Table(path, KIND, 1 << 16)
    out.put((table.fresh, path.read_bytes()[:96]))


def test_processes_that_open_at_once_share_one_table(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    out: multiprocessing.Queue[tuple[bool, bytes]] = context.Queue()
    processes = [context.Process(target=open_fresh, args=(path, out)) for _ in range(6)]
    for process in processes:
        process.start()
    answers = [out.get(timeout=10) for _ in processes]
    for process in processes:
        process.join(10)
    assert sum(fresh for fresh, _ in answers) == 1
    assert len({header for _, header in answers}) == 1
