# Digests: what two nodes compare to find where they differ.

from libc.stdint cimport uint64_t

from proxy.control.sync.key_place cimport BUCKETS, SHARDS, Place

cdef class Digest:
    cdef uint64_t* buckets   # SHARDS * BUCKETS, each the XOR of its entries' hashes
    cdef uint64_t sums[SHARDS]

cdef inline void toggle_hash(Digest digest, Place place, uint64_t hashed) noexcept nogil:
    digest.buckets[place.shard * BUCKETS + place.bucket] ^= hashed
    digest.sums[place.shard] ^= hashed
