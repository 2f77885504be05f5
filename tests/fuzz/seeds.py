"""Where fuzzing starts: the torture messages, the golden files, and parts cut out of them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import msgspec

from engine._prefix_trie import PrefixTrie
from proxy.config import Configuration
from proxy.events import EVENT_BYTES
from tests.abuse.exceptional_elements import ELEMENTS
from tests.abuse.torture import DATA, ROWS, message
from tests.fuzz.targets import HANDSHAKE, SEPARATOR
from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION

ROOT = Path(__file__).parents[2]
CALLERS = (
    b"+8613800138000", b"008613800138000", b"tel:+86-138-0013-8000", b"95588", b"13800138000;rn=+861", b"anonymous",
)  # fmt: skip
URIS = (
    b"tel:+86-10-8888-6666;phone-context=+86", b"tel:110;phone-context=example.net;isub=1", b"urn:service:sos.fire",
    b"urn:example:1", b"sips:a:b@[2001:db8::1]:5061;maddr=192.0.2.1;ttl=1;transport=tls;user=phone?X=y", b"http://a/",
)  # fmt: skip
# As RFC 5806, RFC 7044, RFC 3323, RFC 4904 and RFC 3261 section 20.34 write them.
TRUSTED_HEADERS = (
    b"Diversion: \"A\" <sip:+8613800138001@a.example>;reason=no-answer;counter=1;privacy=off, <tel:+1>;reason=unknown",
    b"Diversion: <sip:a@b.example>;reason=\"user-busy\"\r\nDiversion: <sip:c@d.example>;reason=x",
    b"History-Info: <sip:+8613800138001@a.example?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1,"
    b" <sip:+8613800138002@a.example;cause=486>;index=1.1;mp=1, <sip:c@d.example>;index=1.1.1;rc=1.1",
    b"History-Info: <sip:a@b.example;cause=408>;index=1;np=1\r\nHistory-Info: <tel:+861;cause=480>;index=1.2",
    b"Privacy: id;history;user;critical", b"Privacy: none", b"Privacy: header, session id",
    b"Contact: <sip:+8613800138000;tgrp=carrier;trunk-context=carrier.example@192.0.2.10>",
    b"Route: <sip:198.51.100.20;lr>, <sip:198.51.100.21:5061;transport=tcp>", b"Route: <sip:203.0.113.5;lr>",
    b"Route: <sip:198.51.100.20>\r\nRoute: <sip:b.example;lr>\r\nRoute: x", b"Route: <sim:19sip:100.20>",
    b"P-Asserted-Identity: \"Anonymous\" <sip:anonymous@anonymous.invalid>, <tel:+8613800138000>",
    b"P-Preferred-Identity: <sip:+8613800138000@a.example>\r\nRemote-Party-ID: <sip:a@b>;privacy=full;party=calling",
)  # fmt: skip


def seeds(target: str) -> list[bytes]:
    """The corpus of a target, each of its values once."""
    return list(dict.fromkeys(BY_TARGET[target]()))


def messages() -> list[bytes]:
    golden = [path.read_bytes() for path in sorted((DATA / "golden").iterdir())]
    return [*(message(name) for name in ROWS), *golden]


def request_uris() -> list[bytes]:
    return [found for data in messages() for found in re.findall(rb"^\S+ (.*) SIP/2\.0\r\n", data)]


def values(*names: str) -> list[bytes]:
    """What stands behind these names, folds included."""
    row = re.compile(rb"^(?:%b)[ \t]*:((?:.*\r\n)(?:[ \t].*\r\n)*)" % "|".join(names).encode(), re.M | re.I)
    return [value.strip() for data in messages() for value in row.findall(data)]


def sequences() -> list[bytes]:
    invite = request()
    followed_by = [request("CANCEL"), request("ACK", to_tag="x"), request("BYE", to_tag="x", branch="z9hG4bK-2")]
    return [*messages(), *(SEPARATOR.join((invite, b"", data)) for data in followed_by)]


def streams() -> list[bytes]:
    some = messages()
    return [b"\r\n\r\n", *some, *(a + b for a, b in pairwise(some)), b"\r\n\r\n".join(some[:5])]


def frames() -> list[bytes]:
    """Frames of RFC 6455 section 5.2 as a client sends them, masked with zeros: text, binary, in two, ping, close."""
    invite = request(transport="WS")
    return [
        frame(0x81, invite),
        frame(0x82, invite) + frame(0x89, b"ping"),
        frame(0x01, invite[:100]) + frame(0x80, invite[100:]),
        frame(0x88, b"\x03\xe8"),
        HANDSHAKE,
    ]


def frame(first: int, payload: bytes) -> bytes:
    length = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes((first,)) + length + bytes(4) + payload


def texts() -> list[bytes]:
    """Every configuration that an operator is given, and the lists in it."""
    return [CONFIGURATION.encode(), *(path.read_bytes() for path in sorted((ROOT / "conf").rglob("*.toml")))]


def generations() -> list[bytes]:
    return [msgspec.msgpack.encode(msgspec.toml.decode(CONFIGURATION, type=Configuration))]


BY_TARGET = {
    "head": messages,
    "uri": lambda: [*request_uris(), *URIS, *(b"sip:" + element for element in ELEMENTS if len(element) < 300)],
    "via": lambda: values("Via", "v"),
    "name_addr": lambda: values("From", "f", "To", "t", "Contact", "m", "P-Asserted-Identity", "Route", "Record-Route"),
    "framing": streams,
    "websocket": frames,
    "core": sequences,
    "trusted": lambda: list(TRUSTED_HEADERS),
    "number": lambda: [*CALLERS, *(element for element in ELEMENTS if len(element) < 300)],
    "list_file": lambda: [b"+8613800138000\n+86170* # a block\nCN:95588\nCN:955*\n\n# nothing\nx\n"],
    "trie_image": lambda: [
        PrefixTrie.build([]),
        PrefixTrie.build([("86", False, 1), ("86170", False, 2), ("86170", True, 3)]),
        PrefixTrie.build([(str(digits), False, 1) for digits in range(1000)]),
    ],
    "events": lambda: [bytes(EVENT_BYTES), bytes(range(256)) * (EVENT_BYTES // 128)],
    "configuration": texts,
    "generation": generations,
}
