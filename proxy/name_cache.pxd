# Names on the call path and where they lead: what is known already, and what to ask the resolver. Nothing here waits.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.sip.address cimport Address

cdef enum:
    MAX_PLACES = 8           # of one name; RFC 3263 section 4.3 wants more than one
    MAX_NAME = 253
    ANY_TRANSPORT = 255
    MAX_QUESTIONS = 256

# What is asked: a host of a URI with what the URI says of port and transport (RFC 3263 section 4).
cdef struct NameQuery:
    const uint8_t* host
    uint32_t size
    uint16_t port            # 0 = not said
    uint8_t transport        # Transport, ANY_TRANSPORT = not said
    uint8_t secure           # of a SIPS URI

cdef struct Place:
    Address address
    uint8_t transport        # Transport

cdef struct NameEntry:
    uint64_t key             # 0 = free
    int64_t expires_us
    int64_t used_us
    int64_t asked_us         # when the question was put; 0 = none is open
    Place places[MAX_PLACES] # in the order in which they are tried
    uint8_t count            # 0 = leads nowhere
    uint8_t failed           # bits of the places that a request failed at since the answer came: they are tried last
    uint8_t known            # False: never answered

cdef struct Question:
    uint64_t key
    uint16_t port
    uint8_t transport
    uint8_t secure
    uint8_t size
    uint8_t host[MAX_NAME]

cdef class NameCache:
    cdef NameEntry* entries
    cdef uint32_t mask       # of buckets
    cdef Question questions[MAX_QUESTIONS]
    cdef uint32_t first
    cdef uint32_t waiting
    cdef uint64_t secret[2]

    cdef uint64_t key_of(self, const NameQuery* query) noexcept nogil
    # What is known of the name, NULL = nothing. What is missing or too old is asked for.
    cdef const NameEntry* find(self, const NameQuery* query, uint64_t key, int64_t now_us) noexcept nogil
    # What was said of the name last, NULL = nothing. Nobody is asked.
    cdef NameEntry* known(self, uint64_t key) noexcept nogil
    # The place to try next of those that are not in `tried`, -1 = none.
    cdef int next_place(self, const NameEntry* entry, uint64_t tried) noexcept nogil
    cdef NameEntry* slot_of(self, uint64_t key) noexcept nogil
    cdef bint ask(self, const NameQuery* query, NameEntry* entry, int64_t now_us) noexcept nogil
    cdef int learn(self, uint64_t key, object destinations, double ttl_s, int64_t now_us) except -1
