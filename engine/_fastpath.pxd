# The order of decision, for other native modules.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport Attempt, Verdict, number_t
from engine._image cimport MAX_LIMITS, ImageRecord, ImageTrunk, ImageView, PolicyImage
from engine._rate_limiter cimport RateLimiter
from engine._reputation cimport ReputationCache
from engine._siphash cimport SipKey
from engine._subscriber_will cimport SubscriberWill
from engine._table cimport Table

cdef enum OutcomeKind:
    OUTCOME_ANSWERED = 1
    OUTCOME_ENDED = 2
    OUTCOME_FAILED = 3       # a final status >= 300 that was not the callee's refusal
    OUTCOME_REFUSED = 4      # the callee's own 603 or 607, or Reason: SIP;cause=607 in a BYE
    OUTCOME_COMPLAINT = 5

cdef struct CallOutcome:
    number_t caller
    number_t callee
    uint16_t trunk
    uint16_t status          # final SIP status, 0 = unknown
    uint8_t kind             # OutcomeKind
    uint8_t released_by      # 0 unknown, 1 caller, 2 callee
    uint32_t ring_ms
    uint32_t talk_ms

cdef enum:
    MAX_TRACE = 64           # things one explanation can show

cdef enum Seen:
    SEEN_REASON = 0
    SEEN_LIMIT = 1           # value: 1 = one more call conforms
    SEEN_POINTS = 2          # value: points of the number or block
    SEEN_COMPLAINTS = 3

cdef struct TraceEntry:
    uint16_t rule
    uint16_t seen            # Seen
    int64_t value

cdef struct Trace:
    int count
    TraceEntry entries[MAX_TRACE]

# One attempt on its way through the order of decision.
cdef struct Decision:
    const Attempt* attempt
    const ImageTrunk* trunk
    const uint64_t* in_force         # the trunk's row of bits, one a rule
    const ImageRecord* caller        # what lists and prefix rules say of it
    const ImageRecord* callee
    Verdict* verdict
    Trace* trace                     # NULL unless explaining
    int64_t now_us
    uint64_t limit_keys[MAX_LIMITS]  # 0 = the limit does not apply
    number_t block
    int score
    int observed_score               # with the points of rules that only observe
    uint16_t observed_rule
    uint16_t class_rule              # that names the class of the caller's number
    uint64_t pair                    # the callee and the caller's block; 0 = the caller has no number
    bint count
    bint numbered                    # the caller has a number to know it by
    bint protected_caller
    bint allowed
    bint consented                   # the callee has agreed to calls of this caller
    bint settled

cdef class Screener:
    cdef readonly PolicyImage image
    cdef readonly object tables
    cdef ImageView policy
    cdef Table reputation
    cdef Table limiter
    cdef SubscriberWill wills
    cdef SipKey key
    cdef uint64_t sequence
    cdef object trunk_indices        # dict: name -> index
    cdef list plans                  # DialPlan of each trunk

    # Decides and counts. Never raises, allocates nothing, takes no lock.
    cdef void screen_attempt(self, const Attempt* attempt, int64_t now_us, Verdict* verdict) noexcept nogil
    cdef void observe_outcome(self, const CallOutcome* outcome, int64_t now_us) noexcept nogil
    cdef void prepare(self, Decision* decision, const Attempt* attempt, int64_t now_us, Verdict* verdict) noexcept nogil
    cdef void decide(self, Decision* decision) noexcept nogil
    # At most 64 attempts: all memory fetches first, then the decisions.
    cdef void screen_group(
        self, const Attempt* attempts, Py_ssize_t count, int64_t now_us, Verdict* verdicts
    ) noexcept nogil
