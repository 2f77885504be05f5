"""InviteFilter: new calls that the kernel drops for us, when there are far more than we can even refuse.

Refusing a call costs a quarter of carrying it, so under several times the load that a worker can bear refusals alone
would take all of its time. A filter on its UDP sockets (classic BPF, socket(7)) then lets only a part of the INVITEs
through, drawn anew for each datagram: a caller's repeats have another chance. Everything else passes, and so does an
INVITE that may be more than a new call like any other: one that carries the cookie of our Record-Route (a dialog of
ours), Resource-Priority or overload control (its sender has left out already what we asked it to), and one to a user
part of less than eight characters (emergency numbers) or with an escape. The words are looked for in the first half
kilobyte.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
COARSE = 0.1  # the part may be wrong by so much of itself before the filter is made anew

Instruction = tuple[int, int, int, int]  # code, jumps if true and if false, constant (struct sock_filter)

LOAD_WORD, LOAD_BYTE, LOAD_LENGTH = 0x20, 0x30, 0x80
JUMP, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x05, 0x15, 0x35, 0x06
RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM: where a load finds a random word
PASS, DROP = 0xFFFFFFFF, 0

UDP_HEADER = 8  # the filter sees it
START_LINE = UDP_HEADER + 64  # so much has to be there before any of it is looked at
USER = UDP_HEADER + len("INVITE sip:")
SHORT_USER = 8
ENDS_OF_USER = b"@;% >"
SEARCHED_FROM = UDP_HEADER + 40
STEPS = 16  # of the search between two looks at the length: less is left out at the end than a word and its value
SEARCHES = 32  # 2,300 instructions: what the kernel grants a socket (net.core.optmem_max) is 20 KiB on many systems
# Of Route rows of ours (own_addresses.pyx), of Resource-Priority, of a Via with overload control.
WORDS = (b";cs=", b"ce-P", b";oc;")


class InviteFilter:
    """sockets: a worker's, for UDP. What a worker before left there is taken off."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = sockets
        self.part = 1.0
        self._detach()

    def let_in(self, part: float) -> float:
        """Lets this part of the new calls through, 0 to 1; the part that is let through now.

        1 where the kernel takes no filter.
        """
        if part >= 1.0 and self.part < 1.0:
            self._detach()
            self.part = 1.0
        elif part < 1.0 and abs(part - self.part) > COARSE * self.part:
            self._detach()  # first, since both together are more than a socket may have
            self.part = part if self._attach(part) else 1.0
        return self.part

    def _attach(self, part: float) -> bool:
        instructions = program(part)
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in instructions))
        argument = struct.pack("@HP", len(instructions), ctypes.addressof(code))
        try:
            for each in self._sockets:
                each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, argument)
        except OSError:
            self._detach()
            return False
        return bool(self._sockets)

    def _detach(self) -> None:
        for each in self._sockets:
            try:
                each.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            except OSError:  # ENOENT: there is none
                continue


def program(part: float) -> list[Instruction]:
    """Instructions that let this part of the new calls through."""
    passed = (RETURN, 0, 0, PASS)
    head = [
        *_unless(LOAD_LENGTH, 0, JUMP_IF_AT_LEAST, START_LINE, passed),
        *_unless(LOAD_WORD, UDP_HEADER, JUMP_IF_EQUAL, _word(b"INVI"), passed),
        (LOAD_WORD, 0, 0, UDP_HEADER + 4),
        (JUMP_IF_EQUAL, 2, 0, _word(b"TE s")),
        (JUMP_IF_EQUAL, 1, 0, _word(b"TE t")),
        passed,
    ]
    user = []
    for at in range(USER, USER + SHORT_USER):
        user.append((LOAD_BYTE, 0, 0, at))
        for step, end in enumerate(ENDS_OF_USER):
            user.append((JUMP_IF_EQUAL, len(ENDS_OF_USER) - step, 0, end))
        user += [(JUMP, 0, 0, 1), passed]
    return [*head, *user, *_search(), *_draw(part)]


def _unless(load: int, at: int, test: int, value: int, otherwise: Instruction) -> list[Instruction]:
    return [(load, 0, 0, at), (test, 1, 0, value), otherwise]


def _search() -> list[Instruction]:
    """Passes what has one of the words anywhere in the part that is searched, then goes on after it."""
    found: list[Instruction] = []
    each = 1 + len(WORDS)
    block = 3 + each * STEPS + 2
    for number in range(SEARCHES):
        first = SEARCHED_FROM + number * STEPS
        to_the_end = (SEARCHES - number) * block - 3
        found += [
            (LOAD_LENGTH, 0, 0, 0),
            (JUMP_IF_AT_LEAST, 1, 0, first + STEPS + 4),  # a load beyond the end would drop the datagram
            (JUMP, 0, 0, to_the_end),
        ]
        for step in range(STEPS):
            left = each * (STEPS - step)  # instructions from here to the jump over the last one of the block
            found.append((LOAD_WORD, 0, 0, first + step))
            found += [(JUMP_IF_EQUAL, left - 1 - nth, 0, _word(word)) for nth, word in enumerate(WORDS)]
        found += [(JUMP, 0, 0, 1), (RETURN, 0, 0, PASS)]
    return found


def _draw(part: float) -> list[Instruction]:
    return [
        (LOAD_WORD, 0, 0, RANDOM),
        (JUMP_IF_AT_LEAST, 0, 1, min(int(part * 2**32), 2**32 - 1)),
        (RETURN, 0, 0, DROP),
        (RETURN, 0, 0, PASS),
    ]


def _word(text: bytes) -> int:
    return int.from_bytes(text, "big")
