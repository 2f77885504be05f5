"""Sources: a table of fixed size from addresses to what they did, in buckets of four under a keyed hash.

A full bucket forgets the address whose limits have the least to remember, and a proven one last: whoever sends under
many addresses pushes out its own.
"""

from libc.string cimport memcpy, memset

from proxy.memory cimport allocate_array, free_array
from proxy.sip.address cimport address_from_python
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end

cdef enum:
    BUCKET = 4


cdef class Sources:
    """Room for `capacity` addresses, rounded up. secret: 16 bytes that nobody outside knows."""

    def __cinit__(self, int capacity, bytes secret):
        self.buckets = 1
        while self.buckets * BUCKET < <uint64_t>capacity:
            self.buckets *= 2
        self.sources = <Source*>allocate_array(self.buckets * BUCKET, sizeof(Source))
        if not self.sources:
            raise MemoryError("no memory for the addresses of senders")
        memcpy(self.secret, <const char*>secret, 16)

    def __dealloc__(self):
        free_array(self.sources, self.buckets * BUCKET, sizeof(Source))

    cdef uint64_t key_of(self, const Address* address) noexcept nogil:
        cdef KeyedHash hash_
        cdef uint64_t key
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, address.ip, 16)
        key = keyed_hash_end(&hash_)
        return key if key else 1

    cdef Source* find(self, const Address* address) noexcept nogil:
        cdef uint64_t key = self.key_of(address)
        cdef Source* bucket = &self.sources[(key & (self.buckets - 1)) * BUCKET]
        cdef int i
        for i in range(BUCKET):
            if bucket[i].key == key:
                return &bucket[i]
        return NULL

    cdef Source* of(self, const Address* address) noexcept nogil:
        cdef uint64_t key = self.key_of(address)
        cdef Source* bucket = &self.sources[(key & (self.buckets - 1)) * BUCKET]
        cdef Source* least = bucket
        cdef int i
        for i in range(BUCKET):
            if bucket[i].key == key:
                return &bucket[i]
        for i in range(1, BUCKET):
            if standing(&bucket[i]) < standing(least):
                least = &bucket[i]
        self.evictions += least.key != 0
        memset(least, 0, sizeof(Source))
        least.key = key
        return least

    def proven_until_us(self, str ip):
        """Until when this address counts as proven, 0 = it is unknown; for tests and tools."""
        cdef Address address
        address_from_python(ip, 0, &address)
        cdef const Source* source = self.find(&address)
        return source.proven_until_us if source != NULL else 0


# How much would be lost with this record: the latest time that it says anything about, free ones first.
cdef inline int64_t standing(const Source* source) noexcept nogil:
    cdef int64_t latest_us = max(source.datagrams_ns, max(source.invites_ns, source.answers_ns)) // 1000
    if source.key == 0:
        return -1
    return max(latest_us, max(source.proven_until_us, source.algorithm_us))
