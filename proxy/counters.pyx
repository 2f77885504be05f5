"""Counters that cost the call path one addition, and control nothing to ask for."""

import mmap
import os
import struct


NAMES = (
    "received", "sent", "send_failed", "keepalives", "not_sip", "unknown_source", "bad_messages", "retransmissions",
    "invites", "screened", "accepted", "tagged", "diverted", "rejected", "dropped", "unscreened", "in_dialog", "acks",
    "cancels", "responses", "stray_responses", "answered", "ended", "calls_evicted", "refused_overload",
    "refused_draining", "refused_capped", "timeouts", "failovers", "transport_failures", "no_ack", "resent",
    "unroutable",
    "method_refused", "internal_errors", "events_lost", "handed_over", "flooded", "quarantined", "refused_rate",
    "throttled", "dropped_unheard",
    "answers_stateless", "answers_silenced", "sticky_evicted", "parked", "transactions_reaped",
    "connections_accepted", "connections_refused", "connections_opened", "connection_failures", "connection_timeouts",
    "tls_failures", "tls_reload_failures", "framing_errors", "write_queue_overflows", "accept_pauses", "connections",
    "server_transactions", "client_transactions", "calls",
    "memory_taken",
)
GAUGES = frozenset({"connections", "server_transactions", "client_transactions", "calls", "memory_taken"})
INDEXES = {name: index for index, name in enumerate(NAMES)}
SIZE = 4096

assert len(NAMES) == COUNTER_COUNT, "every counter has a name"


cdef class Counters:
    """One worker's counters in the file at `path`; a new worker starts them again at zero."""

    names = NAMES
    gauges = GAUGES

    @staticmethod
    def open(path, create=True):
        cdef Counters counters = Counters.__new__(Counters)
        flags = os.O_RDWR | (os.O_CREAT | os.O_TRUNC if create else 0)
        fd = os.open(path, flags, 0o644)
        try:
            if create:
                os.ftruncate(fd, SIZE)
            counters.attach(mmap.mmap(fd, SIZE))
        finally:
            os.close(fd)
        return counters

    @staticmethod
    def in_memory():
        """Counters of their own, for a core without a file."""
        cdef Counters counters = Counters.__new__(Counters)
        counters.attach(bytearray(SIZE))
        return counters

    cdef int attach(self, object mapping) except -1:
        cdef unsigned char[::1] view = mapping
        self.mapping = mapping
        self.view = view
        self.values = <uint64_t*>&view[0]
        return 0

    def read(self):
        """All counters by name."""
        words = struct.unpack_from(f"={len(NAMES)}Q", self.mapping)
        return dict(zip(NAMES, words, strict=True))

    def add(self, str name, uint64_t count=1):
        """For what is rare enough to be counted by name."""
        self.values[<int>INDEXES[name]] += count

    def set(self, str name, uint64_t value):
        """The present value of a gauge."""
        self.values[<int>INDEXES[name]] = value

    def __getitem__(self, str name):
        return self.values[<int>INDEXES[name]]
