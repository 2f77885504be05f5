"""Checks of rights, trunk groups, names for tagged callers, and redirect mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.config_errors import ConfigFinding
from proxy.config import (
    Acceptance,
    Compat,
    Configuration,
    Gateway,
    Listener,
    Redirect,
    RedirectMode,
    TagHeaders,
    Target,
    Trunk,
)
from proxy.config_identity import check_identities
from proxy.config_redirect import check_redirects


def trunk(name: str = "t", **more: object) -> Trunk:
    usual = {"sources": ("192.0.2.1/32",), "dial_plan": "cn", "policy": "p", "route": "g"}
    return Trunk(name=name, **(usual | more))  # type: ignore[arg-type]


def asking(**keys: object) -> Trunk:
    """A trunk in redirect mode; keys of [trunk.redirect]."""
    usual = {"contacts": ("192.0.2.1",)}
    return trunk(route=None, compat=Compat.CLEARIP, redirect=Redirect(**(usual | keys)))  # type: ignore[arg-type]


def naming(text: str) -> Configuration:
    tags = TagHeaders(display_name=text)
    return Configuration(gateways=(Gateway(name="g", targets=(Target(address="192.0.2.9"),), tags=tags),))


def keys(findings: Iterator[ConfigFinding]) -> list[tuple[str, str]]:
    return [(finding.severity, finding.key) for finding in findings]


GROUP = {"group": "north-17", "context": "example.net", "trusted": True}


@pytest.mark.parametrize(
    ("trunks", "found"),
    [
        ((trunk(), trunk(**GROUP)), []),
        ((trunk(accepts=(Acceptance.IDENTITY,)),), []),
        ((trunk(trusted=True, accepts=(Acceptance.IDENTITY,)),), [("warning", "trunk[t].accepts")]),
        ((trunk(group="north-17"),), [("error", "trunk[t].group")]),
        ((trunk(context="example.net"),), [("error", "trunk[t].group")]),
        ((trunk(**(GROUP | {"group": "a b"})),), [("error", "trunk[t].group")]),
        ((trunk(**(GROUP | {"context": "-x"})),), [("error", "trunk[t].context")]),
        ((trunk("a", **GROUP), trunk("b", **(GROUP | {"context": "EXAMPLE.net"}))), [("error", "trunk[b].group")]),
        ((trunk(**(GROUP | {"trusted": False})),), [("warning", "trunk.group")]),
    ],
)
def test_trunks(trunks: tuple[Trunk, ...], found: list[tuple[str, str]]) -> None:
    assert keys(check_identities(Configuration(trunks=trunks))) == found


@pytest.mark.parametrize(
    ("text", "good"), [("[Spam?]", True), ("疑似骚扰", True), ("a\r\nb", False), ("x" * 65, False), ('"' * 33, False)]
)
def test_names_for_tagged_callers(text: str, good: bool) -> None:
    expected = [] if good else [("error", "gateway[g].tags.display_name")]
    assert keys(check_identities(naming(text))) == expected


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (trunk(), []),
        (asking(), []),
        (asking(contacts=(), mode=RedirectMode.REPORT_ONLY), []),
        (asking(mode=RedirectMode.DIVERT, divert_to=("sip:ivr@192.0.2.1:5070;transport=tcp",)), []),
        (trunk(route=None), [("error", "trunk[t].route")]),
        (trunk(redirect=Redirect(act_at=1)), [("warning", "trunk[t].redirect")]),
        (trunk(compat=Compat.RIBBON, redirect=Redirect(contacts=("a",))), [("warning", "trunk[t].route")]),
        (asking(clean=503), []),
        (asking(clean=486), [("error", "trunk[t].redirect.clean")]),
        (trunk(route=None, compat=Compat.RIBBON, redirect=Redirect(contacts=("a",), clean=404)),
         [("error", "trunk[t].redirect.clean")]),
        (asking(contacts=()), [("error", "trunk[t].redirect.contacts")]),
        (asking(contacts=("a b",)), [("error", "trunk[t].redirect.contacts[0]")]),
        (asking(contacts=("h",) * 13), [("error", "trunk[t].redirect.contacts")]),
        (asking(mode=RedirectMode.DIVERT), [("error", "trunk[t].redirect.divert_to")]),
        (asking(divert_to=("sip:a@b?X=1",)), [("error", "trunk[t].redirect.divert_to[0]")]),
        (asking(divert_to=("sip:a@b>\r\nX: 1",)), [("error", "trunk[t].redirect.divert_to[0]")]),
        (asking(display_name="a\nb"), [("error", "trunk[t].redirect.display_name")]),
        (asking(display_name="x" * 65), [("error", "trunk[t].redirect.display_name")]),
    ],
)  # fmt: skip
def test_redirect_mode(one: Trunk, found: list[tuple[str, str]]) -> None:
    listener = Listener(name="udp", address="192.0.2.2:5060")
    assert keys(check_redirects(Configuration(trunks=(one,), listeners=(listener,)))) == found


def test_without_listeners_a_trunk_needs_no_route() -> None:
    assert keys(check_redirects(Configuration(trunks=(trunk(route=None),)))) == []
