"""Checks of trunks in redirect mode: what they need, and what would be of no use to them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.config_errors import ConfigFinding, error, warning
from proxy.config import Compat, Configuration, Redirect, RedirectMode, Trunk
from proxy.config_address import parse_host_port

_MAX_CONTACTS = 12
_MAX_DISPLAY_BYTES = 64
# What may stand in a Contact between < and the headers that we add behind a question mark.
_URI = re.compile(r"sips?:[A-Za-z0-9\-_.!~*'()&=+$,;:@/%\[\]]{1,256}\Z")


def check_redirects(configuration: Configuration) -> Iterator[ConfigFinding]:
    for trunk in configuration.trunks:
        key = f"trunk[{trunk.name}]"
        if trunk.compat is None:
            if trunk.route is None and configuration.listeners:
                yield error(f"{key}.route", "is required: without compat, calls are forwarded")
            if trunk.redirect != Redirect():
                yield warning(f"{key}.redirect", "is never used: the trunk has no compat")
            continue
        if trunk.route is not None:
            yield warning(f"{key}.route", "is never used: with compat, nothing is forwarded")
        yield from _answers(key, trunk)
        yield from _places(key, trunk.redirect)


def _answers(key: str, trunk: Trunk) -> Iterator[ConfigFinding]:
    allowed = (503,) if trunk.compat is Compat.RIBBON else (404, 503)
    if trunk.redirect.clean not in (None, *allowed):
        yield error(f"{key}.redirect.clean", f"must be {' or '.join(map(str, allowed))} with compat = {trunk.compat!s}")
    if not trunk.redirect.display_name.isprintable():
        yield error(f"{key}.redirect.display_name", "must be printable")
    if len(trunk.redirect.display_name.encode("utf-8", "replace")) > _MAX_DISPLAY_BYTES:
        yield error(f"{key}.redirect.display_name", f"is longer than {_MAX_DISPLAY_BYTES} bytes")


def _places(key: str, redirect: Redirect) -> Iterator[ConfigFinding]:
    if redirect.mode is not RedirectMode.REPORT_ONLY and not redirect.contacts:
        yield error(f"{key}.redirect.contacts", "is empty: where should a suspected call go on?")
    if redirect.mode is RedirectMode.DIVERT and not redirect.divert_to:
        yield error(f"{key}.redirect.divert_to", 'is required with mode = "divert"')
    for name, places in (("contacts", redirect.contacts), ("divert_to", redirect.divert_to)):
        if len(places) > _MAX_CONTACTS:
            yield error(f"{key}.redirect.{name}", f"has {len(places)} entries, at most {_MAX_CONTACTS}")
    for position, host in enumerate(redirect.contacts):
        try:
            parse_host_port(host)
        except ValueError as why:
            yield error(f"{key}.redirect.contacts[{position}]", str(why))
    for position, uri in enumerate(redirect.divert_to):
        if not _URI.match(uri):
            yield error(f"{key}.redirect.divert_to[{position}]", "must be a sip: or sips: URI without headers")
