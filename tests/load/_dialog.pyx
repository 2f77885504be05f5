"""What a calling endpoint learns from the 2xx of its INVITE: the dialog. Loose routers only: a Route without `lr` is
treated like one with it.
"""

from tests.load._datagrams cimport is_loopback
from tests.load._message cimport MAX_LINES, put, put_slice, uri_address, uri_in


cdef int learn_dialog(Dialog *dialog, Message *message, const Address *proxy) noexcept nogil:
    cdef Slice target = uri_in(message.contact), first
    cdef Slice values[MAX_LINES]
    cdef int i, count = split_routes(message, values)
    cdef char *at = dialog.routes
    if not 0 < target.length <= TARGET_BYTES or message.callee.length > CALLEE_BYTES or count < 0:
        return -1
    dialog.target_length = put_slice(dialog.target, target) - dialog.target
    dialog.callee_length = put_slice(dialog.callee, message.callee) - dialog.callee
    dialog.labelled = is_labelled(message.callee)
    for i in range(count - 1, -1, -1):
        if at + values[i].length + 11 > dialog.routes + ROUTES_BYTES:
            return -1
        at = put(at, b"Route: ", 7) if i == count - 1 else put(at, b", ", 2)
        at = put_slice(at, values[i])
    if count:
        at = put(at, b"\r\n", 2)
    dialog.routes_length = at - dialog.routes
    first = uri_in(values[count - 1]) if count else target
    if uri_address(first, &dialog.next_hop) < 0:
        dialog.next_hop = proxy[0]                # a name: the proxy that the call goes through
    return 0 if is_loopback(&dialog.next_hop) else -1


cdef bint is_labelled(Slice callee) noexcept nogil:
    """Whether the harness's own answering endpoint saw a label: its To tag says so."""
    cdef const char *mark = b";tag=labelled."
    cdef size_t i, length = 14
    if callee.length < length:
        return False
    for i in range(callee.length - length + 1):
        if callee.start[i] == c";":
            return equal_bytes(callee.start + i, mark, length)
    return False


cdef bint equal_bytes(const char *a, const char *b, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if a[i] != b[i]:
            return False
    return True


cdef int split_routes(Message *message, Slice *values) noexcept nogil:
    """The Record-Route values in their order: several may share a line. How many, or -1 when they are too many."""
    cdef int line, count = 0
    cdef const char *at
    cdef const char *end
    cdef const char *stop
    for line in range(message.record_routes_count):
        at = message.record_routes[line].start
        end = at + message.record_routes[line].length
        while at < end:
            if count == MAX_LINES:
                return -1
            stop = value_end(at, end)
            values[count].start = at
            values[count].length = stop - at
            count += 1
            at = stop
            while at < end and at[0] in (c",", c" ", c"\t"):
                at += 1
    return count


cdef const char *value_end(const char *at, const char *end) noexcept nogil:
    """The comma that ends a name-addr value, or `end`: within angle brackets or quotes a comma separates nothing."""
    cdef bint quoted = False, bracketed = False
    while at < end and (quoted or bracketed or at[0] != c","):
        if at[0] == c'"':
            quoted = not quoted
        elif not quoted and at[0] in (c"<", c">"):
            bracketed = at[0] == c"<"
        at += 1
    return at
