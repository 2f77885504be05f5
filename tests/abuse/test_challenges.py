"""H4: challenges of a softswitch pass to the caller as they came, and the proxy has nothing to answer them with."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from proxy.config import Configuration
from tests.live.node import Node
from tests.live.plain_phone import PlainPhone
from tests.live.programs import LOOPBACK
from tests.live.sipp import CALLEE, CALLER
from tests.live.wires import UdpWire

# RFC 8760 section 2.5: of several challenges the topmost is the server's choice: their order is part of what they say.
CHALLENGES = (
    'WWW-Authenticate: Digest realm="a", nonce="1", algorithm=SHA-512-256, qop="auth"',
    'WWW-Authenticate: Digest realm="a", nonce="2", algorithm=SHA-256, qop="auth"',
    'Proxy-Authenticate: Digest realm="b", nonce="3", algorithm=MD5',
    'WWW-Authenticate: Digest realm="c", nonce="4"',
)
CREDENTIALS = ("authorization", "proxy-authorization")


@pytest.mark.parametrize("status", ["401 Unauthorized", "407 Proxy Authentication Required"])
def test_h4_challenges_pass_and_are_never_answered(start_node: Callable[..., Node], status: str) -> None:
    gateway = UdpWire((LOOPBACK, 0))
    node = start_node(int(gateway.place.rpartition(":")[2]))
    wire = UdpWire((LOOPBACK, 0), (LOOPBACK, node.port))
    caller = PlainPhone(wire, CALLER, f"{LOOPBACK}:{node.port}")
    softswitch = PlainPhone(gateway, CALLEE, LOOPBACK)
    call, _ = caller.invite(CALLEE)
    at_softswitch, invite = softswitch.rung()
    softswitch.respond(invite, status, at_softswitch, *CHALLENGES)
    answer = caller.expect(status[:3])
    for name in ("WWW-Authenticate", "Proxy-Authenticate"):
        sent = [line.partition(": ")[2] for line in CHALLENGES if line.startswith(name)]
        assert answer.all(name) == sent, "each as it came, in the order in which it came"
    assert softswitch.expect("ACK").all("Authorization") == []

    assert gateway.receive(1.0) is None, "the proxy does not try again by itself"
    assert not any(message.all(name) for message in softswitch.seen for name in CREDENTIALS)

    # The caller answers, and what it shows passes.
    shown = 'Digest username="x", realm="a", nonce="1", uri="sip:a", response="0"'
    caller.request(call, "ACK")
    caller.request(call, "INVITE", b"", f"Authorization: {shown}")
    assert softswitch.rung()[1].all("Authorization") == [shown]
    wire.close()
    gateway.close()


def test_h4_there_is_no_place_for_credentials() -> None:
    """No key of the configuration could hold a user's password."""
    words = ("password", "username", "credential", "digest", "realm")
    keys = list(_keys(Configuration))
    assert len(keys) > 100
    assert [key for key in keys if any(word in key for word in words)] == []


def _keys(struct: type) -> list[str]:
    found: list[str] = []
    for spec in msgspec.structs.fields(struct):
        found.append(spec.name)
        for inner in (spec.type, *getattr(spec.type, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found += _keys(inner)
    return found
