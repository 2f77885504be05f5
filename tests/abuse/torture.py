"""The torture messages of RFC 4475 and RFC 5118, and what becomes of each: the rows that the tests assert.

The sender is a trusted trunk that is not screened, since its callers are no numbers; what it calls goes to the trunk's
gateway.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tests.proxy.playbook import CONFIGURATION

DATA = Path(__file__).parents[1] / "data"
LISTENERS = """
[[listener]]
name = "outside-ipv6"
address = "[2001:db8::5]:5060"

[[listener]]
name = "outside-tcp"
address = "203.0.113.5:5060"
transport = "tcp"
"""
TRUSTED = CONFIGURATION.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true\nscreen = false') + LISTENERS
OPENED = TRUSTED.replace("trusted = true", 'trusted = true\nmethods_allowed = ["REGISTER", "MESSAGE"]')

# A status, or: passed on; passed on from a trunk that opens its method; not answered at all.
Outcome = int | Literal["forward", "open", "drop"]

RFC4475: dict[str, Outcome] = {
    # Valid, section 3.1.1
    "wsinv": "forward",
    "intmeth": "forward",
    "esc01": "forward",
    "escnull": "open",
    "esc02": "forward",
    "lwsdisp": "forward",
    "longreq": "forward",
    "dblreq": "open",
    "semiuri": "forward",
    "transports": "forward",
    "mpart01": "open",
    "unreason": "drop",  # answers to nothing; as answers to our own request they stand in test_torture.py
    "noreason": "drop",
    # Invalid, section 3.1.2
    "badinv01": 400,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": "drop",
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "escruri": 400,
    "baddate": "forward",  # a proxy does not refuse for a header that it does not use
    "regbadct": "open",
    "badaspec": 400,
    "baddn": 400,
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 501,
    "bigcode": "drop",
    # Transaction layer, application layer, backward compatibility: sections 3.2 to 3.4
    "badbranch": "forward",  # matched as RFC 2543 does it
    "insuf": 400,
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": "open",
    "bext01": 420,
    "invut": "forward",
    "regaut01": "open",
    "multi01": 400,
    "mcl01": 400,
    "bcast": "drop",
    "zeromf": 200,  # an OPTIONS: answered as if for the proxy itself (RFC 3261 section 16.3)
    "cparam01": "open",
    "cparam02": "open",
    "regescrt": "open",
    "sdp01": "forward",
    "inv2543": "forward",
    # In the archive, but in no section: no version, no Via
    "test": "drop",
}

# With CRLF for the bare LF of the archive, and a true Content-Length.
RFC5118: dict[str, Outcome] = {
    "ipv6-good": "open",
    "ipv6-bad": 400,
    "port-ambiguous": "open",
    "port-unambiguous": "open",
    "via-received-param-with-delim": "forward",
    "via-received-param-no-delim": "forward",
    "ipv6-in-sdp": "forward",
    "mult-ip-in-header": "forward",
    "mult-ip-in-sdp": "forward",
    "ipv4-mapped-ipv6": "forward",
    "ipv6-bug-abnf-3-colons": 400,
    "ipv6-correct-abnf-2-colons": "forward",
}


# What differs over a stream, in pieces of whatever size: (statuses of what is sent, 0 = forwarded; is the connection
# closed then). All others are the same message there.
STREAM: dict[str, tuple[tuple[int, ...], bool]] = {
    "clerr": ((), False),  # the rest may still come, until the message time-out
    "ncl": ((400,), True),
    "mcl01": ((400,), True),
    "dblreq": ((403, 0), True),  # two messages, and two bytes behind them that begin none
    "inv2543": ((400,), True),  # without Content-Length (RFC 3261 section 20.14)
    "baddn": ((), False),  # without the empty line behind its headers
    "bigcode": ((), True),  # responses and noise are not answered; what cannot be read has no length either
    "test": ((), True),
}


def rfc4475(name: str) -> bytes:
    return (DATA / "rfc4475" / f"{name}.dat").read_bytes()


def rfc5118_as_stored(name: str) -> bytes:
    return (DATA / "rfc5118" / name).read_bytes()


def rfc5118_converted(name: str) -> bytes:
    """With CRLF; the Content-Length of the three INVITEs is still what the archive says, and wrong."""
    head, _, body = rfc5118_as_stored(name).partition(b"\n\n")
    return head.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n" + body.replace(b"\n", b"\r\n")


def rfc5118(name: str) -> bytes:
    head, empty_line, body = rfc5118_converted(name).partition(b"\r\n\r\n")
    before, name_of_length, _ = head.partition(b"Content-Length: ")  # the last header of each
    return before + name_of_length + str(len(body)).encode() + empty_line + body


def message(name: str) -> bytes:
    return rfc4475(name) if name in RFC4475 else rfc5118(name)


ROWS = RFC4475 | RFC5118
