"""Policies that tests share, as an operator writes them: one table after the other, with numbers known to all."""

from __future__ import annotations

import json

LISTED = "+862066660000"  # on the operator's deny list
SUSPECTED = "+8616512345678"  # tagged by a list
NEVER_BLOCKED = "+862088880110"  # a callee


class Placeholder(str):
    """A value that `str.format` will put in; it is no string."""


def table(kind: str, **keys: object) -> str:
    """A [[kind]] of a policy file."""
    return "\n".join([f"\n[[{kind}]]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]) + "\n"


def _toml(value: object) -> str:
    """Texts, numbers, truth values and arrays of them are written as in JSON."""
    return str(value) if isinstance(value, Placeholder) else json.dumps(value, ensure_ascii=False)


def policy(**keys: object) -> str:
    return table("policy", name="default", **keys)


def label(text: str = "Suspected spam: loans") -> str:
    return table("label", name="loans", text=text)


def number_list(name: str, action: str, *numbers: str, **keys: object) -> str:
    return table("list", name=name, action=action, **keys, **({"numbers": numbers} if numbers else {}))


def deny_list() -> str:
    """LISTED, in place."""
    return number_list("deny", "deny", LISTED)


def deny_file() -> str:
    """What stands in deny.txt beside the policy."""
    return number_list("deny", "deny", file="deny.txt")


def suspected() -> str:
    """SUSPECTED is tagged with the label "loans"."""
    return number_list("suspected", "tag", SUSPECTED, label="loans")


def never_block() -> str:
    return number_list("never-block", "never-block", NEVER_BLOCKED)


def resale(points: int) -> str:
    """Points for callers with a resale number, +86170."""
    return table("prefix_rule", name="resale", prefixes=["+86170"], points=points)


def burst(name: str, calls: int | Placeholder, period_s: int, **keys: object) -> str:
    """A limit by caller."""
    return table("limit", name=name, key="caller", calls=calls, period_s=period_s, **keys)


def divert(name: str, **keys: object) -> str:
    return table("divert", name=name, **keys)


def gateway_by_prefix(name: str, address: str, prefix: str = "+8610") -> str:
    """A gateway without probes for the called numbers of a prefix, for a text that `str.format` goes over."""
    return f"""
[[gateway]]
name = "{name}"
targets = [{{{{ address = "{address}" }}}}]
probe = {{{{ enabled = false }}}}

[[route]]
prefix = "{prefix}"
gateways = ["{name}"]
"""
