# How a packed set of prefixes lies in memory, for who matches and for who builds. `_prefix_trie` says what it means.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from engine._decimals cimport folded, power_of_ten

cdef extern from *:
    """
    #define CALLSIEVE_SPREAD 0x9E3779B97F4A7C15ULL
    #define CALLSIEVE_TRIE_MAGIC 0x4549525456534C43ULL
    """
    const uint64_t SPREAD "CALLSIEVE_SPREAD"      # 2^64 / golden ratio: odd, with well-spread bits
    const uint64_t MAGIC "CALLSIEVE_TRIE_MAGIC"   # "CLSVTRIE"

cdef enum:
    LAYOUT = 2
    LINE = 64
    ROOT_DIGITS = 4
    LARGE_ROOT_DIGITS = 5
    # A word of lengths, in the order of look-up from the lowest bit: bit 15 - n = whole numbers of n digits exist,
    # bit 31 - n = prefixes of n digits exist.
    EXACT_BIT = 15
    PREFIX_BIT = 31
    BUCKET_ENTRIES = 5
    PILOTS = 1 << 16

cdef struct TrieHeader:
    uint64_t magic
    uint32_t layout
    uint32_t crc             # CRC-32 of everything from `size` on
    uint64_t size
    uint64_t entries
    uint64_t seed
    uint32_t buckets
    uint32_t groups
    uint32_t lengths         # of the whole set, for numbers too short for the root
    uint32_t root_digits
    uint32_t reserved[2]

cdef struct TrieRoot:
    uint32_t value           # of the longest prefix of these digits; 0 = none
    uint32_t lengths         # that exist below, a word of lengths; above it how many digits the prefix has

cdef struct TrieBucket:
    uint64_t keys[BUCKET_ENTRIES]    # 0 = free
    uint32_t values[BUCKET_ENTRIES]
    uint32_t reserved

cdef struct TrieView:        # a packed image, as a match reads it
    const TrieRoot* root
    const TrieBucket* buckets
    const uint64_t* groups
    uint64_t seed
    uint32_t buckets_count
    uint32_t groups_count
    uint32_t root_digits
    uint32_t lengths
    uint64_t entries

# base: where an image that was checked starts, 64-byte aligned.
cdef inline TrieView trie_view(const uint8_t* base) noexcept nogil:
    cdef const TrieHeader* header = <const TrieHeader*>base
    cdef const TrieRoot* root = <const TrieRoot*>(base + sizeof(TrieHeader))
    cdef const TrieBucket* buckets = <const TrieBucket*>(root + power_of_ten(header.root_digits))
    return TrieView(
        root, buckets, <const uint64_t*>(buckets + header.buckets), header.seed, header.buckets, header.groups,
        header.root_digits, header.lengths, header.entries,
    )

cdef inline uint64_t mix(uint64_t key, uint64_t seed) noexcept nogil:
    return folded(key ^ seed, SPREAD)

cdef inline uint32_t group_of(uint64_t mixed, uint32_t groups) noexcept nogil:
    return <uint32_t>((mixed >> 32) * groups >> 32)

# A group's filter is three fields of 16 bits above the pilot; an entry sets one bit in each.
cdef inline uint64_t filter_of(uint64_t mixed) noexcept nogil:
    return 1ULL << 16 + (mixed & 15) | 1ULL << 32 + (mixed >> 4 & 15) | 1ULL << 48 + (mixed >> 8 & 15)

cdef inline bint passes(uint64_t group, uint64_t mixed) noexcept nogil:
    return group >> 16 + (mixed & 15) & group >> 32 + (mixed >> 4 & 15) & group >> 48 + (mixed >> 8 & 15) & 1

cdef inline uint32_t bucket_of(uint64_t mixed, uint64_t group, uint32_t buckets) noexcept nogil:
    return <uint32_t>(((mixed ^ (group & PILOTS - 1) * SPREAD) * SPREAD >> 32) * buckets >> 32)

# The lengths at which a number of `length` digits can match: prefixes up to its own length, whole numbers of exactly
# that.
cdef inline uint32_t lengths_for(int length) noexcept nogil:
    return <uint32_t>0xFFFFFFFF << PREFIX_BIT - length | 1U << EXACT_BIT - length

# The lengths that a root answers by itself.
cdef inline uint32_t lengths_of_root(uint32_t root_digits) noexcept nogil:
    return <uint32_t>0xFFFFFFFF << PREFIX_BIT - root_digits

cdef inline uint64_t root_size(uint32_t root_digits) noexcept nogil:
    return sizeof(TrieRoot) * power_of_ten(root_digits)

cdef inline uint64_t image_size(uint32_t root_digits, uint64_t buckets, uint64_t groups) noexcept nogil:
    cdef uint64_t words = (groups * sizeof(uint64_t) + LINE - 1) // LINE * LINE
    return sizeof(TrieHeader) + root_size(root_digits) + sizeof(TrieBucket) * buckets + words
