"""Tables in which a key has two buckets: looking, finding a free record, making room. How it works: `_cuckoo.pxd`."""

from libc.stdint cimport uint64_t

from engine._table cimport (
    BUCKET_RECORDS,
    TABLE_TRIES,
    Record,
    TableView,
    callsieve_count,
    callsieve_counted,
    callsieve_load,
    callsieve_prefetch,
    callsieve_swap,
)

cdef enum:
    DISPLACED = 2            # records moved one after the other before a new key is refused


cdef void nest_look(const TableView* view, const Nest* nest, uint64_t key, NestSeen* seen) noexcept nogil:
    cdef uint64_t moves
    cdef int _
    for _ in range(TABLE_TRIES):
        moves = callsieve_counted(view.moves)
        read_nest(nest, key, seen)
        if seen.found >= 0 or moves == callsieve_counted(view.moves):
            return


cdef void read_nest(const Nest* nest, uint64_t key, NestSeen* seen) noexcept nogil:
    cdef int i, copied = -1
    seen.found = seen.twin = -1
    for i in range(NEST_RECORDS):
        callsieve_load(nest_record(nest, i), &seen.records[i].key, &seen.records[i].value)
        if seen.records[i].key == (key | KEY_MOVING):
            copied = i
        elif seen.records[i].key == key and seen.found < 0:
            seen.found = i
        elif seen.records[i].key == key:
            seen.twin = i
    if seen.found < 0:
        seen.found = copied


cdef bint nest_search(const TableView* view, const Nest* nest, uint64_t key, uint64_t* value) noexcept nogil:
    cdef NestSeen seen
    nest_look(view, nest, key, &seen)
    if seen.found < 0:
        return False
    value[0] = seen.records[seen.found].value
    return True


cdef int nest_free(const NestSeen* seen) noexcept nogil:
    cdef int i, free_first = 0, free_second = 0, first = -1, second = -1
    for i in range(BUCKET_RECORDS):
        if not seen.records[i].key:
            free_first += 1
            first = i if first < 0 else first
        if not seen.records[BUCKET_RECORDS + i].key:
            free_second += 1
            second = BUCKET_RECORDS + i if second < 0 else second
    return second if free_second > free_first else first


# --- Making room ------------------------------------------------------------------------------------------------------

# The bucket that is not `bucket` among the two of a key.
cdef inline Record* other_bucket(const TableView* view, uint64_t key, const Record* bucket) noexcept nogil:
    cdef Nest nest = nest_of(view, key & ~KEY_MOVING)
    return nest.first if nest.second == bucket else nest.second


cdef int free_record(const Record* bucket) noexcept nogil:
    cdef uint64_t key, value
    cdef int i
    for i in range(BUCKET_RECORDS):
        callsieve_load(&bucket[i], &key, &value)
        if not key:
            return i
    return -1


# Moves a record, as it was read, to a free place of its other bucket; false if there is none or the record changed.
cdef bint move(const TableView* view, Record* record, uint64_t key, uint64_t value, Record* other) noexcept nogil:
    cdef int free = free_record(other)
    if free < 0 or not key or key & KEY_MOVING:
        return False
    if not callsieve_swap(&other[free], 0, 0, key | KEY_MOVING, value):
        return False
    callsieve_count(view.moves)
    if callsieve_swap(record, key, value, 0, 0):
        callsieve_swap(&other[free], key | KEY_MOVING, value, key, value)
        return True
    callsieve_swap(&other[free], key | KEY_MOVING, value, 0, 0)
    return False


# Moves one of a bucket's records to its other bucket.
cdef bint move_any(const TableView* view, Record* bucket) noexcept nogil:
    cdef Record[BUCKET_RECORDS] seen
    cdef Record *others[BUCKET_RECORDS]
    cdef int i
    for i in range(BUCKET_RECORDS):
        callsieve_load(&bucket[i], &seen[i].key, &seen[i].value)
        others[i] = other_bucket(view, seen[i].key, bucket)
        callsieve_prefetch(others[i])
    for i in range(BUCKET_RECORDS):
        if not seen[i].key or move(view, &bucket[i], seen[i].key, seen[i].value, others[i]):
            return True
    return False


cdef bint nest_make_room(const TableView* view, const Nest* nest, int depth) noexcept nogil:
    cdef Record seen
    cdef Record* record
    cdef int i
    if move_any(view, nest.first) or move_any(view, nest.second):
        return True
    if depth < 2:
        return False
    for i in range(NEST_RECORDS):
        record = nest_record(nest, i)
        callsieve_load(record, &seen.key, &seen.value)
        other = other_bucket(view, seen.key, nest.first if i < BUCKET_RECORDS else nest.second)
        if move_any(view, other) and move(view, record, seen.key, seen.value, other):
            return True
    return False


cdef bint nest_put(const TableView* view, uint64_t key, uint64_t value) noexcept nogil:
    cdef Nest nest = nest_of(view, key)
    cdef NestSeen seen
    cdef int place, _
    for _ in range(TABLE_TRIES):
        nest_look(view, &nest, key, &seen)
        if seen.twin >= 0:
            nest_replace(&nest, &seen, seen.twin, 0, 0)
            continue
        place = seen.found if seen.found >= 0 else nest_free(&seen)
        if place < 0 and not nest_make_room(view, &nest, DISPLACED):
            return False
        if place >= 0 and nest_replace(&nest, &seen, place, key, value):
            return True
    callsieve_count(view.lost)
    return False


cdef bint nest_remove(const TableView* view, uint64_t key) noexcept nogil:
    cdef Nest nest = nest_of(view, key)
    cdef NestSeen seen
    cdef bint known = False
    cdef int _
    for _ in range(TABLE_TRIES):
        nest_look(view, &nest, key, &seen)
        if seen.found < 0:
            return known
        known |= nest_replace(&nest, &seen, seen.found, 0, 0)
    callsieve_count(view.lost)
    return known
