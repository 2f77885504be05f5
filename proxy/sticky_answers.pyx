"""StickyAnswers: a table of fixed size from requests to the answers they were given without a transaction.

A stateless answer is allowed only if a repeat of the request gets the same one (RFC 3261 section 8.2.7), so the verdict
of a call that was rejected so holds for 64*T1, in which its repeats may come: also across a reload.
"""

from proxy.memory cimport allocate_array, free_array

cdef enum:
    BUCKET = 4
    LIFE_US = 32_000_000     # 64*T1


cdef class StickyAnswers:
    """Room for `capacity` answers, rounded up."""

    def __cinit__(self, int capacity):
        self.buckets = 1
        while self.buckets * BUCKET < <uint64_t>capacity:
            self.buckets *= 2
        self.keys = <StickyKey*>allocate_array(self.buckets * BUCKET, sizeof(StickyKey))
        self.answers = <StickyAnswer*>allocate_array(self.buckets * BUCKET, sizeof(StickyAnswer))
        if not (self.keys and self.answers):
            raise MemoryError("no memory for answers without a transaction")

    def __dealloc__(self):
        free_array(self.keys, self.buckets * BUCKET, sizeof(StickyKey))
        free_array(self.answers, self.buckets * BUCKET, sizeof(StickyAnswer))

    cdef StickyAnswer* find(self, uint64_t key, int64_t now_us) noexcept nogil:
        cdef uint64_t first = (key & (self.buckets - 1)) * BUCKET
        cdef uint64_t i
        if self.latest_us <= now_us:
            return NULL
        for i in range(first, first + BUCKET):
            if self.keys[i].key == key and self.keys[i].until_us > now_us:
                return &self.answers[i]
        return NULL

    cdef bint has_room(self, uint64_t key, int64_t now_us) noexcept nogil:
        return self.keys[oldest(self.keys, (key & (self.buckets - 1)) * BUCKET)].until_us <= now_us

    cdef StickyAnswer* open(self, uint64_t key, int64_t now_us) noexcept nogil:
        cdef uint64_t chosen = oldest(self.keys, (key & (self.buckets - 1)) * BUCKET)
        self.evictions += self.keys[chosen].until_us > now_us
        self.keys[chosen].key = key
        self.keys[chosen].until_us = self.latest_us = now_us + LIFE_US
        return &self.answers[chosen]


cdef inline uint64_t oldest(const StickyKey* keys, uint64_t first) noexcept nogil:
    cdef uint64_t chosen = first
    cdef uint64_t i
    for i in range(first + 1, first + BUCKET):
        if keys[i].until_us < keys[chosen].until_us:
            chosen = i
    return chosen
