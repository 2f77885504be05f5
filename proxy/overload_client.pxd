# Overload control as the client of a next hop: how much of what should go there may (RFC 7339 section 5, RFC 7415).

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from proxy.overload_parameters cimport OverloadParameters
from proxy.sip.address cimport Address

# What one next hop asked for.
cdef struct Control:
    Address address
    int64_t until_us         # end of its validity; 0 = never heard of
    uint64_t sequence        # oc-seq of what is in force
    int64_t value            # percent to withhold, or requests per second
    double first_share       # of the requests toward it those of category 1
    double bucket_ns         # X of RFC 7415 section 3.5, as of `filled_us`
    int64_t filled_us        # LCT
    uint8_t algorithm        # OverloadAlgorithm

cdef class OverloadClient:
    cdef Control* controls
    cdef int64_t latest_us   # when the last control ends
    cdef uint64_t random

    # Whether any next hop has control in force.
    cdef bint is_active(self, int64_t now_us) noexcept nogil
    # What a response from this address says of it.
    cdef void note(self, const Address* address, const OverloadParameters* said, int64_t now_us) noexcept nogil
    # Counts a request toward this address; False: it must not be sent there. `priority`: category 2, which gives way
    # only when nothing of category 1 is left.
    cdef bint admits(self, const Address* address, bint priority, int64_t now_us) noexcept nogil
    cdef Control* find(self, const Address* address) noexcept nogil
    cdef Control* open(self, const Address* address) noexcept nogil
    cdef double draw(self) noexcept nogil
