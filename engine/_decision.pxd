# The vocabulary of a decision, shared by every native module: numbers, one call attempt, one verdict.

from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

# A number as one word: the kind in the top 4 bits, below it the decimal of "1" + digits (the leading 1 keeps
# zeros and length), 15 digits at most. ANONYMOUS and INVALID carry no digits.
ctypedef uint64_t number_t

cdef enum NumberKind:
    KIND_NONE = 0          # no number at all
    KIND_NUMBER = 1        # E.164, country code first
    KIND_PREFIX = 2        # a block of numbers: the digits all of them begin with
    KIND_SHORT = 3         # country code + national short code: CN:95588 -> 8695588
    KIND_ANONYMOUS = 14    # identity withheld
    KIND_INVALID = 15      # not a number of any plan

cdef enum Action:
    ACTION_ACCEPT = 0
    ACTION_TAG = 1
    ACTION_DIVERT = 2
    ACTION_REJECT = 3
    ACTION_DROP = 4

cdef enum Basis:
    BASIS_NONE = 0
    BASIS_ANALYTICS = 1
    BASIS_DNO = 2
    BASIS_INVALID = 3
    BASIS_SUBSCRIBER = 4
    BASIS_POLICY = 5
    BASIS_OVERLOAD = 6
    BASIS_SECURITY = 7
    BASIS_COUNT = 8

cdef enum Category:        # what a nuisance caller is after: fixed, so that it means the same on every node
    CATEGORY_NONE = 0      # not known
    CATEGORY_FRAUD = 1
    CATEGORY_SALES = 2
    CATEGORY_LOAN = 3
    CATEGORY_DEBT = 4
    CATEGORY_ESTATE = 5
    CATEGORY_HARASSMENT = 6
    CATEGORY_SILENT = 7
    CATEGORY_OTHER = 8
    CATEGORY_COUNT = 9

cdef enum AttemptFlag:
    ATTEMPT_EMERGENCY = 1          # the Request-URI is urn:service:sos or the like
    ATTEMPT_IDENTITY_MISMATCH = 2  # From and the trusted P-Asserted-Identity name different numbers
    ATTEMPT_PRIVACY = 4            # the caller asked for privacy (RFC 3323)

cdef enum:
    MAX_REASONS = 8
    NO_RULE = 0xFFFF
    NO_LABEL = 0xFF
    NO_DIVERT = 0xFF
    ASKED_IN_VAIN = 0x80   # of something that only observes

cdef struct Attempt:
    number_t caller
    number_t callee
    uint64_t source        # the sender's address, hashed; 0 = unknown
    uint64_t fingerprint   # the shape of the request, hashed; 0 = unknown
    uint16_t trunk         # index into the policy image's trunks
    uint16_t flags         # AttemptFlag

cdef struct Reason:
    uint16_t name          # index into the policy image's reason names
    int16_t points

cdef struct Verdict:
    uint8_t action         # Action in force (after `observe`)
    uint8_t basis          # Basis
    uint8_t label          # index into the policy image's labels, NO_LABEL = none
    uint8_t observed       # Action that rules in observe mode would have taken
    uint16_t status        # SIP status to answer; 0 when the call goes on
    uint16_t score         # 0..1000
    uint16_t rule          # index into the policy image's rules, NO_RULE = none
    uint8_t reasons_count
    uint8_t number_class   # of the caller's number, index into engine.packs.CLASSES; 0xFF = not asked
    Reason reasons[MAX_REASONS]
    uint8_t asked[MAX_REASONS]     # by each reason: Action, with ASKED_IN_VAIN
    uint16_t observed_rule # the first that asked for `observed`, NO_RULE = none
    uint8_t divert         # index into the policy's diverts, NO_DIVERT = none
    uint8_t reserved
    uint64_t redress       # unguessable; 0 when the call was accepted untouched
