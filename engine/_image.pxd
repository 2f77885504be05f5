# The compiled policy: one immutable block of memory, the same in a file and in every process that maps it.
#
# header | section table | sections. Native modules read the structs below through the pointers of an ImageView.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport BASIS_COUNT
from engine._trie_layout cimport TrieView

cdef enum:
    MAX_LIMITS = 16          # windows of limits that count on one trunk
    RULE_WORD_BITS = 64
    MAX_CLASSES = 32
    HIGH_FREQUENCY_LEVELS = 4
    WEEK_WORDS = 6           # of one bit a half hour
    CALLEES_ZONE = 0xFF      # hours by the callee's local time
    NO_HOURS = 0
    HOURS_OF_TRUNK = 0xFF    # the calling hours of the trunk's country
    SEGMENT_COMMERCIAL = 0x8000   # beside the Segments of _subscribers.pxd: calls of such numbers sell

# Places of the sections in an image.
cdef enum:
    SECTION_NAMES = 0        # msgpack: what Python and people call things
    SECTION_SETTINGS = 1
    SECTION_TRUNKS = 2
    SECTION_RULES = 3
    SECTION_IN_FORCE = 4
    SECTION_LIMITS = 5
    SECTION_RECORDS = 6
    SECTION_HITS = 7
    SECTION_CALLERS = 8
    SECTION_CALLERS_SHORT = 9
    SECTION_CALLEES = 10
    SECTION_CALLEES_SHORT = 11
    SECTION_ORIGINS = 12
    SECTION_OFFSETS = 13     # of local times from UTC
    SECTION_ZONES = 14       # the first is the subscribers'
    SECTION_HOURS = 15       # the first is none
    SECTION_CONDITIONAL = 16 # rules without numbers, by trunk
    SECTION_HOLIDAYS = 17    # of all hours: local days since 1970, int32
    SECTION_COUNT = 18

# Where a list or prefix rule speaks in the order of decision.
cdef enum Level:
    LEVEL_NEVER_BLOCK = 0
    LEVEL_PROTECTED = 1
    LEVEL_ORDER = 2
    LEVEL_ALLOW = 3
    LEVEL_DENY = 4
    LEVEL_DNO = 5
    LEVEL_PREFIX = 6         # prefix rules that reject or tag
    LEVEL_SCORE = 7          # prefix rules that add points
    LEVEL_TAG = 8
    LEVEL_OWN = 9            # the trunk's own numbers
    LEVEL_CLASS = 10         # what class of number it is
    LEVEL_ZONE = 11          # what its local time is

cdef enum Outcome:
    OUTCOME_REJECT = 0
    OUTCOME_TAG = 1
    OUTCOME_SCORE = 2
    OUTCOME_ACCEPT = 3
    OUTCOME_OWN = 4          # origin: accepted if the number is the trunk's own, else rejected
    OUTCOME_DIVERT = 5
    OUTCOME_DROP = 6

cdef enum LimitKey:
    LIMIT_CALLER = 0
    LIMIT_CALLEE = 1
    LIMIT_PAIR = 2
    LIMIT_TRUNK = 3
    LIMIT_BLOCK_10 = 4
    LIMIT_BLOCK_100 = 5
    LIMIT_BLOCK_1000 = 6
    LIMIT_SOURCE = 7
    LIMIT_FINGERPRINT = 8
    LIMIT_BLOCK_PAIR = 9

cdef enum Mode:
    MODE_OFF = 0
    MODE_OBSERVE = 1
    MODE_ENFORCE = 2

# Names that are no operator's: the first rules of every image.
cdef enum BuiltinRule:
    RULE_EMERGENCY = 0
    RULE_IDENTITY_MISMATCH = 1
    RULE_ANONYMOUS = 2
    RULE_INVALID_NUMBER = 3
    RULE_REPUTATION = 4
    RULE_BLOCK_REPUTATION = 5
    RULE_SCORE = 6
    RULE_FOREIGN_NUMBER = 7
    RULE_SUBSCRIBER_ALLOW = 8
    RULE_SUBSCRIBER_CONSENT = 9
    RULE_SUBSCRIBER_DENY = 10
    RULE_SUBSCRIBER_ANONYMOUS = 11
    RULE_SUBSCRIBER_CATEGORY = 12
    RULE_SUBSCRIBER_SEGMENT = 13
    RULE_SUBSCRIBER_UNKNOWN = 14
    RULE_SUBSCRIBER_DO_NOT_CALL = 15
    RULE_SUBSCRIBER_QUIET_HOURS = 16
    RULE_SUBSCRIBER_HIGH_FREQUENCY = 17
    RULE_SUBSCRIBER_PAIR = 18
    RULE_REGULATOR_ORDER = 19
    RULE_BLOCK_ORDER = 20
    RULE_ALLOW_ORDER = 21
    RULE_NEVER_BLOCK_ORDER = 22
    RULE_TRUNK_ORDER = 23
    BUILTIN_RULES = 24

# Classes that no form names; the others are numbered in engine.packs.
cdef enum NumberClass:
    CLASS_INVALID = 0
    CLASS_UNALLOCATED = 1
    CLASS_FOREIGN = 2
    CLASS_ANONYMOUS = 3
    NO_CLASS = 0xFF
    CLASS_NOT_ASKED = 0xFE

cdef struct ImageSettings:
    uint32_t rule_words      # 64-bit words of one trunk's row of SECTION_IN_FORCE
    uint32_t refused_points
    uint32_t complaint_points
    uint32_t block_permille  # share of the points that the caller's block of 100 inherits
    uint32_t pair_points     # from which a callee is spared the callers that it has refused; 0 = never
    uint32_t reserved
    uint64_t high_frequency_hash
    int64_t high_frequency_increment_us[HIGH_FREQUENCY_LEVELS]
    int64_t high_frequency_tolerance_us[HIGH_FREQUENCY_LEVELS]
    uint16_t segments[MAX_CLASSES]   # of each class of numbers

cdef struct ImageTrunk:
    uint64_t name_hash       # the subject of limits by trunk
    uint16_t status[BASIS_COUNT]
    uint16_t anonymous_status
    uint16_t tag_from        # score from which a call is tagged ...
    uint16_t divert_from     # ... diverted ...
    uint16_t reject_from     # ... and rejected
    uint16_t limits_count
    uint16_t conditional_count
    uint32_t limits_start    # in SECTION_LIMITS
    uint32_t conditional_start       # in SECTION_CONDITIONAL: rule indices, uint16
    int16_t invalid_points
    int16_t mismatch_points
    uint16_t reputation_permille     # share of the caller's points that counts ...
    uint16_t block_permille          # ... and of its block's
    uint8_t anonymous        # Outcome
    uint8_t invalid          # Outcome
    uint8_t label            # of calls tagged by score
    uint8_t observe
    uint8_t has_pack         # the classes of its country's numbers are known
    uint8_t subscribers      # Mode: whether the callee's will is heeded
    uint8_t commercial       # its calls sell
    uint8_t divert           # where rules divert to that name no place
    uint8_t zone             # of callees that no number tells the zone of
    uint8_t hours            # calling hours of its country
    uint8_t fingerprinted    # a limit counts by fingerprint
    uint8_t reserved

cdef struct ImageRule:
    int64_t until_us         # holds before this time only; 0 = always
    uint32_t classes         # bits of those that the caller's number may have; 0 = any
    uint32_t callee_classes
    int16_t points
    uint8_t level
    uint8_t outcome
    uint8_t basis
    uint8_t label
    uint8_t divert
    uint8_t observe
    uint8_t conditional      # one of `until_us`, classes and hours is set
    uint8_t hours            # of SECTION_HOURS, NO_HOURS or HOURS_OF_TRUNK: holds within ...
    uint8_t outside_hours    # ... and outside of these
    uint8_t number_class     # rules of packs ...
    uint8_t least_digits     # ... speak of numbers with so many digits, country code included
    uint8_t most_digits
    uint8_t reserved[2]

# One window of a limit on one trunk.
cdef struct ImageLimit:
    int64_t increment_us     # GCRA
    int64_t tolerance_us
    uint64_t name_hash       # its part of the key: its state outlives a reload under the same name
    uint16_t rule
    uint8_t limit_key
    uint8_t fleet            # it holds for the whole fleet: this node uses its share (`_shares`)
    uint8_t reserved[4]

# What a class of numbers means on a trunk: one row a trunk, one cell a class.
cdef struct ImageOrigin:
    uint8_t outcome          # Outcome
    uint8_t basis
    uint8_t label
    uint8_t observe

# All that the lists and prefix rules say of one number or prefix, shorter prefixes included: by level, then the longest
# match first.
cdef struct ImageRecord:
    uint32_t start           # in SECTION_HITS
    uint16_t count
    uint16_t levels          # bits of the levels that its hits have

cdef inline bint has_level(const ImageRecord* record, uint8_t level) noexcept nogil:
    return record.levels >> level & 1

cdef struct ImageHit:
    uint16_t rule
    uint8_t level
    uint8_t weight           # 2 * matched digits, + 1 for the whole number

# Local time is `offset_us` ahead of UTC from `from_us` on.
cdef struct ImageOffset:
    int64_t from_us
    int64_t offset_us

cdef struct ImageZone:
    uint32_t start           # in SECTION_OFFSETS
    uint32_t count

cdef struct ImageHours:
    uint64_t open[WEEK_WORDS]        # bits of the half hours of a week, from Monday 00:00 on
    uint32_t holidays_start  # in SECTION_HOLIDAYS
    uint16_t holidays_count
    uint8_t zone             # of SECTION_ZONES, or CALLEES_ZONE
    uint8_t reserved

cdef struct ImageView:
    const ImageSettings* settings
    const ImageTrunk* trunks
    const ImageRule* rules
    const uint64_t* in_force
    const ImageLimit* limits
    const ImageRecord* records
    const ImageHit* hits
    TrieView callers
    TrieView callers_short
    TrieView callees
    TrieView callees_short
    const ImageOrigin* origins
    const ImageOffset* offsets
    const ImageZone* zones
    const ImageHours* hours
    const uint16_t* conditional
    const int32_t* holidays
    uint32_t trunks_count
    uint32_t rules_count
    uint32_t records_count
    uint32_t classes_count   # cells of one row of `origins`

cdef class PolicyImage:
    cdef ImageView view
    cdef object memory       # bytes or mmap that the view points into
    cdef object names        # engine.policy_names.Names
    cdef readonly uint64_t generation
