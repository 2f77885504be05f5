"""Checks of what a configuration says about identities: rights of trunks, trunk groups, labels on names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.config_errors import ConfigFinding, error, warning
from proxy.config import Configuration, Gateway, Trunk

_MAX_DISPLAY_BYTES = 64
# Trunk group names and contexts stand in the user part of a URI without escapes (RFC 4904 section 4.1).
_GROUP = re.compile(r"[A-Za-z0-9\-_.!~*'()&+$/\[\]:]{1,64}\Z")
_CONTEXT = re.compile(r"(\+[0-9]{1,15}|[A-Za-z0-9]([A-Za-z0-9.\-]{0,253}[A-Za-z0-9])?)\Z")


def check_identities(configuration: Configuration) -> Iterator[ConfigFinding]:
    taken: dict[tuple[str, str], str] = {}
    for trunk in configuration.trunks:
        if trunk.trusted and trunk.accepts:
            yield warning(f"trunk[{trunk.name}].accepts", "adds nothing: a trusted trunk may say all of it")
        yield from _group(trunk, taken)
    if taken and not any(trunk.trusted for trunk in configuration.trunks):
        yield warning("trunk.group", "is never used: only a trusted trunk may name the group of a call")
    for gateway in configuration.gateways:
        yield from _display_name(gateway)


def _group(trunk: Trunk, taken: dict[tuple[str, str], str]) -> Iterator[ConfigFinding]:
    key = f"trunk[{trunk.name}].group"
    if trunk.group is None and trunk.context is None:
        return
    if trunk.group is None or trunk.context is None:
        yield error(key, "group and context go together (RFC 4904 section 4.3)")
        return
    if not _GROUP.match(trunk.group):
        yield error(key, "use 1 to 64 letters, digits and - _ . ! ~ * ' ( ) & + $ / [ ] :")
    if not _CONTEXT.match(trunk.context):
        yield error(f"trunk[{trunk.name}].context", "must be a domain name or + and digits")
    named = (trunk.group, trunk.context.lower())
    if named in taken:
        yield error(key, f"{trunk.group} in {trunk.context} is the group of trunk[{taken[named]}] already")
    taken[named] = trunk.name


def _display_name(gateway: Gateway) -> Iterator[ConfigFinding]:
    text = gateway.tags.display_name
    if not text.isprintable():
        yield error(f"gateway[{gateway.name}].tags.display_name", "must be printable")
    size = len(text.encode("utf-8", "replace")) + text.count('"') + text.count("\\")
    if size > _MAX_DISPLAY_BYTES:
        yield error(f"gateway[{gateway.name}].tags.display_name", f"{size} bytes, at most {_MAX_DISPLAY_BYTES}")
