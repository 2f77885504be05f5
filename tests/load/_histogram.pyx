"""Latencies as counts in log-linear buckets: constant memory, no allocation while a run is on."""

from libc.math cimport ceil
from libc.stdlib cimport calloc, free

cimport cython

cdef extern from *:
    """
    #define highest_bit(x) (63 - __builtin_clzll(x))
    """
    int highest_bit(uint64_t x) nogil

cdef uint64_t LONGEST = (<uint64_t>1 << 32) - 1


cdef inline int bucket_of(uint64_t value) noexcept nogil:
    cdef int octave
    if value < EXACT_BELOW:
        return <int>value
    octave = highest_bit(value) - 11
    return octave * HALF + <int>(value >> octave)


cdef inline uint64_t lowest_in(int bucket) noexcept nogil:
    cdef int octave
    if bucket < EXACT_BELOW:
        return bucket
    octave = bucket // HALF - 1
    return <uint64_t>(bucket - octave * HALF) << octave


cdef void counts_record(Counts *counts, int64_t value_us) noexcept nogil:
    cdef uint64_t value = <uint64_t>value_us if value_us > 0 else 0
    if value > LONGEST:
        value = LONGEST
    counts.total += 1
    if value > counts.highest:
        counts.highest = value
    counts.buckets[bucket_of(value)] += 1


@cython.final
cdef class Histogram:
    def __cinit__(self):
        self.counts = <Counts *>calloc(1, sizeof(Counts))
        if self.counts is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.counts)

    def record(self, int64_t value_us):
        counts_record(self.counts, value_us)

    def percentile(self, double share):
        cdef uint64_t rank, below = 0
        cdef int bucket
        if not 0.0 < share <= 100.0:
            raise ValueError(f"percentile {share}: expected 0 < share <= 100")
        if self.counts.total == 0:
            return 0
        # The product may miss an integer by one rounding; a share such as 99.9 must not skip a rank for it.
        rank = <uint64_t>ceil(share * <double>self.counts.total / 100.0 - 1e-9)
        for bucket in range(BUCKETS):
            below += self.counts.buckets[bucket]
            if below >= rank:
                return lowest_in(bucket)
        return self.counts.highest

    def merge(self, Histogram other not None):
        cdef int bucket
        for bucket in range(BUCKETS):
            self.counts.buckets[bucket] += other.counts.buckets[bucket]
        self.counts.total += other.counts.total
        self.counts.highest = max(self.counts.highest, other.counts.highest)

    def __len__(self):
        return self.counts.total

    @property
    def highest(self):
        return self.counts.highest
