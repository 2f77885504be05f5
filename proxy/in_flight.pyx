"""What a worker is working on, in memory that outlives it, and the digests of messages that no worker takes.

A worker receives into memory that the supervisor holds too and notes there which message is in hand: one store for
each. What comes by a connection is copied there: a head before it is looked at, then the message that it belongs to,
which stays until its answers have left. When the worker dies, the supervisor finds the message. Digests are made only
after a death, and of what comes in only while there is something to compare them with.
"""

import mmap
import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine._siphash cimport siphash

cdef enum:
    HEAD_BYTES = 4096

IN_FLIGHT_BYTES = HEAD_BYTES + SLOTS * SLOT_BYTES
QUARANTINE_BYTES = HEAD_BYTES


cdef class InFlight:
    """fd: of IN_FLIGHT_BYTES of shared memory; -1 = memory of its own."""

    def __init__(self, int fd=-1):
        cdef unsigned char[::1] view
        self.memory = mmap.mmap(fd, IN_FLIGHT_BYTES)
        view = self.memory
        self.view = view
        self.head = <InFlightHead*>&view[0]
        self.slots = &view[0] + HEAD_BYTES
        self.clear()

    @property
    def beats(self):
        """How often the worker has said that its event loop turns; 0 = not yet."""
        return self.head.beats

    def beat(self):
        self.head.beats += 1

    def clear(self):
        """For a worker that begins."""
        self.head.beats = 0
        self.end()

    def in_hand(self):
        """The messages of which one is to blame for what has happened to the worker; none if it had none in hand."""
        cdef uint32_t current = self.head.current
        if current == ALL:
            return [self.message(slot) for slot in range(min(<int>self.head.count, <int>SLOTS))]
        return [self.message(current)] if current < SLOTS else []

    def message(self, uint32_t slot):
        cdef uint32_t size = min(self.head.sizes[slot], <uint32_t>SLOT_BYTES)
        return (<const char*>self.slots + slot * <size_t>SLOT_BYTES)[:size]

    # What was received elsewhere, behind the messages that are kept.
    cdef void begin(self, const uint8_t* data, uint32_t size) noexcept nogil:
        cdef uint32_t slot = min(self.head.count, <uint32_t>SLOTS - 1)
        size = min(size, <uint32_t>SLOT_BYTES)
        memcpy(self.slots + slot * <size_t>SLOT_BYTES, data, size)
        self.head.sizes[slot] = size
        self.head.current = slot

    # What was begun last is a message that has been worked on, but not answered.
    cdef void keep(self) noexcept nogil:
        self.head.count = min(self.head.count + 1, <uint32_t>SLOTS)

    # The answers to the messages that are kept are about to leave.
    cdef void answer(self) noexcept nogil:
        self.head.current = ALL

    cdef void end(self) noexcept nogil:
        self.head.current = NONE
        self.head.count = 0


cdef class Quarantine:
    """fd: of QUARANTINE_BYTES of shared memory; -1 = memory of its own. The key is the supervisor's, by `set_key`."""

    capacity = SLOTS

    def __init__(self, int fd=-1):
        cdef unsigned char[::1] view
        self.memory = mmap.mmap(fd, QUARANTINE_BYTES)
        view = self.memory
        self.view = view
        self.head = <QuarantineHead*>&view[0]

    def set_key(self):
        """A new secret: nobody can make a message that collides with another."""
        key = os.urandom(16)
        memcpy(&self.head.key, <const char*>key, 16)

    def digest(self, bytes message):
        return digest_of(self.head, <const uint8_t*><const char*>message, <uint32_t>len(message))

    def add(self, uint64_t digest):
        """Takes the place of the oldest when all are taken."""
        self.head.digests[self.head.count % SLOTS] = digest
        self.head.count += 1

    def holds(self, bytes message):
        return self.has(<const uint8_t*><const char*>message, <uint32_t>len(message))

    cdef bint has(self, const uint8_t* data, uint32_t size) noexcept nogil:
        cdef uint64_t digest
        cdef uint32_t i
        if not self.head.count:
            return False
        digest = digest_of(self.head, data, size)
        for i in range(<uint32_t>min(self.head.count, <uint64_t>SLOTS)):
            if self.head.digests[i] == digest:
                return True
        return False


cdef uint64_t digest_of(const QuarantineHead* head, const uint8_t* data, uint32_t size) noexcept nogil:
    cdef uint64_t block[9]       # 64 bytes, and the digest of what was before
    cdef uint64_t digest = size
    cdef uint32_t at = 0
    cdef uint32_t part
    while at < size:
        part = min(size - at, <uint32_t>64)
        for i in range(8):
            block[i] = 0
        memcpy(block, data + at, part)
        block[8] = digest
        digest = siphash(&head.key, block, 9)
        at += part
    return digest
