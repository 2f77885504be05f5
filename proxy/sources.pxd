# What a worker knows of the addresses that send to it: how fast each one sends, and whether it proved to be there.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from proxy.sip.address cimport Address

# One address, whatever its ports: one cache line.
cdef struct Source:
    uint64_t key             # keyed hash of the address, 0 = free
    int64_t datagrams_ns     # schedules of its limits (see RateLimit)
    int64_t invites_ns
    int64_t answers_ns
    int64_t proven_until_us  # until then it counts as reachable at the address it sends from
    int64_t seen_us          # last request
    int64_t algorithm_us     # when its overload control algorithm was chosen
    uint8_t algorithm        # OverloadAlgorithm

cdef class Sources:
    cdef Source* sources
    cdef uint64_t buckets    # a power of two
    cdef uint64_t secret[2]
    cdef readonly uint64_t evictions

    # The record of this address, a fresh one if it is new.
    cdef Source* of(self, const Address* address) noexcept nogil
    # Its record, NULL if there is none.
    cdef Source* find(self, const Address* address) noexcept nogil
    cdef uint64_t key_of(self, const Address* address) noexcept nogil
