# The top Via of a message (RFC 3261 sections 20.42, 18.2; RFC 3581).

from libc.stdint cimport uint8_t, uint32_t

from proxy.sip.grammar cimport Slice

cdef struct Via:
    Slice whole              # the first via-parm, without the comma behind it
    Slice transport
    Slice host               # sent-by host, IPv6 with brackets
    Slice branch
    Slice received           # the whole `;received=...`, 0 bytes if absent
    Slice rport              # the whole `;rport[=...]`, 0 bytes if absent
    int port                 # sent-by port, -1 = none
    uint8_t rport_empty      # `;rport` without a value: the client asks for RFC 3581
    uint8_t has_overload     # `oc` or one of its kin (RFC 7339 section 4)
    uint8_t is_last          # no comma behind it: it is alone in its header

# Reads the first via-parm of data[start:end]. False: malformed.
cdef bint parse_via(const uint8_t* data, uint32_t start, uint32_t end, Via* via) noexcept nogil
# True if the branch has RFC 3261's cookie and something behind it.
cdef bint has_cookie(const uint8_t* data, const Via* via) noexcept nogil
