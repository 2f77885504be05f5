"""E records read in place. A metric that a record names twice counts with the larger q; a q of 0 says nothing."""

from libc.stdint cimport uint16_t
from libc.string cimport memset

from proxy.control.sync.evidence_runs cimport METRICS
from proxy.control.sync.key_place cimport is_key
from proxy.control.sync.msgpack_cursor cimport read_array, read_unsigned

cdef enum:
    FEWEST_FIELDS = 4
    MOST_FIELDS = 2 + 2 * METRICS


cdef EvidenceFault read_evidence_record(Cursor* cursor, uint64_t* key, uint64_t* gen, Slots* slots) noexcept nogil:
    cdef uint32_t fields = read_array(cursor)
    cdef uint64_t before = key[0], metric, q
    cdef EvidenceFault fault = EVIDENCE_SOUND
    cdef uint32_t _
    memset(slots, 0, sizeof(Slots))
    if not FEWEST_FIELDS <= fields <= MOST_FIELDS:
        return EVIDENCE_MSGPACK
    key[0] += read_unsigned(cursor)
    gen[0] = read_unsigned(cursor)
    for _ in range((fields - 2) // 2):
        metric = read_unsigned(cursor)
        q = read_unsigned(cursor)
        if metric >= METRICS or q >> 32:
            fault = EVIDENCE_RANGE
        elif q > slots.q[metric]:
            slots.q[metric] = <uint32_t>q
            slots.present |= <uint16_t>(1 << metric)
    if fields % 2:
        read_unsigned(cursor)
        fault = EVIDENCE_RANGE
    if cursor.bad:
        return EVIDENCE_MSGPACK
    if key[0] < before or not is_key(key[0]):
        return EVIDENCE_KEY
    return EVIDENCE_RANGE if gen[0] >> 32 else fault


cdef EvidenceFault check_evidence(Cursor cursor, uint32_t most, uint32_t* count) noexcept nogil:
    cdef uint64_t key = 0, gen
    cdef Slots slots
    cdef EvidenceFault fault
    cdef uint32_t _
    count[0] = read_array(&cursor)
    if count[0] > most:
        return EVIDENCE_MSGPACK
    for _ in range(count[0]):
        fault = read_evidence_record(&cursor, &key, &gen, &slots)
        if fault != EVIDENCE_SOUND:
            return fault
    return EVIDENCE_MSGPACK if cursor.bad or cursor.at != cursor.end else EVIDENCE_SOUND
