"""The slots of a key, packed: runs of words and the arenas that they lie in."""

from libc.stdlib cimport free, realloc
from libc.string cimport memset

cdef enum:
    SMALLEST = 64


cdef void read_run(const uint32_t* words, const Run* run, Slots* slots) noexcept nogil:
    cdef uint32_t at = run.start
    cdef int metric
    memset(slots, 0, sizeof(Slots))
    slots.present = run.present
    for metric in range(METRICS):
        if run.present >> metric & 1:
            slots.q[metric] = words[at]
            at += 1


cdef void write_run(uint32_t* words, uint32_t source, const Slots* slots) noexcept nogil:
    cdef uint32_t at = 1
    cdef int metric
    words[0] = min(source, <uint32_t>WIDE_SOURCE) << 16 | slots.present
    if source >= WIDE_SOURCE:
        words[1] = source
        at = 2
    for metric in range(METRICS):
        if slots.present >> metric & 1:
            words[at] = slots.q[metric]
            at += 1


cdef bint join_slots(Slots* ours, const Slots* theirs) noexcept nogil:
    cdef bint more = False
    cdef int metric
    for metric in range(METRICS):
        if theirs.present >> metric & 1 and theirs.q[metric] > ours.q[metric]:
            ours.q[metric] = theirs.q[metric]
            ours.present |= <uint16_t>(1 << metric)
            more = True
    return more


cdef uint64_t take_words(Arena* arena, uint64_t count) noexcept nogil:
    cdef uint64_t room
    cdef uint32_t* words
    if arena.used + count > arena.room:
        room = max(arena.used + count, max(<uint64_t>SMALLEST, arena.room * 9 // 8))
        words = <uint32_t*>realloc(arena.words, room * sizeof(uint32_t))
        if words == NULL:
            return NOWHERE
        arena.words, arena.room = words, room
    arena.used += count
    return arena.used - count


cdef void free_arena(Arena* arena) noexcept nogil:
    free(arena.words)
    memset(arena, 0, sizeof(Arena))
