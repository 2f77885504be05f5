# A key has two buckets of one region and stands in either (cuckoo hashing: Pagh and Rodler, "Cuckoo hashing", J.
# Algorithms 2004; four records a bucket: Dietzfelbinger and Weidling, ICALP 2005). A new key goes into the emptier one;
# if both are full, records that stand there move to their own other bucket. So a table fills to nine tenths before
# anything must go.
#
# Moves without locks. A record is first copied, marked as in transit (KEY_MOVING), to a free place of its other bucket,
# then taken away where it was, by a compare-and-swap that fails if it has changed meanwhile; then the copy is taken
# back. So the copy counts only when the original is not there, and then they were equal: `find` and `look` prefer the
# original, and the first change of a copy that counts settles it. Nobody else removes a copy while its original stands,
# or the record could be lost. A reader that looks into one bucket before the copy is made and into the other one after
# the original is gone would miss the record: the table counts moves between these two steps, and who finds nothing
# while the count changed looks again. What a process that dies in the middle leaves behind is one such copy.

from libc.stdint cimport uint32_t, uint64_t

from engine._table cimport (
    BUCKET_RECORDS,
    Record,
    TableView,
    callsieve_counted,
    callsieve_load,
    callsieve_lowest_place,
    callsieve_places_in_both,
    callsieve_prefetch,
    callsieve_swap,
    table_hash,
    table_pair_hash,
    table_region,
    table_region_at,
)

cdef extern from *:
    """
    /* No number has this bit (15 digits end at bit 50, the kind begins at bit 60); a hashed key leaves it out. */
    #define CALLSIEVE_KEY_MOVING (1ULL << 59)
    """
    const uint64_t KEY_MOVING "CALLSIEVE_KEY_MOVING"

cdef enum:
    NEST_RECORDS = 2 * BUCKET_RECORDS

# A key for what is known of two numbers together: 63 bits of a keyed hash. Among 100 million such keys one look-up in
# 10^11 finds another pair's record, and nobody without the table's secret can make two pairs meet.
cdef inline uint64_t paired_key(const TableView* view, uint64_t one, uint64_t other) noexcept nogil:
    cdef uint64_t key = table_pair_hash(view, one, other) & ~KEY_MOVING
    return key if key else 1

cdef struct Nest:            # where a key may stand
    Record* first
    Record* second

cdef struct NestSeen:        # as it was read: the first bucket's records, then the second one's
    Record records[NEST_RECORDS]
    int found                # index of the key's record, -1 = none
    int twin                 # index of a second record of the key, -1 = none

# The buckets' numbers in the region differ by an odd number: there are always two.
cdef inline Nest nest_of(const TableView* view, uint64_t key) noexcept nogil:
    cdef uint64_t hashed = table_hash(view, key)
    cdef Record* region = table_region_at(view, table_region(view, hashed))
    cdef uint64_t first = hashed & view.region_mask
    cdef uint64_t second = first ^ (hashed >> 16 & view.region_mask | 1)
    return Nest(region + BUCKET_RECORDS * first, region + BUCKET_RECORDS * second)

cdef inline Nest nest_prefetch(const TableView* view, uint64_t key) noexcept nogil:
    cdef Nest nest = nest_of(view, key)
    callsieve_prefetch(nest.first)
    callsieve_prefetch(nest.second)
    return nest

# Chosen by a mask: nobody can foretell in which bucket a key stands.
cdef inline Record* nest_record(const Nest* nest, int index) noexcept nogil:
    cdef uint64_t in_second = -<uint64_t>(index >= BUCKET_RECORDS)
    cdef uint64_t bucket = <uint64_t>nest.first ^ ((<uint64_t>nest.first ^ <uint64_t>nest.second) & in_second)
    return <Record*>bucket + (index & BUCKET_RECORDS - 1)

# Puts (key, value) where `seen` had another record at `index`; false if that record has changed since.
cdef inline bint nest_replace(
    const Nest* nest, const NestSeen* seen, int index, uint64_t key, uint64_t value
) noexcept nogil:
    return callsieve_swap(
        nest_record(nest, index), seen.records[index].key, seen.records[index].value, key, value
    )

# The key's value; false if it has no record. What is under way to its other bucket is looked for again, with patience.
cdef inline bint nest_find(const TableView* view, const Nest* nest, uint64_t key, uint64_t* value) noexcept nogil:
    cdef uint64_t moves = callsieve_counted(view.moves), seen_key
    cdef uint32_t places = callsieve_places_in_both(nest.first, nest.second, key, KEY_MOVING)
    if not places and moves == callsieve_counted(view.moves):
        return False
    if places:
        callsieve_load(nest_record(nest, callsieve_lowest_place(places)), &seen_key, value)
        if seen_key == key:
            return True
    return nest_search(view, nest, key, value)

cdef bint nest_search(const TableView* view, const Nest* nest, uint64_t key, uint64_t* value) noexcept nogil
# Reads both buckets.
cdef void nest_look(const TableView* view, const Nest* nest, uint64_t key, NestSeen* seen) noexcept nogil
# A free record, in the emptier bucket; -1 if there is none.
cdef int nest_free(const NestSeen* seen) noexcept nogil
# Tries to free a record by moving others, each at most `depth` times one after the other (1 or 2); true if one is free.
cdef bint nest_make_room(const TableView* view, const Nest* nest, int depth) noexcept nogil
# Sets the key's value and evicts nothing: false if there is no room for a new key. Two writers of one key at once: the
# value of either may stay.
cdef bint nest_put(const TableView* view, uint64_t key, uint64_t value) noexcept nogil
# Takes every record of the key away; false if there was none.
cdef bint nest_remove(const TableView* view, uint64_t key) noexcept nogil
