# Longest match on digits over an immutable, packed set of prefixes. Owns nothing that changes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from engine._decision cimport number_t
from engine._trie_layout cimport TrieView

cdef enum:
    TRIE_LOOK_UPS = 16       # a prefix of each length and the whole number

# A match under way: the look-ups that are still to be made, longest first.
cdef struct TrieSearch:
    uint32_t value           # of the longest prefix that needs no look-up; 0 = none
    int length               # its digits
    int count
    uint32_t buckets[TRIE_LOOK_UPS]  # once they are known
    uint64_t keys[TRIE_LOOK_UPS]     # above the lowest 60 bits the number of digits

# A search that finds nothing.
cdef inline void trie_skip(TrieSearch* search) noexcept nogil:
    search.value = 0
    search.length = search.count = 0

# A match in three steps, each of which waits for the memory that the one before it has asked for; between them the
# steps of other matches can be taken. A search that was never begun is to be skipped.
cdef void trie_begin(const TrieView* view, number_t number, TrieSearch* search) noexcept nogil
cdef void trie_narrow(const TrieView* view, TrieSearch* search) noexcept nogil
# Value of the longest prefix of the number's digits (an entry built as `exact` matches only the whole number and
# beats every prefix); 0 = no match. `length` receives the matched digits.
cdef uint32_t trie_end(const TrieView* view, const TrieSearch* search, int* length) noexcept nogil

cdef class PrefixTrie:
    cdef TrieView view
    cdef object owner        # keeps the buffer alive
