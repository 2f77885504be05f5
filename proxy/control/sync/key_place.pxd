# Which words are keys, and in which shard and bucket each of them belongs (`keys` has the same for Python).

from libc.stdint cimport uint8_t, uint64_t

from proxy.control.sync.blake2b cimport blake2b_64, store_be64
from proxy.control.sync.key_table cimport KeyTable

cdef enum:
    SHARDS = 64
    BUCKETS = 256
    FIRST_KIND = 1
    LAST_KIND = 8

cdef struct Place:
    uint8_t shard
    uint8_t bucket

cdef inline bint is_key(uint64_t word) noexcept nogil:
    return FIRST_KIND <= word >> 60 <= LAST_KIND

cdef inline Place place_of(uint64_t key) noexcept nogil:
    cdef uint8_t octets[8]
    cdef uint64_t hashed
    store_be64(octets, key)
    hashed = blake2b_64(octets, sizeof(octets))
    return Place(shard=<uint8_t>(hashed >> 56) & (SHARDS - 1), bucket=<uint8_t>(hashed >> 48))

# The keys of a shard's table, ascending. buckets: None = of all, else a collection.
cdef list keys_of(const KeyTable* table, object buckets)
