"""What msgspec refuses in a file, in an operator's words: the key path as in TOML, what is allowed, what was meant."""

from __future__ import annotations

import difflib
import re
import typing
from pathlib import Path
from typing import Any

import msgspec

from engine.config_errors import ConfigFinding

_MSGSPEC_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`\Z")
_NAMED_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `(?P<name>[^`]*)`\Z")


def decode_finding(path: Path, key: str, message: str, type_: type) -> ConfigFinding:
    """The finding for msgspec's `message` about the table `key`, whose type is `type_`."""
    found = _MSGSPEC_PATH.search(message)
    inner = found["path"] if found else ""
    why = message[: found.start()] if found else message
    where = _type_at(type_, inner)
    named = _NAMED_FIELD.match(why)
    if named:
        inner = f"{inner}.{named['name']}" if inner else named["name"]
        why = unknown_key(named["name"], _keys(where)) if "unknown" in why else "is required"
    elif why.startswith("Invalid enum value"):
        why = f"{why.removeprefix('Invalid enum value ')} is none of {', '.join(_enum_values(where))}"
    why = why.replace("`", "").replace("Expected", "expected")
    return ConfigFinding(str(path), f"{key}.{inner}" if inner else key, why)


def unknown_key(name: str, known: list[str]) -> str:
    """Why a key is refused, with the one that was probably meant."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(sorted(known))}"


def _keys(type_: object) -> list[str]:
    is_table = isinstance(type_, type) and issubclass(type_, msgspec.Struct)
    return [spec.encode_name for spec in msgspec.structs.fields(type_)] if is_table else []  # type: ignore[arg-type]


def _enum_values(type_: object) -> list[str]:
    return [repr(str(member.value)) for member in typing.cast(Any, type_)]


def _type_at(type_: object, path: str) -> object:
    """The type that `path` (targets[0].weight) leads to, seen from a table's type."""
    for name in (part for part in re.split(r"[.\[]", path) if part):
        if name.endswith("]"):
            type_ = typing.get_args(type_)[0]
        else:
            type_ = next(s.type for s in msgspec.structs.fields(typing.cast(Any, type_)) if s.encode_name == name)
        type_ = _bare(type_)
    return type_


def _bare(type_: object) -> object:
    """`X` of `X | None` and of `Annotated[X, ...]`."""
    if typing.get_origin(type_) is typing.Annotated:
        return _bare(typing.get_args(type_)[0])
    alternatives = [arg for arg in typing.get_args(type_) if arg is not type(None)]
    return alternatives[0] if type(None) in typing.get_args(type_) else type_
