# Calls in progress, from the decision to the BYE, and the events told of them.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.call_limits cimport CallLimits
from proxy.events cimport Event
from proxy.key_index cimport KeyIndex
from proxy.sip.address cimport Address
from proxy.sip.message cimport Message

cdef enum CallState:
    CALL_FREE = 0
    CALL_PENDING = 1         # forwarded, no final response yet
    CALL_ANSWERED = 2

cdef struct Call:
    Event event              # as told at the decision; becomes the event of its end
    uint64_t dialog          # key of its dialog once answered, else 0
    uint64_t caller_tag      # hash of the caller's From tag
    Address caller           # where its requests come from and answers go to
    Address callee           # where its INVITE went
    int64_t answered_us
    uint32_t previous        # in order of the answer
    uint32_t next
    uint16_t policy_trunk
    uint16_t trunk_limit     # caps it counts toward, NO_LIMIT = none
    uint16_t gateway_limit
    uint8_t caller_listener
    uint8_t callee_listener
    uint8_t state

cdef class Calls:
    cdef Call* calls
    cdef uint32_t* free_calls
    cdef uint32_t free_count
    cdef readonly uint32_t capacity
    cdef uint32_t oldest
    cdef uint32_t newest
    cdef KeyIndex dialogs
    cdef uint64_t secret[2]
    cdef CallLimits limits

    # 0 = no room and no answered call that could make room.
    cdef uint32_t open(self) noexcept nogil
    # The answered call that is open longest, 0 = none.
    cdef uint32_t longest(self) noexcept nogil
    cdef void close(self, uint32_t call) noexcept nogil
    # Files the call under the dialog of this 2xx.
    cdef void answer(self, uint32_t call, const Message* response, int64_t now_us) noexcept nogil
    # The call whose dialog a request belongs to, 0 = unknown.
    cdef uint32_t find(self, const Message* request) noexcept nogil
    cdef uint64_t tag_hash(self, const uint8_t* tag, uint32_t size) noexcept nogil
    cdef uint64_t dialog_of(self, const Message* message) noexcept nogil
