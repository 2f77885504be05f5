"""The files of a configuration, read with what they include."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engine import config_files, policy_file
from engine.config_files import Draft
from proxy.config import Admin, Configuration, DecisionLog, Node, Tls
from proxy.config_complaints import ComplaintSource
from proxy.config_fleet import FILES, Fleet


def read_files(path: Path) -> Draft[Configuration]:
    """OSError only for `path` itself; the rest are findings."""
    return config_files.read_files(path, Configuration, _placed)


def _placed(table: msgspec.Struct, folder: Path) -> msgspec.Struct:
    """Paths in a file are relative to it."""
    match table:
        case Node(state_dir=name):
            return msgspec.structs.replace(table, state_dir=os.path.normpath(folder / name))
        case Admin(token_file=str(name)):
            return msgspec.structs.replace(table, token_file=os.path.normpath(folder / name))
        case ComplaintSource(token_file=name):
            return msgspec.structs.replace(table, token_file=os.path.normpath(folder / name))
        case DecisionLog(path=str(name)):
            return msgspec.structs.replace(table, path=os.path.normpath(folder / name))
        case Fleet():
            files = {key: getattr(table, key) for key in FILES}
            paths = {key: os.path.normpath(folder / name) for key, name in files.items() if name is not None}
            return msgspec.structs.replace(table, **paths)
        case Tls():
            names = {key: getattr(table, key) for key in ("certificate", "key", "client_ca", "server_ca")}
            paths = {key: os.path.normpath(folder / name) for key, name in names.items() if name is not None}
            return msgspec.structs.replace(table, **paths)
    return policy_file.placed(table, folder)
