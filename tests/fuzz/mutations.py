"""Mutated inputs without a fuzzing engine: the same ones for the same seed of the generator."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

PIECES = (
    b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b";", b",", b"<", b">", b'"', b"\\", b"@", b"=", b"\xff", b"%00",
    b"\r\n ", b"\r\n\r\n", b";tag=", b";tag=x", b"Via: SIP/2.0/UDP x\r\n", b"To: <sip:x>\r\n", b"[", b"]", b"\x7f",
    b"Content-Length: 4294967296\r\n", b"l: 0\r\n", b"4294967296", b"-1", b"SIP/2.0 ", b"?", b"&", b"[::1]", b"/", b"#",
    b"P-Asserted-Identity: <tel:+1>\r\n", b"f: x\r\n", b"  ", b"+", b"*",
)  # fmt: skip


def mutations(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` inputs, each made of one of `seeds` by one to four changes."""
    chance = random.Random(seed)
    for _ in range(count):
        data = chance.choice(seeds)
        for _ in range(chance.randint(1, 4)):
            data = changed(data, chance.choice(seeds), chance)
        yield data


def changed(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One change: a bit, a run deleted or doubled, a piece put in, the end cut off or taken from another input."""
    at = chance.randint(0, len(data))
    until = at + chance.randint(1, 24)
    match chance.randrange(8):
        case 0:
            return data[:at] + bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]
        case 1:
            return data[:at] + data[until:]
        case 2:
            return data[:until] + data[at:]
        case 3:
            return data[:at] + chance.choice(PIECES) + data[at:]
        case 4:
            return data[:at] + chance.choice(PIECES) + data[until:]
        case 5:
            return data[:at] + other[chance.randint(0, len(other)) :]
        case 6:
            return data[:at] + chance.randbytes(chance.randint(1, 3)) + data[at:]
        case _:
            return data[:at]
