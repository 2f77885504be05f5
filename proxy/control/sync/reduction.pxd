# What a region says of a metric of a key: a capped sum, who contributed, and the largest contributions.

from libc.stdint cimport uint32_t, uint64_t

from proxy.control.sync.evidence_runs cimport Slots

cdef enum:
    INDEX_BITS = 5           # of an origin in its region
    MOST_LARGEST = 8         # F

cdef struct Contribution:    # an origin's slots in one of its lives
    uint32_t place           # the region's number << INDEX_BITS | the origin's index in it
    Slots slots

cdef struct Share:           # what an origin of a region has contributed, capped
    uint32_t q
    uint32_t index

cdef struct Largest:         # descending by q, then by index
    uint32_t count
    Share shares[MOST_LARGEST]

cdef struct RegionSum:
    uint32_t region
    uint32_t metric
    uint32_t q
    uint32_t origins         # bitmap
    Largest largest

# Puts a share among the `most` largest, if it belongs there.
cdef void keep_share(Largest* largest, Share share, uint32_t most) noexcept nogil
# By place.
cdef void sort_contributions(Contribution* contributions, uint64_t count) noexcept nogil
# A metric's sum over contributions of one region, sorted. cap_q: what one origin counts for at most. f: how many of the
# largest to keep. epochs: room for `count` words. No origin has the metric: `origins` is 0.
cdef RegionSum sum_region(
    const Contribution* contributions, uint64_t count, uint32_t metric, uint32_t cap_q, uint32_t f, uint32_t* epochs
) noexcept nogil
