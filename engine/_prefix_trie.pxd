# Longest match on digits over an immutable, packed set of prefixes. Owns nothing that changes.

from libc.stdint cimport uint32_t, uint64_t

from engine._decimals cimport checked_decimals_of, highest_bit, power_of_ten, without_last_digits
from engine._decision cimport number_t
from engine._table cimport callsieve_prefetch
from engine._trie_layout cimport (
    BUCKET_ENTRIES,
    EXACT_BIT,
    PREFIX_BIT,
    TrieBucket,
    TrieRoot,
    TrieView,
    bucket_of,
    group_of,
    lengths_for,
    lengths_of_root,
    mix,
    passes,
)

cdef extern from *:
    """
    #define callsieve_lowest_bit(word) __builtin_ctz(word)
    #define CALLSIEVE_PAYLOAD ((1ULL << 60) - 1)
    """
    const uint64_t PAYLOAD "CALLSIEVE_PAYLOAD"    # a number without its kind
    int callsieve_lowest_bit(uint32_t word) noexcept nogil

cdef enum:
    TRIE_LOOK_UPS = 16       # a prefix of each length and the whole number

# The look-up of one length.
cdef struct TrieLookUp:
    int bit                  # in a word of lengths
    uint64_t mixed
    const uint64_t* group
    uint64_t key             # from `trie_narrow` on, as the next
    const TrieBucket* bucket

# A match under way: the look-ups that are still to be made, longest first.
cdef struct TrieSearch:
    const TrieView* view     # NULL = a search that finds nothing
    uint64_t payload         # the number's digits
    const TrieRoot* root     # NULL = it has fewer digits than the root
    uint32_t value           # of the longest prefix that needs no look-up; 0 = none
    int digits               # of the number
    int length               # of that prefix
    int count
    TrieLookUp look_ups[TRIE_LOOK_UPS]

# A search that finds nothing.
cdef inline void trie_skip(TrieSearch* search) noexcept nogil:
    search.view = NULL
    search.value = 0
    search.length = search.count = 0

# A match in four steps, each of which waits for the memory that the one before it has asked for; between them the steps
# of other matches can be taken. A search that was never begun is to be skipped.

cdef inline void trie_begin(const TrieView* view, number_t number, TrieSearch* search) noexcept nogil:
    cdef uint64_t payload = number & PAYLOAD
    cdef int digits = checked_decimals_of(payload), further = digits - <int>view.root_digits
    trie_skip(search)
    if digits == 0 or view.entries == 0:
        return
    search.view = view
    search.payload = payload
    search.digits = digits
    search.root = NULL
    if further >= 0:
        search.root = &view.root[without_last_digits(payload, further) - power_of_ten(view.root_digits)]
        callsieve_prefetch(search.root)

# Takes what the root knows, and returns the lengths to look up.
cdef inline uint32_t ask_root(TrieSearch* search) noexcept nogil:
    cdef uint32_t answered = lengths_of_root(search.view.root_digits)
    if search.root is NULL:
        return search.view.lengths
    if search.root.value:
        search.value = search.root.value
        search.length = PREFIX_BIT - highest_bit(search.root.lengths & answered)
    return search.root.lengths & ~answered

# How many digits the entries have that a bit of a word of lengths stands for.
cdef inline int digits_at(int bit) noexcept nogil:
    return EXACT_BIT - (bit & EXACT_BIT)

# What an entry would be that a number of `length` digits matches.
cdef inline uint64_t key_at(uint64_t payload, int length, int bit) noexcept nogil:
    return without_last_digits(payload, length - digits_at(bit)) << 1 | (bit <= EXACT_BIT)

# The groups of all look-ups are on their way: whole number first, then the longest prefix first.
cdef inline void trie_ask(TrieSearch* search) noexcept nogil:
    cdef const TrieView* view = search.view
    cdef TrieLookUp* look_up = &search.look_ups[0]
    cdef uint32_t lengths
    if view is NULL:
        return
    lengths = ask_root(search) & lengths_for(search.digits)
    while lengths:
        look_up.bit = callsieve_lowest_bit(lengths)
        look_up.mixed = mix(key_at(search.payload, search.digits, look_up.bit), view.seed)
        look_up.group = &view.groups[group_of(look_up.mixed, view.groups_count)]
        callsieve_prefetch(look_up.group)
        lengths &= lengths - 1
        look_up += 1
    search.count = <int>(look_up - &search.look_ups[0])

# Keeps those that the filter lets pass; their buckets are on their way. Free of branches on what is found: nearly
# nothing passes, and nobody can foretell at which length something does.
cdef inline void trie_narrow(TrieSearch* search) noexcept nogil:
    cdef const TrieView* view = search.view
    cdef const TrieLookUp* look_up
    cdef TrieLookUp* left = &search.look_ups[0]
    cdef uint32_t passed = 0
    cdef int i
    for i in range(search.count):
        passed |= <uint32_t>passes(search.look_ups[i].group[0], search.look_ups[i].mixed) << i
    while passed:
        look_up = &search.look_ups[callsieve_lowest_bit(passed)]
        left.bucket = &view.buckets[bucket_of(look_up.mixed, look_up.group[0], view.buckets_count)]
        callsieve_prefetch(left.bucket)
        left.bit = look_up.bit
        left.key = key_at(search.payload, search.digits, left.bit)
        passed &= passed - 1
        left += 1
    search.count = <int>(left - &search.look_ups[0])

cdef inline uint32_t trie_end(const TrieSearch* search, int* length) noexcept nogil:
    cdef const TrieBucket* bucket
    cdef uint32_t value
    cdef int i, j
    for i in range(search.count):
        bucket = search.look_ups[i].bucket
        value = 0
        for j in range(BUCKET_ENTRIES):
            value |= bucket.values[j] & -<uint32_t>(bucket.keys[j] == search.look_ups[i].key)
        if value:
            length[0] = digits_at(search.look_ups[i].bit)
            return value
    length[0] = search.length
    return search.value

cdef class PrefixTrie:
    cdef TrieView view
    cdef object owner        # keeps the buffer alive
