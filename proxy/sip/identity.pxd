# Who calls whom: the identities a request presents (RFC 3325 section 5, RFC 3323, RFC 5079 section 3).

from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message

cdef struct Identity:
    Slice user               # user part of the caller's URI, with its parameters; 0 bytes = none
    bint anonymous           # the caller withheld its identity
    bint privacy             # a Privacy header other than `none`
    bint mismatch            # P-Asserted-Identity and From name different users

# The trusted P-Asserted-Identity, else From.
cdef void caller_identity(const Message* message, bint trusted, Identity* identity) noexcept nogil
# User part of the Request-URI: the called number as it stands.
cdef Slice called_user(const Message* message) noexcept nogil
