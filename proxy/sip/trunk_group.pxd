# Trunk groups: `tgrp` and `trunk-context` in the user part of Contact (RFC 4904).

from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message

# The originating trunk group that a request names. False: none.
cdef bint originating_group(const Message* message, Slice* group, Slice* context) noexcept nogil
