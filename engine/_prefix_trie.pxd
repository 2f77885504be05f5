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
    const uint64_t KEY "CALLSIEVE_PAYLOAD"        # a key without its digits
    int callsieve_lowest_bit(uint32_t word) noexcept nogil

cdef enum:
    DIGITS_SHIFT = 60
    TRIE_LOOK_UPS = 16       # a prefix of each length and the whole number

# A match under way: the look-ups that are still to be made, longest first.
cdef struct TrieSearch:
    uint32_t value           # of the longest prefix that needs no look-up; 0 = none
    int length               # its digits
    int count
    uint64_t keys[TRIE_LOOK_UPS]     # above the lowest 60 bits the number of digits
    uint64_t mixed[TRIE_LOOK_UPS]
    uint64_t places[TRIE_LOOK_UPS]   # of its group, then the group itself, then the place of its bucket

# A search that finds nothing.
cdef inline void trie_skip(TrieSearch* search) noexcept nogil:
    search.value = 0
    search.length = search.count = 0

# A match in three steps, each of which waits for the memory that the one before it has asked for; between them the
# steps of other matches can be taken. A search that was never begun is to be skipped.

# Takes what the root knows, and returns the lengths to look up.
cdef inline uint32_t ask_root(const TrieView* view, uint64_t payload, int length, TrieSearch* search) noexcept nogil:
    cdef uint32_t answered = lengths_of_root(view.root_digits)
    cdef const TrieRoot* root
    if length < <int>view.root_digits:
        return view.lengths
    root = &view.root[without_last_digits(payload, length - view.root_digits) - power_of_ten(view.root_digits)]
    if root.value:
        search.value = root.value
        search.length = PREFIX_BIT - highest_bit(root.lengths & answered)
    return root.lengths & ~answered

# The groups of all look-ups are on their way: whole number first, then the longest prefix first.
cdef inline void trie_begin(const TrieView* view, number_t number, TrieSearch* search) noexcept nogil:
    cdef uint64_t payload = number & PAYLOAD
    cdef uint64_t key, mixed
    cdef uint32_t lengths
    cdef int bit, digits, count = 0, length = checked_decimals_of(payload)
    trie_skip(search)
    if length == 0:
        return
    lengths = ask_root(view, payload, length, search) & lengths_for(length)
    while lengths:
        bit = callsieve_lowest_bit(lengths)
        lengths &= lengths - 1
        digits = EXACT_BIT - (bit & EXACT_BIT)
        key = without_last_digits(payload, length - digits) << 1 | (bit <= EXACT_BIT)
        mixed = mix(key, view.seed)
        search.keys[count] = key | <uint64_t>digits << DIGITS_SHIFT
        search.mixed[count] = mixed
        search.places[count] = group_of(mixed, view.groups_count)
        callsieve_prefetch(&view.groups[search.places[count]])
        count += 1
    search.count = count

# Keeps those that the filter lets pass; their buckets are on their way. Free of branches on what is found: nearly
# nothing passes, and nobody can foretell at which length something does.
cdef inline void trie_narrow(const TrieView* view, TrieSearch* search) noexcept nogil:
    cdef uint64_t group, mixed
    cdef int i, passed = 0
    for i in range(search.count):
        mixed = search.mixed[i]
        group = view.groups[search.places[i]]
        search.keys[passed] = search.keys[i]
        search.mixed[passed] = mixed
        search.places[passed] = group
        passed += passes(group, mixed)
    search.count = passed
    for i in range(passed):
        search.places[i] = bucket_of(search.mixed[i], search.places[i], view.buckets_count)
        callsieve_prefetch(&view.buckets[search.places[i]])

cdef inline uint32_t trie_end(const TrieView* view, const TrieSearch* search, int* length) noexcept nogil:
    cdef const TrieBucket* bucket
    cdef uint64_t key
    cdef uint32_t value
    cdef int i, j
    for i in range(search.count):
        bucket = &view.buckets[search.places[i]]
        key = search.keys[i] & KEY
        value = 0
        for j in range(BUCKET_ENTRIES):
            value |= bucket.values[j] & -<uint32_t>(bucket.keys[j] == key)
        if value:
            length[0] = <int>(search.keys[i] >> DIGITS_SHIFT)
            return value
    length[0] = search.length
    return search.value

cdef class PrefixTrie:
    cdef TrieView view
    cdef object owner        # keeps the buffer alive
