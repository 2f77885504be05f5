"""Datagrams on their way out: built once, in an arena that lives for one batch."""

from libc.stdlib cimport free, malloc

from proxy.sip.address cimport address_text

from typing import NamedTuple


class OutgoingMessage(NamedTuple):
    """A message that a core wants sent. flow: the connection it should go by. token: for `transport_failed`."""

    listener: int
    ip: str
    port: int
    data: bytes
    flow: int
    token: int


cdef class Outbox:
    """Room for `limit` datagrams in `arena_bytes`; what does not fit is dropped and counted in `overflows`."""

    def __cinit__(self, uint32_t limit=4096, uint64_t arena_bytes=16 << 20):
        self.limit = limit
        self.arena = <uint8_t*>malloc(arena_bytes)
        self.messages = <OutMessage*>malloc(limit * sizeof(OutMessage))
        if not self.arena or not self.messages:
            raise MemoryError("no memory for datagrams to send")
        self.arena_at = self.arena
        self.arena_end = self.arena + arena_bytes

    def __dealloc__(self):
        free(self.arena)
        free(self.messages)

    def drain(self):
        """Everything collected, for tests and tools; the outbox is empty afterwards."""
        cdef uint32_t i
        cdef OutMessage* message
        datagrams = []
        for i in range(self.count):
            message = &self.messages[i]
            datagrams.append(OutgoingMessage(
                message.listener,
                address_text(&message.destination),
                message.destination.port,
                (<const char*>message.data)[: message.size],
                message.destination.flow,
                message.token,
            ))
        self.clear()
        return datagrams

    cdef void begin(self, Writer* writer) noexcept nogil:
        writer.start = writer.at = self.arena_at
        writer.end = self.arena_end
        if writer.end - writer.start > MAX_DATAGRAM:
            writer.end = writer.start + MAX_DATAGRAM
        writer.full = self.count == self.limit

    cdef OutMessage* commit(self, Writer* writer, uint8_t listener, const Address* destination) noexcept nogil:
        cdef OutMessage* message
        if writer.full:
            self.overflows += 1
            return NULL
        message = &self.messages[self.count]
        self.count += 1
        message.data = writer.start
        message.size = <uint32_t>(writer.at - writer.start)
        message.token = 0
        message.listener = listener
        message.destination = destination[0]
        self.arena_at = writer.at
        return message

    cdef OutMessage* copy(
        self, const uint8_t* data, uint32_t size, uint8_t listener, const Address* destination
    ) noexcept nogil:
        cdef Writer writer
        self.begin(&writer)
        put(&writer, data, size)
        return self.commit(&writer, listener, destination)

    cdef void take_back(self) noexcept nogil:
        self.count -= 1
        self.arena_at = <uint8_t*>self.messages[self.count].data

    cdef void clear(self) noexcept nogil:
        self.count = 0
        self.arena_at = self.arena
