# Counts of microseconds in buckets whose width grows with the value: exact below 4,096 us, within 1/2,048 above.

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    EXACT_BELOW = 4096
    HALF = 2048                    # buckets an octave above EXACT_BELOW
    OCTAVES = 20                   # values up to 2**32 us, 71 minutes; longer ones count as that
    BUCKETS = EXACT_BELOW + OCTAVES * HALF

cdef struct Counts:
    uint64_t total
    uint64_t highest
    uint64_t buckets[BUCKETS]

cdef void counts_record(Counts *counts, int64_t value_us) noexcept nogil

cdef class Histogram:
    cdef Counts *counts
