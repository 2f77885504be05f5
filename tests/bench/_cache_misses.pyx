# What the memory itself costs: random cache lines of a table, one after the other and 64 at a time.

from libc.stdint cimport int64_t, uint64_t

from engine._table cimport Table, callsieve_prefetch
from tests.bench._clock cimport monotonic_ns

cdef enum:
    LINE_WORDS = 8
    BATCH = 64


cdef inline uint64_t next_random(uint64_t* state) noexcept nogil:
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return state[0]


cdef inline const uint64_t* random_line(const uint64_t* words, uint64_t lines, uint64_t* state) noexcept nogil:
    return words + LINE_WORDS * ((next_random(state) >> 32) * lines >> 32)


def dependent_ns(Table table, int64_t count):
    """Nanoseconds of one random line when the next one is known only after it."""
    cdef const uint64_t* words = <const uint64_t*>table.view.records
    cdef uint64_t lines = table.capacity // 4, state = 88172645463325252ULL
    cdef volatile uint64_t seen = 0
    cdef int64_t _, begun, taken_ns
    with nogil:
        begun = monotonic_ns()
        for _ in range(count):
            seen = random_line(words, lines, &state)[0]
            state ^= seen & 0x5555000000000000ULL    # so that the next line is known only now
        taken_ns = monotonic_ns() - begun
    return <double>taken_ns / count


def overlapped_ns(Table table, int64_t count):
    """Nanoseconds of one random line when 64 are fetched at a time."""
    cdef const uint64_t* words = <const uint64_t*>table.view.records
    cdef const uint64_t* lines_of_batch[BATCH]
    cdef uint64_t lines = table.capacity // 4, state = 88172645463325252ULL, sum_ = 0
    cdef volatile uint64_t _seen
    cdef int64_t _, begun, taken_ns
    cdef int j
    with nogil:
        begun = monotonic_ns()
        for _ in range(count // BATCH):
            for j in range(BATCH):
                lines_of_batch[j] = random_line(words, lines, &state)
                callsieve_prefetch(lines_of_batch[j])
            for j in range(BATCH):
                sum_ += lines_of_batch[j][0]
        _seen = sum_
        taken_ns = monotonic_ns() - begun
    return <double>taken_ns / (count // BATCH * BATCH)
