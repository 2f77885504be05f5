"""Methods that a trunk may not use outside a dialog.

A proxy must not refuse a method because it does not know it (RFC 3261 section 16.3), but what a call gateway has no use
for only serves those who mean harm. Such methods are denied by name, whether the parser knows them or not.
"""

from libc.string cimport memcmp

from proxy.sip.message cimport METHOD_OTHER, method_of


cdef bint is_denied(const DeniedMethods* denied, const Message* message) noexcept nogil:
    cdef const MethodName* name
    cdef int i
    if message.method != METHOD_OTHER:
        return denied.known >> message.method & 1
    for i in range(denied.name_count):
        name = &denied.names[i]
        if name.size == message.method_name.size and (
            memcmp(name.data, message.data + message.method_name.start, name.size) == 0
        ):
            return True
    return False


cdef int deny_method(DeniedMethods* denied, bytes name) except -1:
    cdef uint8_t method = method_of(name, <uint32_t>len(name))
    if method != METHOD_OTHER:
        denied.known |= <uint32_t>1 << method
        return 0
    if denied.name_count == MAX_NAMED_METHODS:
        raise ValueError(f"at most {MAX_NAMED_METHODS} methods without a rule of their own can be denied")
    denied.names[denied.name_count].data = name
    denied.names[denied.name_count].size = <uint32_t>len(name)
    denied.name_count += 1
    return 0
