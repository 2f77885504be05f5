# Who calls whom: the identities a request presents (RFC 3325 section 5, RFC 3323, RFC 5079 section 3).

from libc.stdint cimport uint8_t

from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message

cdef enum Privacy:
    PRIVACY_ID = 1           # RFC 3325 section 9.3
    PRIVACY_USER = 2         # RFC 3323 section 4.2
    PRIVACY_HISTORY = 4      # RFC 7044 section 10.1
    PRIVACY_NONE = 8

# User parts come with their parameters; 0 bytes = none.
cdef struct Identity:
    Slice presented          # of From
    Slice asserted           # of the P-Asserted-Identity, if its sender is trusted
    bint anonymous           # From names nobody
    bint withheld            # the caller wants the callee not to know its identity (RFC 5079 section 3)

cdef void read_identity(const Message* message, bint trusted, Identity* identity) noexcept nogil
# What the Privacy headers ask for, as bits of Privacy.
cdef uint8_t privacy_of(const Message* message) noexcept nogil
# User part of the Request-URI: the called number as it stands.
cdef Slice called_user(const Message* message) noexcept nogil
