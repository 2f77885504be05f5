# Times single decisions from native code, so that no Python call is in the figure.

from array import array

from cpython cimport array as c_array
from libc.stdint cimport int64_t, uint8_t, uint32_t

from engine._decision cimport Attempt, Verdict
from engine._fastpath cimport FastPath
from tests.bench._clock cimport monotonic_ns


def decision_ns(FastPath screener, const uint8_t[::1] attempts, int64_t now_us):
    """Nanoseconds of each decision on an array of C attempts, the clock's own time included."""
    cdef Py_ssize_t count = attempts.shape[0] // <Py_ssize_t>sizeof(Attempt), i
    cdef c_array.array taken = array("I", bytes(4 * count))
    cdef uint32_t* ns = taken.data.as_uints
    cdef const Attempt* attempt = <const Attempt*>&attempts[0]
    cdef Verdict verdict
    cdef int64_t start
    with nogil:
        for i in range(count):
            start = monotonic_ns()
            screener.screen_attempt(&attempt[i], now_us, &verdict)
            ns[i] = <uint32_t>(monotonic_ns() - start)
    return taken


def clock_ns(Py_ssize_t count):
    """Nanoseconds between two readings of the clock, count times."""
    cdef c_array.array taken = array("I", bytes(4 * count))
    cdef uint32_t* ns = taken.data.as_uints
    cdef int64_t start
    cdef Py_ssize_t i
    with nogil:
        for i in range(count):
            start = monotonic_ns()
            ns[i] = <uint32_t>(monotonic_ns() - start)
    return taken
