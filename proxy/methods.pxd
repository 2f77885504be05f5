# Methods that a trunk may not use outside a dialog.

from libc.stdint cimport uint8_t, uint32_t

from proxy.sip.message cimport Message

cdef enum:
    MAX_NAMED_METHODS = 8    # denied ones that the parser does not know

cdef struct MethodName:
    const uint8_t* data
    uint32_t size

cdef struct DeniedMethods:
    uint32_t known           # bits by Method
    MethodName names[MAX_NAMED_METHODS]
    int name_count

cdef bint is_denied(const DeniedMethods* denied, const Message* message) noexcept nogil
# Denies one more. The bytes must outlive `denied`.
cdef int deny_method(DeniedMethods* denied, bytes name) except -1
