"""From evidence slots to what a region says of a key: capped sums, who contributed, and the largest contributions.

No origin counts for more than the cap, and those that judge subtract the F largest: F members that lie together add
nothing that an honest one has not said. A cap c * 2^((t - t0) / H) grows, and the smaller of two growing values grows,
so the sums are monotone and join by the larger value.
"""

from libc.stdlib cimport qsort
from libc.string cimport memset

from proxy.control.sync.log_sums cimport sum_of

cdef enum:
    REGION_SIZE = 1 << INDEX_BITS


cdef void keep_share(Largest* largest, Share share, uint32_t most) noexcept nogil:
    cdef uint32_t at = largest.count
    while at and is_larger(share, largest.shares[at - 1]):
        if at < most:
            largest.shares[at] = largest.shares[at - 1]
        at -= 1
    if at < most:
        largest.shares[at] = share
        largest.count = min(largest.count + 1, most)


cdef inline bint is_larger(Share one, Share other) noexcept nogil:
    return one.q > other.q or (one.q == other.q and one.index > other.index)


cdef void sort_contributions(Contribution* contributions, uint64_t count) noexcept nogil:
    cdef uint64_t i
    for i in range(1, count):
        if contributions[i].place < contributions[i - 1].place:
            qsort(contributions, count, sizeof(Contribution), by_place)
            return


cdef int by_place(const void* one, const void* other) noexcept nogil:
    cdef uint32_t a = (<const Contribution*>one).place, b = (<const Contribution*>other).place
    return (a > b) - (a < b)


cdef RegionSum sum_region(
    const Contribution* contributions, uint64_t count, uint32_t metric, uint32_t cap_q, uint32_t f, uint32_t* epochs
) noexcept nogil:
    cdef RegionSum total
    cdef uint32_t capped[REGION_SIZE]
    cdef uint32_t present = 0, of_origin
    cdef uint64_t i = 0
    cdef Share share
    memset(&total, 0, sizeof(RegionSum))
    total.region = contributions[0].place >> INDEX_BITS
    total.metric = metric
    while i < count:
        share.index = contributions[i].place & (REGION_SIZE - 1)
        of_origin = 0
        while i < count and contributions[i].place & (REGION_SIZE - 1) == share.index:
            if contributions[i].slots.present >> metric & 1:
                epochs[of_origin] = contributions[i].slots.q[metric]
                of_origin += 1
            i += 1
        if of_origin:
            share.q = capped[present] = min(sum_of(epochs, of_origin), cap_q)
            present += 1
            total.origins |= <uint32_t>1 << share.index
            keep_share(&total.largest, share, f)
    total.q = sum_of(capped, present)
    return total
