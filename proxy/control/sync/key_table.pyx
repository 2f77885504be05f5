"""Keys to records: linear probing at up to 0.85 load. A key's home is its hash scaled to the capacity.

How much a table grows depends a little on the key that it grows for: tables that fill alike do not all grow at once.
"""

from libc.stdlib cimport calloc, free, qsort
from libc.string cimport memcpy, memset

from engine._siphash cimport siphash_word
from proxy.memory cimport allocate_array, free_array

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void* address) noexcept nogil

cdef enum:
    MAPPED_BYTES = 1 << 16   # from here on memory comes from the system and goes back to it whole
    SMALLEST = 8
    FULL_PERCENT = 85
    SHRINK = 8               # a table of which less than one in so many is left is made anew


cdef void open_key_table(KeyTable* table, uint32_t record_bytes, const uint8_t* secrets) noexcept nogil:
    memset(table, 0, sizeof(KeyTable))
    table.record_bytes = record_bytes
    memcpy(&table.secret0, secrets, 8)
    memcpy(&table.secret1, secrets + 8, 8)


cdef void close_key_table(KeyTable* table) noexcept nogil:
    give_back(table.records, table.capacity, table.record_bytes)
    table.records = NULL
    table.capacity = table.count = 0


cdef void* get_records(uint64_t count, uint32_t record_bytes) noexcept nogil:
    return allocate_array(count, record_bytes) if count * record_bytes >= MAPPED_BYTES else calloc(count, record_bytes)


cdef void give_back(void* records, uint64_t count, uint32_t record_bytes) noexcept nogil:
    if count * record_bytes >= MAPPED_BYTES:
        free_array(records, count, record_bytes)
    else:
        free(records)


cdef inline uint64_t home_of(const KeyTable* table, uint64_t key) noexcept nogil:
    return (siphash_word(table.secret0, table.secret1, key) >> 32) * table.capacity >> 32


cdef inline uint64_t* record_at(const KeyTable* table, uint64_t place) noexcept nogil:
    return <uint64_t*>(table.records + place * table.record_bytes)


# The record of a key, or the free one where it belongs.
cdef inline uint64_t* place_for(const KeyTable* table, uint64_t key) noexcept nogil:
    cdef uint64_t place = home_of(table, key)
    cdef uint64_t* record = record_at(table, place)
    while record[0] and record[0] != key:
        place += 1
        if place == table.capacity:
            place = 0
        record = record_at(table, place)
    return record


cdef void* find_key(const KeyTable* table, uint64_t key) noexcept nogil:
    cdef uint64_t* record
    if table.records == NULL or key == 0:
        return NULL
    record = place_for(table, key)
    return record if record[0] else NULL


cdef void prefetch_key(const KeyTable* table, uint64_t key) noexcept nogil:
    if table.records != NULL:
        prefetch(record_at(table, home_of(table, key)))


cdef void* put_key(KeyTable* table, uint64_t key) noexcept nogil:
    cdef uint64_t* record = NULL if table.records == NULL else place_for(table, key)
    if record != NULL and record[0]:
        return record
    if (table.count + 1) * 100 > table.capacity * FULL_PERCENT:
        if not resize(table, max(<uint64_t>SMALLEST, table.capacity * (112 + key % 16) // 100 + 1)):
            return NULL
        record = place_for(table, key)
    record[0] = key
    table.count += 1
    return record


cdef bint resize(KeyTable* table, uint64_t capacity) noexcept nogil:
    cdef KeyTable grown = table[0]
    cdef uint64_t at = 0
    cdef uint64_t* record
    if capacity >> 32:
        return False
    grown.records = <uint8_t*>get_records(capacity, table.record_bytes)
    grown.capacity = capacity
    if grown.records == NULL:
        return False
    while True:
        record = <uint64_t*>next_record(table, &at)
        if record == NULL:
            break
        memcpy(place_for(&grown, record[0]), record, table.record_bytes)
    give_back(table.records, table.capacity, table.record_bytes)
    table[0] = grown
    return True


cdef void remove_record(KeyTable* table, void* record) noexcept nogil:
    cdef uint64_t hole = (<uint8_t*>record - table.records) // table.record_bytes
    cdef uint64_t at = hole, home
    while True:
        at = at + 1 if at + 1 < table.capacity else 0
        if record_at(table, at)[0] == 0:
            break
        home = home_of(table, record_at(table, at)[0])
        if distance(table, home, at) >= distance(table, hole, at):
            memcpy(record_at(table, hole), record_at(table, at), table.record_bytes)
            hole = at
    memset(record_at(table, hole), 0, table.record_bytes)
    table.count -= 1
    if table.capacity > SMALLEST and table.count * SHRINK < table.capacity:
        resize(table, max(<uint64_t>SMALLEST, table.count * 2))


cdef inline uint64_t distance(const KeyTable* table, uint64_t start, uint64_t to) noexcept nogil:
    return to - start if to >= start else to + table.capacity - start


cdef void* next_record(const KeyTable* table, uint64_t* at) noexcept nogil:
    cdef uint64_t* record
    while at[0] < table.capacity:
        record = record_at(table, at[0])
        at[0] += 1
        if record[0]:
            return record
    return NULL


cdef uint64_t bytes_of_table(const KeyTable* table) noexcept nogil:
    return table.capacity * table.record_bytes


cdef int compare(const void* one, const void* other) noexcept nogil:
    cdef uint64_t a = (<const uint64_t*>one)[0], b = (<const uint64_t*>other)[0]
    return (a > b) - (a < b)


cdef void sort_keys(uint64_t* keys, uint64_t count) noexcept nogil:
    qsort(keys, count, sizeof(uint64_t), compare)
