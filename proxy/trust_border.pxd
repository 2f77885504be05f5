# The trust border: which headers of a message may cross from its sender to its receiver (RFC 3325 sections 5 to 7).

from libc.stdint cimport int32_t, uint8_t, uint32_t

from proxy.outbox cimport Writer
from proxy.sip.message cimport Message

# What a peer may say that others have to believe.
cdef enum Right:
    RIGHT_ASSERT = 1         # who calls, what it is charged to, how a call was judged: everything a trusted peer may
    RIGHT_SIGN = 2           # Identity (RFC 8224)
    RIGHT_DIVERT = 4         # Diversion, History-Info
    RIGHT_PRIORITY = 8       # Resource-Priority (RFC 4412)
    RIGHTS_OF_TRUSTED = 15

# One message on its way across.
cdef struct Border:
    uint8_t rights           # of the sender
    bint to_trusted
    bint hides_identity      # Privacy: id, toward a peer that is not trusted
    bint hides_history       # Privacy: history, likewise
    bint out_of_dialog       # a request that opens something new: Reason has no place there (RFC 3326 section 2)
    bint filters_asserted    # values of P-Asserted-Identity go, or one gets a label
    bint cuts_verstat        # From carries a verstat parameter that the sender may not set
    int32_t asserted_sip     # offset of the one sip or sips value that stays, -1 = none
    int32_t asserted_tel     # likewise
    const uint8_t* label     # escaped text before the display name in P-Asserted-Identity
    uint32_t label_size

# `label` may be NULL.
cdef void open_border(
    Border* border, const Message* message, uint8_t rights, bint to_trusted, const uint8_t* label, uint32_t label_size
) noexcept nogil
# Whether this header row cannot cross as it stands.
cdef bint changes_at_border(const Border* border, const Message* message, int index) noexcept nogil
# What crosses of such a row: nothing, or the row without what must not.
cdef void write_across(Writer* writer, const Border* border, const Message* message, int index) noexcept nogil
