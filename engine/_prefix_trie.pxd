# Longest match on digits over an immutable, packed set of prefixes. Owns nothing that changes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from engine._decision cimport number_t

cdef struct TrieView:
    const uint8_t* base      # start of the packed image, 64-byte aligned
    uint64_t size

# Value of the longest prefix of the number's digits (an entry built as `exact` matches only the whole number and
# beats every prefix); 0 = no match. `length` receives the matched digits.
cdef uint32_t trie_match(const TrieView* view, number_t number, int* length) noexcept nogil
cdef void trie_prefetch(const TrieView* view, number_t number) noexcept nogil

cdef class PrefixTrie:
    cdef TrieView view
    cdef object owner        # keeps the buffer alive
