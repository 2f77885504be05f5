# URIs of SIP requests and identity headers (RFC 3261 section 19.1, RFC 3966), as slices of the message.

from libc.stdint cimport uint8_t, uint32_t

from proxy.sip.grammar cimport Slice

cdef enum Scheme:
    SCHEME_OTHER = 0
    SCHEME_SIP = 1
    SCHEME_SIPS = 2
    SCHEME_TEL = 3
    SCHEME_URN_SERVICE = 4   # urn:service:... (RFC 5031)

cdef struct Uri:
    Slice whole
    Slice user               # sip: user part with its parameters, no password; tel: number with parameters
    Slice host               # IPv6 with brackets
    Slice parameters         # behind the first ';' of the URI, without it
    int port                 # -1 = none
    uint8_t scheme           # Scheme
    uint8_t has_headers      # a `?` part

# Reads the URI in data[start:end]. False: malformed.
cdef bint parse_uri(const uint8_t* data, uint32_t start, uint32_t end, Uri* uri) noexcept nogil
# Scheme of the URI in a slice.
cdef uint8_t scheme_at(const uint8_t* data, Slice uri) noexcept nogil
# Value of parameter `name` (lower case) among `;`-separated parameters. False: absent.
cdef bint find_parameter(
    const uint8_t* data, Slice parameters, const char* name, uint32_t name_size, Slice* value
) noexcept nogil
