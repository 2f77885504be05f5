# Evidence slots of all keys, and what is taken in of them.

from libc.stdint cimport uint32_t, uint64_t

from proxy.control.sync.digest cimport Digest
from proxy.control.sync.evidence_runs cimport Arena, Slots
from proxy.control.sync.key_place cimport SHARDS, Place
from proxy.control.sync.key_table cimport KeyTable

cdef struct EvidenceRecord:
    uint64_t key
    uint64_t runs            # of the shard's arena: the first word 44 | how many 20

cdef struct GenerationRecord:
    uint64_t key
    uint64_t gen

cdef struct Source:          # an origin in one of its lives
    uint32_t origin
    uint32_t epoch

cdef class EvidenceTable:
    cdef readonly Digest digest
    cdef public uint64_t ahead
    cdef KeyTable index[SHARDS]
    cdef Arena arenas[SHARDS]
    cdef KeyTable generation_of
    cdef Source* sources     # by number
    cdef uint32_t source_count
    cdef uint32_t source_room
    cdef dict numbers        # (origin, epoch) -> number
    # The runs of a key, and how many words they have. They move with the next change.
    cdef const uint32_t* runs_of(self, uint64_t key, uint32_t* count) noexcept nogil
    cdef uint64_t gen_at(self, uint64_t key) noexcept nogil
    cdef uint32_t number_of(self, uint32_t origin, uint32_t epoch) except? 0
    # Whether anything became more. theirs: of the generation in force.
    cdef bint put(self, uint64_t key, uint64_t gen, uint32_t source, const Slots* theirs) except -1
    cdef bint set_runs(
        self, uint64_t key, Place place, uint32_t old_at, uint32_t old_words, uint32_t source, const Slots* slots
    ) except -1
    cdef void toggle(self, Place place, uint64_t key, uint64_t gen, uint32_t source, const Slots* slots) noexcept nogil
    cdef int tidy(self, int shard) except -1
    # Of one origin; all_of: of all.
    cdef bint void_runs(self, uint64_t key, uint32_t origin, bint all_of) noexcept nogil
    cdef bint is_vanishing(self, int shard, const EvidenceRecord* record, const uint32_t* least) noexcept nogil
