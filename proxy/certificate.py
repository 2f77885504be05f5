"""Certificates as an operator's files hold them: how long each of a PEM file is valid.

Python's ssl says that a certificate has expired only once a peer refuses it, and shows no dates of one's own. They
stand at a fixed place of the DER form (RFC 5280 section 4.1), which is all that is read here.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate may be used, in UTC."""

    begin: datetime
    end: datetime


def chain_validity(path: Path) -> list[Validity]:
    """Of every certificate in a PEM file, in file order; OSError or ValueError if there is none that can be read."""
    blocks = _PEM.findall(path.read_text("ascii", errors="replace"))
    if not blocks:
        raise ValueError(f"{path} holds no certificate in PEM form")
    return [_validity(ssl.PEM_cert_to_DER_cert(block)) for block in blocks]


def _validity(der: bytes) -> Validity:
    try:
        certificate, _ = _value(der, 0, _SEQUENCE)
        fields, _ = _value(certificate, 0, _SEQUENCE)
        at = 0
        if fields[0] == _VERSION:
            at = _skip(fields, at)
        for _ in range(3):  # serialNumber, signature, issuer
            at = _skip(fields, at)
        validity, _ = _value(fields, at, _SEQUENCE)
        return Validity(_time(validity, 0), _time(validity, _skip(validity, 0)))
    except IndexError:
        raise ValueError("a certificate is cut short") from None


def _time(data: bytes, at: int) -> datetime:
    """RFC 5280 section 4.1.2.5: two digits of a year below 50 are of this century."""
    text, _ = _value(data, at, _UTC_TIME, _GENERALIZED_TIME)
    digits = text.decode("ascii")
    if data[at] == _UTC_TIME:
        digits = ("20" if int(digits[:2]) < 50 else "19") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _value(data: bytes, at: int, *expected: int) -> tuple[bytes, int]:
    """The contents of the DER element at `at`, and where it ends."""
    if data[at] not in expected:
        raise ValueError("a certificate is not in the form of RFC 5280")
    begin, end = _extent(data, at)
    return data[begin:end], end


def _skip(data: bytes, at: int) -> int:
    return _extent(data, at)[1]


def _extent(data: bytes, at: int) -> tuple[int, int]:
    size, begin = data[at + 1], at + 2
    if size & 0x80:
        begin += size & 0x7F
        size = int.from_bytes(data[at + 2 : begin], "big")
    if begin + size > len(data):
        raise ValueError("a certificate is cut short")
    return begin, begin + size
