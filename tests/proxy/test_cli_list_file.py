"""Editing the file of a list: comments, mode and everything else in it stay."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from proxy.cli_list_file import add_entries, entry_of, read_lines, remove_entries

TEXT = """\
# Callers that are rejected.
+862066660000   # three complaints

+86206666001*
CN:95588
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deny.txt"
    path.write_text(TEXT)
    return path


def test_lines_are_entries_with_comments(path: Path) -> None:
    assert [(line.written, line.comment) for line in read_lines(path) if line.written] == [
        ("+862066660000", "three complaints"),
        ("+86206666001*", ""),
        ("CN:95588", ""),
    ]


def test_add_appends_and_keeps_the_rest(path: Path) -> None:
    assert add_entries(path, ["+862066660007", "CN:955*"], "2026-11-22 rang all night") == ["+862066660007", "CN:955*"]
    assert path.read_text() == TEXT + (
        "+862066660007   # 2026-11-22 rang all night\nCN:955*         # 2026-11-22 rang all night\n"
    )


def test_what_is_there_is_not_added_twice(path: Path) -> None:
    assert add_entries(path, ["+862066660000", "+862066660007", "+862066660007"], "") == ["+862066660007"]
    assert add_entries(path, ["+862066660007"], "") == []
    assert path.read_text() == TEXT + "+862066660007\n"


def test_a_prefix_is_another_entry_than_its_number(path: Path) -> None:
    assert add_entries(path, ["+862066660000*"], "") == ["+862066660000*"]


def test_a_file_without_a_last_line_end_gets_one(path: Path) -> None:
    path.write_text("+862066660000")
    add_entries(path, ["+862066660001"], "")
    assert path.read_text() == "+862066660000\n+862066660001\n"


def test_remove_takes_the_whole_line_and_nothing_else(path: Path) -> None:
    assert remove_entries(path, ["+862066660000", "+862066669999"]) == ["+862066660000"]
    assert path.read_text() == TEXT.replace("+862066660000   # three complaints\n", "")


def test_what_is_no_utf8_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"# gr\xfc\xdfe\r\n+862066660000\r\n")
    add_entries(path, ["+862066660001"], "")
    assert path.read_bytes() == b"# gr\xfc\xdfe\r\n+862066660000\r\n+862066660001\n"


def test_mode_is_kept_and_nothing_is_left_over(path: Path) -> None:
    path.chmod(0o640)
    add_entries(path, ["+862066660001"], "")
    assert path.stat().st_mode & 0o7777 == 0o640
    assert os.listdir(path.parent) == ["deny.txt"]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "sub" / "link.txt"
    link.parent.mkdir()
    link.symlink_to(path)
    add_entries(link, ["+862066660001"], "")
    assert link.is_symlink()
    assert "+862066660001" in path.read_text()


def test_nothing_to_do_leaves_the_file_untouched(path: Path) -> None:
    before = path.stat()
    add_entries(path, ["CN:95588"], "")
    remove_entries(path, ["+862066669999"])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_two_editors_do_not_lose_each_others_numbers(path: Path) -> None:
    def add_many(first: int) -> None:
        for number in range(first, first + 25):
            add_entries(path, [f"+8620777{number:05}"], "")

    editors = [threading.Thread(target=add_many, args=(first,)) for first in (0, 100, 200)]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    assert sum("+8620777" in line for line in path.read_text().splitlines()) == 75


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        add_entries(tmp_path / "none.txt", ["+862066660000"], "")


@pytest.mark.parametrize("text", ["", "hello", "13800138000", "+86 138", "+", "CN:", "XX:110", "+861234567890123456"])
def test_no_entries(text: str) -> None:
    with pytest.raises(ValueError, match="is no number: write"):
        entry_of(text)
