# Verdicts as words: 32 bytes each, in one table a shard.

from libc.stdint cimport uint32_t, uint64_t

from proxy.control.sync.digest cimport Digest
from proxy.control.sync.key_place cimport SHARDS, Place
from proxy.control.sync.key_table cimport KeyTable

cdef struct VerdictRecord:
    uint64_t key
    uint64_t entry
    uint64_t hlc
    uint32_t trust
    uint32_t reducer

cdef class VerdictEntries:
    cdef readonly Digest digest
    cdef KeyTable shards[SHARDS]
    # Whether the judgement has changed by it. place: of its key.
    cdef bint put(self, const VerdictRecord* theirs, Place place) except -1
    cdef VerdictRecord* find(self, uint64_t key) noexcept nogil
    cdef void remove(self, uint64_t key) noexcept nogil
