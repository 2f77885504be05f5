"""A forwarder that looks at one byte: what a proxy of no thought at all would cost.

Between one caller and one callee it passes every datagram on, unread; an INVITE also gets a 100 (forwarding) or only a
603 (rejecting), its headers cut from the INVITE. So a complete call is the same 13 datagrams as through a proxy, a
rejected one the same 3.
"""

from libc.string cimport memcmp, memcpy

cimport cython

from tests.load._datagrams cimport (
    address_of,
    port_claim,
    port_close,
    port_commit,
    port_flush,
    port_length,
    port_open,
    port_receive,
    port_wait,
)
from tests.load._message cimport put

cdef extern from "<string.h>" nogil:
    void *memmem(const void *haystack, size_t haystack_length, const void *needle, size_t needle_length)

cdef enum:
    IDLE_US = 20000


@cython.final
cdef class Forwarder:
    def __cinit__(self, sock, *, tuple callee, bint rejecting=False):
        host = callee[0].encode()
        if address_of(&self._callee, host, len(host), callee[1]) < 0:
            raise ValueError(f"callee {callee[0]}: expected a numeric address")
        self._socket = sock
        self._rejecting = rejecting
        self._port = port_open(sock.fileno())
        if self._port is NULL:
            raise MemoryError

    def __dealloc__(self):
        port_close(self._port)

    def run(self):
        with nogil:
            self._loop()

    def stop(self):
        self._stop = True

    cdef void _loop(self) noexcept nogil:
        cdef int i, count
        while not self._stop:
            port_wait(self._port, IDLE_US)
            count = port_receive(self._port)
            for i in range(count):
                self._handle(self._port.receive_bytes[i], port_length(self._port, i), &self._port.sources[i])
            port_flush(self._port)

    cdef void _handle(self, const char *data, size_t length, const Address *source) noexcept nogil:
        if length == 0:
            return
        if memcmp(source, &self._callee, source.length) == 0:
            self._forward(data, length, &self._caller)
            return
        if data[0] == c"I":
            self._caller = source[0]
            self._answer(data, length, source)
        if not self._rejecting:
            self._forward(data, length, &self._callee)

    cdef void _answer(self, const char *data, size_t length, const Address *source) noexcept nogil:
        """Status line, then the INVITE's headers from Via to CSeq, which is all that the caller looks at."""
        cdef const char *first = <const char *>memmem(data, length, b"Via: ", 5)
        cdef const char *after = <const char *>memmem(data, length, b"\r\nContact: ", 11)
        cdef char *start
        cdef char *at
        if first is NULL or after is NULL or after < first:
            return
        start = port_claim(self._port)
        if self._rejecting:
            at = put(start, b"SIP/2.0 603 Decline\r\n", 21)
        else:
            at = put(start, b"SIP/2.0 100 Trying\r\n", 20)
        at = put(put(at, first, after - first), b"\r\nContent-Length: 0\r\n\r\n", 23)
        port_commit(self._port, at - start, source)

    cdef void _forward(self, const char *data, size_t length, const Address *destination) noexcept nogil:
        cdef char *start = port_claim(self._port)
        memcpy(start, data, length)
        port_commit(self._port, length, destination)
        self.forwarded += 1
