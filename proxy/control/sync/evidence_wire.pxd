# E records as they came: [dkey, gen, metric, q, metric, q, ...].

from libc.stdint cimport uint32_t, uint64_t

from proxy.control.sync.evidence_runs cimport Slots
from proxy.control.sync.msgpack_cursor cimport Cursor

cdef enum EvidenceFault:
    EVIDENCE_SOUND = 0
    EVIDENCE_MSGPACK = 1
    EVIDENCE_RANGE = 2
    EVIDENCE_KEY = 3

# The next record. key: that of the record before, 0 at the first.
cdef EvidenceFault read_evidence_record(Cursor* cursor, uint64_t* key, uint64_t* gen, Slots* slots) noexcept nogil
# Whether all of a frame is sound, and how many records it has.
cdef EvidenceFault check_evidence(Cursor cursor, uint32_t most, uint32_t* count) noexcept nogil
