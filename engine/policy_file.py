"""Policy files: what conf/policy.toml holds, with the trunks that it is for; read, checked and compiled."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from engine.config_errors import ConfigError, ConfigFinding
from engine.config_files import Draft, read_files, read_mapping
from engine.policy import PolicyError, PolicyImage, compile_policy
from engine.rules import NumberList, PolicySet


def load_policy(source: Path | str | Mapping[str, object], base_dir: Path) -> Draft[PolicySet]:
    """The policy of a TOML file, or of what such a file would hold; paths in a mapping are relative to base_dir.

    ConfigError with file, key and why for whatever is wrong with the text.
    """
    if isinstance(source, Mapping):
        draft = read_mapping(source, base_dir / "policy", PolicySet, placed)
    else:
        try:
            draft = read_files(Path(source), PolicySet, placed)
        except OSError as why:
            raise ConfigError([ConfigFinding(str(source), "", f"cannot be read: {why.strerror}")]) from None
    stop_at_errors(draft.findings)
    return draft


def compile_draft(draft: Draft[PolicySet], generation: int) -> PolicyImage:
    """ConfigError for whatever one table says wrong of another."""
    try:
        return compile_policy(draft.configuration(), base_dir=draft.files[0].parent, generation=generation)
    except PolicyError as refused:
        found = (ConfigFinding(draft.file_of(f.key), f.key, f.why, f.severity) for f in refused.findings)
        raise ConfigError(found) from None


def placed(table: msgspec.Struct, folder: Path) -> msgspec.Struct:
    """The table with its paths, which are relative to the file that it stands in, made absolute."""
    match table:
        case NumberList(file=str(name)):
            return msgspec.structs.replace(table, file=os.path.normpath(folder / name))
    return table


def stop_at_errors(findings: Iterable[ConfigFinding]) -> None:
    error = ConfigError(findings)
    if error.errors:
        raise error
