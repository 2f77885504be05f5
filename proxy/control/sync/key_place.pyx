"""Which words are keys, and where they belong: the keys of some buckets."""

from libc.stdlib cimport free, malloc

from proxy.control.sync.key_table cimport next_record, sort_keys


cdef list keys_of(const KeyTable* table, object buckets):
    cdef bint wanted[BUCKETS]
    cdef bint everything = buckets is None
    cdef uint64_t i, at = 0, count = 0
    cdef uint64_t* record
    cdef uint64_t* keys = <uint64_t*>malloc(max(table.count, <uint64_t>1) * sizeof(uint64_t))
    if keys == NULL:
        raise MemoryError
    try:
        for i in range(BUCKETS):
            wanted[i] = not everything and i in buckets
        while True:
            record = <uint64_t*>next_record(table, &at)
            if record == NULL:
                break
            if everything or wanted[place_of(record[0]).bucket]:
                keys[count] = record[0]
                count += 1
        sort_keys(keys, count)
        return [keys[i] for i in range(count)]
    finally:
        free(keys)
