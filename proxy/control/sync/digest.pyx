"""Digests: what two nodes compare to find where they differ. 64 shards of 256 buckets: each the XOR of hashes.

An entry that changes is taken out and put in again, so a digest is always current and costs two hashes a change.
"""

cimport cython
from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free

from proxy.control.sync.blake2b cimport blake2b_64, store_be64

ROOTS_BYTES = 8 * SHARDS
SHARD_BYTES = 8 * BUCKETS


def entry_hash(const uint8_t[::1] entry not None):
    return blake2b_64(&entry[0], entry.shape[0])


@cython.final
cdef class Digest:
    def __cinit__(self):
        self.buckets = <uint64_t*>calloc(SHARDS * BUCKETS, sizeof(uint64_t))
        if self.buckets == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.buckets)

    def toggle(self, place, entry):
        cdef Place at = Place(shard=place[0], bucket=place[1])
        toggle_hash(self, at, entry_hash(entry))

    def roots(self):
        return big_endian(self.sums, SHARDS)

    def shard(self, int shard):
        return big_endian(self.buckets + (shard & (SHARDS - 1)) * BUCKETS, BUCKETS)

    def different_shards(self, roots):
        return different(self.roots(), roots)

    def different_buckets(self, int shard, buckets):
        return different(self.shard(shard), buckets)


def total(Digest digest not None):
    cdef uint64_t whole = 0
    cdef int i
    for i in range(SHARDS):
        whole ^= digest.sums[i]
    return whole


cdef bytes big_endian(const uint64_t* words, int count):
    written = bytearray(8 * count)
    cdef uint8_t* octets = written
    cdef int i
    for i in range(count):
        store_be64(octets + 8 * i, words[i])
    return bytes(written)


cdef list different(bytes ours, bytes theirs):
    return [at // 8 for at in range(0, len(ours), 8) if ours[at : at + 8] != theirs[at : at + 8]]
