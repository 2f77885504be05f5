# What became of a call, and what the engine learns from it.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from engine._decision cimport number_t
from engine._fastpath cimport FastPath

cdef enum OutcomeKind:
    OUTCOME_ANSWERED = 1
    OUTCOME_ENDED = 2
    OUTCOME_FAILED = 3       # a final status >= 300 that was not the callee's refusal
    OUTCOME_REFUSED = 4      # the callee's own 603 or 607, or Reason: SIP;cause=607 in a BYE
    OUTCOME_COMPLAINT = 5
    OUTCOME_RINGING = 6      # the first 18x

cdef struct CallOutcome:
    number_t caller
    number_t callee
    uint16_t trunk
    uint16_t status          # final SIP status, 0 = unknown
    uint8_t kind             # OutcomeKind
    uint8_t released_by      # 0 unknown, 1 caller, 2 callee
    uint8_t category         # of a complaint: Category, CATEGORY_NONE = not said
    uint32_t setup_ms        # from the INVITE to the first 18x, 0 = there was none
    uint32_t ring_ms         # from the INVITE to the answer, or to the end of a call that nobody answered
    uint32_t talk_ms

# Refusals and complaints add to the reputation of the caller and its block, and to the memory of the pair.
cdef void observe_outcome(FastPath path, const CallOutcome* outcome, int64_t now_us) noexcept nogil
