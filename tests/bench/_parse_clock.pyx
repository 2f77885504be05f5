# Times the parser from native code, so that no Python call is in the figure.

from array import array

from cpython cimport array as c_array
from libc.stdint cimport int64_t, uint32_t

from proxy.sip.message cimport Message, parse_message
from tests.bench._clock cimport monotonic_ns

cdef enum:
    ROUND = 16               # messages between two readings of the clock


def parse_ns(list messages, Py_ssize_t rounds):
    """Nanoseconds of a parse, the mean of each round of 16; messages are bytes and must parse."""
    cdef c_array.array taken = array("I", bytes(4 * rounds))
    cdef uint32_t* ns = taken.data.as_uints
    cdef const unsigned char* data[ROUND]
    cdef uint32_t sizes[ROUND]
    cdef Message message
    cdef const char* reason
    cdef int64_t start
    cdef Py_ssize_t i, j
    cdef int status = 0
    for j in range(ROUND):
        text = messages[j % len(messages)]
        data[j] = text
        sizes[j] = <uint32_t>len(text)
    with nogil:
        for i in range(rounds):
            start = monotonic_ns()
            for j in range(ROUND):
                status |= parse_message(data[j], sizes[j], &message, &reason)
            ns[i] = <uint32_t>((monotonic_ns() - start) // ROUND)
    if status:
        raise ValueError("a message does not parse")
    return taken
