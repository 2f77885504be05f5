# Answers that left no transaction behind, remembered for as long as their request may be repeated.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

cdef enum:
    STICKY_EXTRA = 224       # bytes of header lines that one answer may have

# What of an answer is not made anew from the repeated request.
cdef struct StickyAnswer:
    uint64_t source          # hash of the address it was given to
    const char* reason       # phrase; a literal
    uint16_t status          # 0 = silence
    uint16_t extra_size
    uint8_t cut              # Cut of LocalAnswers
    uint8_t extra[STICKY_EXTRA]

# Apart from the answers, so that a look-up costs one cache line.
cdef struct StickyKey:
    uint64_t key             # of the request (Transactions.key_of), 0 = free
    int64_t until_us

cdef class StickyAnswers:
    cdef StickyKey* keys
    cdef StickyAnswer* answers
    cdef uint64_t buckets    # a power of two
    cdef int64_t latest_us   # when the last of them ends
    cdef readonly uint64_t evictions     # answers forgotten while they were still wanted

    # NULL: nothing was answered so to this request in the last 64*T1.
    cdef StickyAnswer* find(self, uint64_t key, int64_t now_us) noexcept nogil
    cdef bint has_room(self, uint64_t key, int64_t now_us) noexcept nogil
    # A place for the answer to this request, for 64*T1; if need be the oldest of its bucket goes.
    cdef StickyAnswer* open(self, uint64_t key, int64_t now_us) noexcept nogil
