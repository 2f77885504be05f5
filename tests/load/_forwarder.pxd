# The kernel's floor: a forwarder that receives and sends the datagrams of a call through a proxy, and does nothing
# else.

from libc.stdint cimport uint64_t

from tests.load._datagrams cimport Address, Port

cdef class Forwarder:
    cdef object _socket
    cdef Port *_port
    cdef Address _caller, _callee
    cdef bint _rejecting
    cdef volatile bint _stop
    cdef readonly uint64_t forwarded

    cdef void _loop(self) noexcept nogil
    cdef void _handle(self, const char *data, size_t length, const Address *source) noexcept nogil
    cdef void _answer(self, const char *data, size_t length, const Address *source) noexcept nogil
    cdef void _forward(self, const char *data, size_t length, const Address *destination) noexcept nogil
