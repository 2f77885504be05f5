# The slots of a key: for each source (an origin in one of its lives) a run of 32-bit words. All runs of a key lie one
# after the other in the arena of its shard.
#
#     run = source 16 | present 16, [source, if it needs more than 16 bits], q of each metric that is present
#
# A key that needs more words gets new ones at the end of the arena. When an eighth of an arena is no longer used, its
# owner copies what is into a new one.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    METRICS = 16
    WIDE_SOURCE = 0xFFFF     # the number stands in the next word
    MAX_WORDS = 1 << 20      # of a key

cdef extern from *:
    """
    #define CALLSIEVE_NOWHERE UINT64_MAX
    """
    const uint64_t NOWHERE "CALLSIEVE_NOWHERE"
    int count_bits "__builtin_popcount"(unsigned int word) noexcept nogil

cdef struct Slots:           # of one source
    uint16_t present         # bit m: metric m
    uint32_t q[METRICS]

cdef struct Run:
    uint32_t source
    uint16_t present
    uint32_t start           # of its q, in words from the run's beginning
    uint32_t words

cdef struct Arena:
    uint32_t* words
    uint64_t used
    uint64_t room
    uint64_t wasted          # of those used

cdef inline uint32_t words_of(uint32_t source, uint16_t present) noexcept nogil:
    return 1 + (source >= WIDE_SOURCE) + count_bits(present)

cdef inline Run run_at(const uint32_t* words) noexcept nogil:
    cdef Run run
    run.source = words[0] >> 16
    run.present = <uint16_t>words[0]
    run.start = 1
    if run.source == WIDE_SOURCE:
        run.source = words[1]
        run.start = 2
    run.words = run.start + count_bits(run.present)
    return run

cdef void read_run(const uint32_t* words, const Run* run, Slots* slots) noexcept nogil
cdef void write_run(uint32_t* words, uint32_t source, const Slots* slots) noexcept nogil
# Takes in the larger of each q. True: something became more.
cdef bint join_slots(Slots* ours, const Slots* theirs) noexcept nogil
# Where `count` new words are. NOWHERE: no memory, nothing has changed.
cdef uint64_t take_words(Arena* arena, uint64_t count) noexcept nogil
cdef void free_arena(Arena* arena) noexcept nogil
