# The Via parameters of overload control (RFC 7339 section 4, RFC 7415 section 3.2): read, written, cut out.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from proxy.outbox cimport Writer
from proxy.sip.via cimport Via

cdef enum OverloadAlgorithm:
    ALGORITHM_NONE = 0
    ALGORITHM_LOSS = 1
    ALGORITHM_RATE = 2

cdef struct OverloadParameters:
    bint offered             # there is an `oc`
    int64_t value            # of `oc`, -1 = it has none
    int64_t validity_ms      # -1 = absent
    uint64_t sequence        # of `oc-seq`, in units of its fifth decimal; 0 = absent
    uint8_t algorithms       # bits: 1 << OverloadAlgorithm
    uint8_t preferred        # the first of them

# What the Via of a request or response says. False: one of the values cannot be read, and none of them counts.
cdef bint read_overload(const uint8_t* data, const Via* via, OverloadParameters* parameters) noexcept nogil
# Whether any Via value in data[start:end] may carry such a parameter.
cdef bint mentions_overload(const uint8_t* data, uint32_t start, uint32_t end) noexcept nogil
# data[start:end], one or more Via values, without these parameters.
cdef void put_without_overload(Writer* writer, const uint8_t* data, uint32_t start, uint32_t end) noexcept nogil
cdef void put_overload(
    Writer* writer, uint8_t algorithm, uint32_t value, uint32_t validity_ms, uint64_t sequence
) noexcept nogil
