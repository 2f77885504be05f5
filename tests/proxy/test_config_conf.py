"""The files in conf/: they check clean, and they explain every key there is."""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import FieldInfo

from proxy.config import Configuration
from proxy.config_load import load_configuration

CONF = Path(__file__).parents[2] / "conf"
DOCUMENTED = ("callsieve.toml", "trunks.toml", "gateways.toml", "policy.toml")
_HEADING = re.compile(r"^#?\[\[?([a-z_.]+)\]\]?$", re.MULTILINE)


def keys(table: type[msgspec.Struct], heading: str) -> Iterator[tuple[str, FieldInfo]]:
    """(heading, field) of every key below `table`; a table within a table has a heading of its own."""
    for spec in msgspec.structs.fields(table):
        inner = [t for t in (spec.type, *typing.get_args(spec.type)) if is_table(t)]
        if inner:
            yield from keys(inner[0], f"{heading}.{spec.encode_name}".lstrip("."))
        else:
            yield heading, spec


def is_table(type_: object) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def sections() -> dict[str, str]:
    """The text under each heading, of all documented files; "" = what stands above the first one."""
    found: dict[str, str] = {}
    for name in DOCUMENTED:
        parts = _HEADING.split((CONF / name).read_text())
        for heading, text in zip(["", *parts[1::2]], parts[::2], strict=True):
            found[heading] = found.get(heading, "") + text
    return found


NOT_FOR_OPERATORS = {("gateway.targets", "found_ips")}
KEYS = [key for key in keys(Configuration, "") if (key[0], key[1].encode_name) not in NOT_FOR_OPERATORS]


def written(heading: str, key: str) -> re.Match[str] | None:
    """The key with a comment above it or above the keys it is explained together with."""
    text = sections().get(heading, "")
    return re.search(rf"^#.*\n(?:#.*\n|[a-z_]+ = .*\n)*?(?P<off>#?)(?P<line>{key} = .*)$", text, re.MULTILINE)


@pytest.mark.parametrize(("heading", "spec"), KEYS, ids=[f"{heading}.{spec.encode_name}" for heading, spec in KEYS])
def test_every_key_is_documented(heading: str, spec: FieldInfo) -> None:
    found = written(heading, spec.encode_name)
    assert found, f"[{heading}] does not explain {spec.encode_name}"
    if found["off"] and spec.default not in (None, msgspec.NODEFAULT):
        (shown,) = tomllib.loads(found["line"]).values()
        assert msgspec.convert(shown, spec.type) == spec.default, "what is commented out is the default"


@pytest.mark.parametrize("name", ["callsieve.toml", "quickstart.toml"])
def test_the_files_check_clean(name: str) -> None:
    assert load_configuration(CONF / name).warnings == ()


def test_the_file_for_kamailio_warns_of_nothing_but_that_control_is_alone() -> None:
    (warning,) = load_configuration(CONF / "kamailio/callsieve.toml").warnings
    assert (warning.key, warning.why) == (
        "listener",
        "there is none: only control runs, for other servers that screen with this node",
    )
