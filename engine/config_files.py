"""From TOML files to one value: includes, joining of tables, and every wrong key named with its file.

What the files may hold is said by a msgspec struct: a field that is a tuple of structs is an array of tables, any other
a single table. `engine.rules.PolicySet` is one such struct, the proxy's whole configuration another.
"""

from __future__ import annotations

import glob
import os
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from engine.config_errors import ConfigFinding
from engine.config_mistakes import decode_finding, unknown_key

T = TypeVar("T", bound=msgspec.Struct)
Root = TypeVar("Root", bound=msgspec.Struct)

Placed = Callable[[msgspec.Struct, Path], msgspec.Struct]  # a table of a file in that folder, its paths made absolute


@dataclass(slots=True)
class Draft(Generic[Root]):
    """What the files hold, before one table is checked against another. root: what they may hold."""

    root: type[Root]
    placed: Placed
    tables: dict[str, list[msgspec.Struct]] = field(default_factory=dict)  # by field name of the root
    origins: dict[str, Path] = field(default_factory=dict)  # 'trunk[carrier]' or 'node' -> file
    files: list[Path] = field(default_factory=list)
    findings: list[ConfigFinding] = field(default_factory=list)

    def configuration(self) -> Root:
        values: dict[str, Any] = {
            spec.name: tuple(self.tables.get(spec.name, ())) if _row_type(spec) else self.tables[spec.name][0]
            for spec in _specs(self.root).values()
            if _row_type(spec) or spec.name in self.tables
        }
        return self.root(**values)

    def file_of(self, key: str) -> str:
        """The file a key like 'trunk[carrier].sources[0]' stands in; the main file if no table has that name."""
        table = re.match(r"[^.\[]*(\[[^\]]*\])?", key)
        return str(self.origins.get(table.group() if table else "", self.files[0] if self.files else ""))


def read_files(path: Path, root: type[Root], placed: Placed) -> Draft[Root]:
    """Reads a file and what it includes. OSError only for `path` itself; the rest are findings."""
    draft = Draft(root, placed)
    _read_file(Path(os.path.abspath(path)), draft)
    return draft


def read_mapping(document: Mapping[str, object], path: Path, root: type[Root], placed: Placed) -> Draft[Root]:
    """Reads what a file at `path` would hold, and the files that it includes."""
    path = Path(os.path.abspath(path))
    draft = Draft(root, placed, files=[path])
    _read_document(path, document, draft)
    return draft


def _read_file(path: Path, draft: Draft[Root]) -> None:
    draft.files.append(path)
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except tomllib.TOMLDecodeError as why:
        draft.findings.append(ConfigFinding(str(path), "", f"not TOML: {why}"))
        return
    except UnicodeDecodeError as why:
        draft.findings.append(ConfigFinding(str(path), "", f"not UTF-8 text: {why}"))
        return
    _read_document(path, document, draft)


def _read_document(path: Path, document: Mapping[str, object], draft: Draft[Root]) -> None:
    known = _specs(draft.root)
    for key, value in document.items():
        if key == "include":
            continue
        if key not in known:
            draft.findings.append(ConfigFinding(str(path), key, unknown_key(key, [*known, "include"])))
        else:
            _read_table(path, key, value, draft)
    _read_includes(path, document.get("include", []), draft)


def _read_includes(path: Path, patterns: object, draft: Draft[Root]) -> None:
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        draft.findings.append(ConfigFinding(str(path), "include", "expected an array of file names"))
        return
    for pattern in patterns:
        matches = sorted(glob.glob(pattern, root_dir=path.parent))
        if not matches:
            severity: Any = "warning" if glob.has_magic(pattern) else "error"
            draft.findings.append(ConfigFinding(str(path), "include", f"no file matches {pattern!r}", severity))
        for match in matches:
            _include(path, path.parent / match, draft)


def _include(path: Path, included: Path, draft: Draft[Root]) -> None:
    included = Path(os.path.abspath(included))
    if included in draft.files:
        why = f"{included} is read twice"
        draft.findings.append(ConfigFinding(str(path), "include", why))
        return
    try:
        _read_file(included, draft)
    except OSError as why_not:
        draft.findings.append(ConfigFinding(str(path), "include", f"{included}: {why_not.strerror}"))


def _read_table(path: Path, key: str, value: object, draft: Draft[Root]) -> None:
    spec = _specs(draft.root)[key]
    row_type = _row_type(spec)
    if row_type is None:
        _read_single(path, key, value, draft)
    elif isinstance(value, list):
        for row in value:
            _read_row(path, key, row, row_type, draft)
    else:
        draft.findings.append(ConfigFinding(str(path), key, f"there may be several: write [[{key}]]"))


def _read_single(path: Path, key: str, value: object, draft: Draft[Root]) -> None:
    spec = _specs(draft.root)[key]
    if key in draft.origins:
        why = f"[{key}] stands in {draft.origins[key]} too; it may stand once"
        draft.findings.append(ConfigFinding(str(path), key, why))
        return
    if isinstance(value, list):
        draft.findings.append(ConfigFinding(str(path), key, f"there is one: write [{key}]"))
        return
    draft.origins[key] = path
    table = _convert(path, key, value, spec.type, draft)
    if table is not None:
        draft.tables[spec.name] = [draft.placed(table, path.parent)]


def _read_row(path: Path, key: str, row: object, row_type: type[msgspec.Struct], draft: Draft[Root]) -> None:
    name = row.get("name") if isinstance(row, dict) else None
    position = 1 + sum(each.startswith(f"{key}[") for each in draft.origins)  # among all files
    row_key = f"{key}[{name}]" if isinstance(name, str) and name else f"{key}[#{position}]"
    table = _convert(path, row_key, row, row_type, draft)
    if row_key in draft.origins:
        why = f"the name is taken: {draft.origins[row_key]} has a [[{key}]] of that name"
        draft.findings.append(ConfigFinding(str(path), f"{row_key}.name", why))
        return
    draft.origins[row_key] = path
    if table is not None:
        draft.tables.setdefault(_specs(draft.root)[key].name, []).append(draft.placed(table, path.parent))


def _convert(path: Path, key: str, value: object, type_: type[T], draft: Draft[Root]) -> T | None:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as mistake:
        draft.findings.append(decode_finding(path, key, str(mistake), type_))
        return None


def _row_type(spec: msgspec.structs.FieldInfo) -> type[msgspec.Struct] | None:
    """The type of one row where the table may stand several times, as in [[trunk]]."""
    return typing.get_args(spec.type)[0] if typing.get_origin(spec.type) is tuple else None


@cache
def _specs(root: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The tables that files may hold, by the name that they have there."""
    return {spec.encode_name: spec for spec in msgspec.structs.fields(root) if spec.name != "include"}
