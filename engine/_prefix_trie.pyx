"""Longest match on digits, over a set of prefixes that is built once.

The nodes of the trie are flattened: a match is one look-up for each length at which an entry could exist, and all of
them are known before the first is made. A root, indexed by the first three digits, says which lengths exist below it.
A hash of an entry's digits names its group, about six entries. The group's word holds a filter of 48 bits, which turns
away nearly every look-up of what is not there, and a pilot of 16 bits, which the builder chose so that no bucket of
five entries overflows (a perfect hash with buckets, after Belazzougui, Botelho and Dietzfelbinger, "Hash, displace, and
compress", ESA 2009). So a look-up is one word of a small array and, where the filter lets it pass, exactly one cache
line; those of all lengths are fetched side by side instead of one after the other as in a linked trie.

An entry's key is the decimal of "1" + digits (the leading 1 keeps zeros and length) and, as lowest bit, `exact`.

    header 64 B | root 1000 x 4 B, padded to 4096 | buckets 64 B each | groups 8 B each, padded to 64
"""

import mmap
import zlib
from array import array
from contextlib import suppress

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from engine._decision cimport number_t
from engine._table cimport callsieve_prefetch

cdef extern from *:
    """
    #define callsieve_high_word(a, b) ((uint64_t)((unsigned __int128)(uint64_t)(a) * (uint64_t)(b) >> 64))
    #define callsieve_highest_bit(word) (63 - __builtin_clzll(word))
    #define callsieve_lowest_bit(word) __builtin_ctz(word)
    #define CALLSIEVE_PAYLOAD ((1ULL << 60) - 1)
    #define CALLSIEVE_SPREAD 0x9E3779B97F4A7C15ULL
    """
    const uint64_t PAYLOAD "CALLSIEVE_PAYLOAD"    # a number without its kind
    const uint64_t KEY "CALLSIEVE_PAYLOAD"        # a key without its digits
    const uint64_t SPREAD "CALLSIEVE_SPREAD"      # 2^64 / golden ratio: odd, with well-spread bits
    uint64_t callsieve_high_word(uint64_t a, uint64_t b) noexcept nogil
    int callsieve_highest_bit(uint64_t word) noexcept nogil
    int callsieve_lowest_bit(uint32_t word) noexcept nogil

cdef enum:
    MAX_DIGITS = 15
    DIGITS_SHIFT = 60
    ROOT_DIGITS = 3
    ROOT_SIZE = 1000
    # A word of lengths, in the order of look-up from the lowest bit: bit 15 - n = whole numbers of n digits exist,
    # bit 31 - n = prefixes of n digits exist.
    EXACT_BIT = 15
    PREFIX_BIT = 31
    LINE = 64
    BUCKETS_AT = 4096
    BUCKET_ENTRIES = 5
    PILOTS = 1 << 16
    GROUP_ENTRIES = 6        # on average
    FILL_PERCENT = 92        # of the buckets' entries: 64 / (5 * 0.92) + 8 / 6 = 15.2 bytes an entry
    BUILD_TRIES = 16
    BATCH = 16               # numbers whose lines are on their way at a time

cdef uint64_t MAGIC = 0x454952545653_4C43      # "CLSVTRIE"
cdef uint32_t LAYOUT = 1

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
    uint32_t reserved[3]

cdef struct TrieBucket:
    uint64_t keys[BUCKET_ENTRIES]    # 0 = free
    uint32_t values[BUCKET_ENTRIES]
    uint32_t reserved


# Half a dividend below 2^52 divided by 10^n, as multiply and shift: exact, since the rounded-up reciprocal of 2 * 10^n
# carries 64 significant bits (Granlund, Montgomery, PLDI 1994).
cdef struct Divisor:
    uint64_t reciprocal
    uint64_t shift

cdef uint64_t[MAX_DIGITS + 1] POWER
cdef Divisor[MAX_DIGITS + 1] DIVISORS

def _fill_divisors():
    for n, divisor in enumerate(2 * 10**n for n in range(MAX_DIGITS + 1)):
        shift = (divisor - 1).bit_length() - 1
        POWER[n] = divisor // 2
        DIVISORS[n] = Divisor(-(-(1 << 64 + shift) // divisor), shift)


_fill_divisors()


cdef inline uint64_t without_last_digits(uint64_t payload, uint32_t digits) noexcept nogil:
    return callsieve_high_word(payload << 1, DIVISORS[digits].reciprocal) >> DIVISORS[digits].shift


# Number of digits of "1" + digits, 0 if it is no such decimal.
cdef inline int digits_of(uint64_t payload) noexcept nogil:
    # 1233 / 4096 = log10(2): right for every 10^n to 2 * 10^n - 1, and whatever else is refused
    cdef int length = (callsieve_highest_bit(payload | 1) + 1) * 1233 >> 12
    if length > MAX_DIGITS or payload < POWER[length] or payload >= 2 * POWER[length]:
        return 0
    return length


cdef inline const TrieHeader* header_of(const TrieView* view) noexcept nogil:
    return <const TrieHeader*>view.base


cdef inline const TrieBucket* buckets_of(const TrieView* view) noexcept nogil:
    return <const TrieBucket*>(view.base + BUCKETS_AT)


cdef inline const uint64_t* groups_of(const TrieView* view) noexcept nogil:
    return <const uint64_t*>(view.base + BUCKETS_AT + sizeof(TrieBucket) * header_of(view).buckets)


cdef inline uint64_t mix(uint64_t key, uint64_t seed) noexcept nogil:
    return callsieve_high_word(key ^ seed, SPREAD) ^ (key ^ seed) * SPREAD


cdef inline uint32_t group_of(uint64_t mixed, uint32_t groups) noexcept nogil:
    return <uint32_t>((mixed >> 32) * groups >> 32)


# A group's filter is three fields of 16 bits above the pilot; an entry sets one bit in each.
cdef inline uint64_t filter_of(uint64_t mixed) noexcept nogil:
    return 1ULL << 16 + (mixed & 15) | 1ULL << 32 + (mixed >> 4 & 15) | 1ULL << 48 + (mixed >> 8 & 15)


cdef inline bint passes(uint64_t group, uint64_t mixed) noexcept nogil:
    return group >> 16 + (mixed & 15) & group >> 32 + (mixed >> 4 & 15) & group >> 48 + (mixed >> 8 & 15) & 1


cdef inline uint32_t bucket_of(uint64_t mixed, uint64_t group, uint32_t buckets) noexcept nogil:
    return <uint32_t>(((mixed ^ (group & PILOTS - 1) * SPREAD) * SPREAD >> 32) * buckets >> 32)


# Lengths to look up for a number of `length` digits: prefixes up to its own length, whole numbers of exactly that.
cdef inline uint32_t lengths_below(const TrieView* view, uint64_t payload, int length) noexcept nogil:
    cdef uint32_t lengths = header_of(view).lengths
    if length >= ROOT_DIGITS:
        lengths = (<const uint32_t*>(view.base + sizeof(TrieHeader)))[
            without_last_digits(payload, length - ROOT_DIGITS) - ROOT_SIZE
        ]
    return lengths & (<uint32_t>0xFFFFFFFF << PREFIX_BIT - length | 1U << EXACT_BIT - length)


# The groups of all look-ups are on their way: whole number first, then the longest prefix first.
cdef void trie_begin(const TrieView* view, number_t number, TrieSearch* search) noexcept nogil:
    cdef const uint64_t* groups = groups_of(view)
    cdef uint64_t payload = number & PAYLOAD, seed = header_of(view).seed
    cdef uint32_t groups_count = header_of(view).groups
    cdef uint64_t key
    cdef int bit, digits, count = 0, length = digits_of(payload)
    cdef uint32_t lengths = lengths_below(view, payload, length) if length else 0
    while lengths:
        bit = callsieve_lowest_bit(lengths)
        lengths &= lengths - 1
        digits = EXACT_BIT - (bit & EXACT_BIT)
        key = without_last_digits(payload, length - digits) << 1 | (bit <= EXACT_BIT)
        search.keys[count] = key | <uint64_t>digits << DIGITS_SHIFT
        callsieve_prefetch(&groups[group_of(mix(key, seed), groups_count)])
        count += 1
    search.count = count


# Keeps those that the filter lets pass; their buckets are on their way. Free of branches on what is found: nearly
# nothing passes, and nobody can foretell at which length something does.
cdef void trie_narrow(const TrieView* view, TrieSearch* search) noexcept nogil:
    cdef const uint64_t* groups = groups_of(view)
    cdef uint64_t seed = header_of(view).seed
    cdef uint32_t groups_count = header_of(view).groups, buckets_count = header_of(view).buckets
    cdef uint64_t group, mixed
    cdef int i, passed = 0
    for i in range(search.count):
        mixed = mix(search.keys[i] & KEY, seed)
        group = groups[group_of(mixed, groups_count)]
        search.keys[passed] = search.keys[i]
        search.buckets[passed] = bucket_of(mixed, group, buckets_count)
        passed += passes(group, mixed)
    search.count = passed
    for i in range(passed):
        callsieve_prefetch(&buckets_of(view)[search.buckets[i]])


cdef uint32_t trie_end(const TrieView* view, const TrieSearch* search, int* length) noexcept nogil:
    cdef const TrieBucket* bucket
    cdef uint64_t key
    cdef uint32_t value
    cdef int i, j
    for i in range(search.count):
        bucket = &buckets_of(view)[search.buckets[i]]
        key = search.keys[i] & KEY
        value = 0
        for j in range(BUCKET_ENTRIES):
            value |= bucket.values[j] if bucket.keys[j] == key else 0
        if value:
            length[0] = <int>(search.keys[i] >> DIGITS_SHIFT)
            return value
    length[0] = 0
    return 0


@cython.final
cdef class PrefixTrie:
    def __cinit__(self, buffer):
        cdef Py_buffer pages
        buffer = _aligned(buffer)
        _check(memoryview(buffer).cast("B"))
        PyObject_GetBuffer(buffer, &pages, PyBUF_SIMPLE)
        self.owner = memoryview(buffer)    # pins the pages; `pages` is only asked for their address
        self.view.base = <const uint8_t*>pages.buf
        self.view.size = pages.len
        PyBuffer_Release(&pages)

    @staticmethod
    def build(entries):
        keys = array("Q")
        values = array("I")
        for digits, exact, value in entries:
            if value <= 0:
                raise ValueError(f"{digits}: value {value} is not above 0")
            keys.append(_key(digits, exact))
            values.append(value)
        return _build(keys, values)

    @staticmethod
    def build_keys(const uint64_t[::1] keys, const uint32_t[::1] values):
        if keys.shape[0] != values.shape[0]:
            raise ValueError(f"{keys.shape[0]} keys, {values.shape[0]} values")
        cdef Py_ssize_t i
        for i in range(keys.shape[0]):
            if not digits_of(keys[i] >> 1) or not values[i]:
                raise ValueError(f"entry {i}: key {keys[i]} or value {values[i]} out of range")
        return _build(keys, values)

    def match(self, str digits):
        cdef TrieSearch search
        cdef uint32_t value
        cdef int length
        trie_begin(&self.view, _key(digits, False) >> 1, &search)
        trie_narrow(&self.view, &search)
        value = trie_end(&self.view, &search, &length)
        return (value, length) if value else None

    def match_many(self, const uint64_t[::1] numbers):
        matches = array("I", bytes(4 * numbers.shape[0]))
        cdef uint32_t[::1] out = matches
        cdef Py_ssize_t start = 0, count = numbers.shape[0]
        with nogil:
            while start < count:
                match_batch(&self.view, &numbers[start], &out[start], min(<Py_ssize_t>BATCH, count - start))
                start += BATCH
        return matches

    def __len__(self):
        return header_of(&self.view).entries


cdef void match_batch(const TrieView* view, const uint64_t* numbers, uint32_t* out, Py_ssize_t size) noexcept nogil:
    cdef TrieSearch[BATCH] searches
    cdef int length
    cdef Py_ssize_t i
    for i in range(size):
        trie_begin(view, numbers[i], &searches[i])
    for i in range(size):
        trie_narrow(view, &searches[i])
    for i in range(size):
        out[i] = trie_end(view, &searches[i], &length)


cdef uint64_t _key(str digits, bint exact) except 0:
    if not 0 < len(digits) <= MAX_DIGITS:
        raise ValueError(f"{digits!r}: expected 1 to {MAX_DIGITS} digits")
    cdef uint64_t payload = 1
    cdef Py_UCS4 digit
    for digit in digits:
        if not u"0" <= digit <= u"9":
            raise ValueError(f"{digits!r}: not decimal digits")
        payload = payload * 10 + (<int>digit - c'0')
    return payload << 1 | exact


def _aligned(buffer):
    """The image at the start of a cache line: itself, or a copy."""
    cdef Py_buffer pages
    PyObject_GetBuffer(buffer, &pages, PyBUF_SIMPLE)
    aligned = <size_t>pages.buf % LINE == 0
    size = pages.len
    PyBuffer_Release(&pages)
    if aligned or size == 0:
        return buffer
    copy = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):    # a kernel may have no huge pages
        copy.madvise(mmap.MADV_HUGEPAGE)
    copy.write(buffer)
    return copy


cdef int _check(const uint8_t[::1] image) except -1:
    """Refuses an image that is not whole, or of another layout, so that a match may trust its sizes."""
    if image.shape[0] < <Py_ssize_t>sizeof(TrieHeader):
        raise ValueError(f"prefix trie: {image.shape[0]} bytes, no header")
    cdef const TrieHeader* header = <const TrieHeader*>&image[0]
    if header.magic != MAGIC or header.layout != LAYOUT:
        raise ValueError(f"prefix trie: not layout {LAYOUT}")
    if header.size != <uint64_t>image.shape[0] or header.size != image_size(header.buckets, header.groups):
        raise ValueError(f"prefix trie: {image.shape[0]} bytes do not fit its header")
    if not header.buckets or not header.groups:
        raise ValueError("prefix trie: no buckets")
    if header.crc != zlib.crc32(image[16:]):
        raise ValueError("prefix trie: checksum does not match")
    return 0


cdef inline uint64_t image_size(uint64_t buckets, uint64_t groups) noexcept nogil:
    return BUCKETS_AT + sizeof(TrieBucket) * buckets + (groups * sizeof(uint64_t) + LINE - 1) // LINE * LINE


# --- Building -------------------------------------------------------------------------------------------------------

cdef struct Entry:
    uint64_t key
    uint32_t value

cdef struct Builder:
    Entry* entries           # sorted by group
    uint32_t* starts         # of each group in `entries`
    uint32_t* counts         # entries of each group
    uint32_t* by_size        # groups, largest first
    uint8_t* filled          # entries in each bucket
    uint64_t* words          # of each group: filter and pilot
    uint64_t seed
    uint32_t groups
    uint32_t buckets


def _build(const uint64_t[::1] keys, const uint32_t[::1] values):
    cdef uint64_t count = keys.shape[0]
    if count >= 1U << 31:
        raise ValueError(f"prefix trie: {count} entries, at most 2^31")
    cdef Builder builder
    memset(&builder, 0, sizeof(Builder))
    builder.groups = count // GROUP_ENTRIES + 1
    for seed in range(1, BUILD_TRIES + 1):
        builder.seed = mix(seed, 0)
        try:
            allocate(&builder, count)
            kept = sort_into_groups(&builder, keys, values)
            builder.buckets = kept * 100 // (BUCKET_ENTRIES * FILL_PERCENT) + 1
            builder.filled = <uint8_t*>calloc(builder.buckets, 1)
            if not builder.filled:
                raise MemoryError
            if find_pilots(&builder):
                return _image(&builder, kept)
        finally:
            release(&builder)
    raise ValueError(f"prefix trie: no perfect hash found for {count} entries")


cdef int allocate(Builder* builder, uint64_t count) except -1:
    builder.entries = <Entry*>malloc(sizeof(Entry) * (count + 1))
    builder.starts = <uint32_t*>calloc(builder.groups + 1, sizeof(uint32_t))
    builder.counts = <uint32_t*>calloc(builder.groups, sizeof(uint32_t))
    builder.by_size = <uint32_t*>malloc(sizeof(uint32_t) * builder.groups)
    builder.words = <uint64_t*>calloc(builder.groups, sizeof(uint64_t))
    if not (builder.entries and builder.starts and builder.counts and builder.by_size and builder.words):
        raise MemoryError
    return 0


cdef void release(Builder* builder) noexcept:
    free(builder.entries)
    free(builder.starts)
    free(builder.counts)
    free(builder.by_size)
    free(builder.filled)
    free(builder.words)
    builder.entries = NULL
    builder.starts = builder.counts = builder.by_size = NULL
    builder.filled = NULL
    builder.words = NULL


# Returns the number of entries kept: of several with one key the last one counts.
cdef uint64_t sort_into_groups(
    Builder* builder, const uint64_t[::1] keys, const uint32_t[::1] values
) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t group
    cdef uint64_t kept = 0
    for i in range(keys.shape[0]):
        builder.starts[group_of(mix(keys[i], builder.seed), builder.groups) + 1] += 1
    for group in range(builder.groups):
        builder.starts[group + 1] += builder.starts[group]
    for i in range(keys.shape[0]):
        group = group_of(mix(keys[i], builder.seed), builder.groups)
        kept += put_into_group(builder, group, keys[i], values[i])
    return kept


cdef bint put_into_group(Builder* builder, uint32_t group, uint64_t key, uint32_t value) noexcept nogil:
    cdef Entry* entries = builder.entries + builder.starts[group]
    cdef uint32_t i
    for i in range(builder.counts[group]):
        if entries[i].key == key:
            entries[i].value = value
            return False
    entries[builder.counts[group]].key = key
    entries[builder.counts[group]].value = value
    builder.counts[group] += 1
    return True


# Largest groups first, while the buckets are empty; false if a group fits with none of the pilots.
cdef bint find_pilots(Builder* builder) noexcept nogil:
    cdef uint32_t i, group
    cdef int pilot
    sort_by_size(builder)
    for i in range(builder.groups):
        group = builder.by_size[i]
        for pilot in range(PILOTS):
            if place(builder, group, pilot):
                builder.words[group] = pilot
                break
        else:
            return False
    return True


cdef void sort_by_size(Builder* builder) noexcept nogil:
    cdef uint32_t group, largest = 0, size, next = 0
    for group in range(builder.groups):
        largest = max(largest, builder.counts[group])
    for size in range(largest + 1):
        for group in range(builder.groups):
            if builder.counts[group] == largest - size:
                builder.by_size[next] = group
                next += 1


# Takes the places of a whole group, or none.
cdef bint place(Builder* builder, uint32_t group, uint64_t pilot) noexcept nogil:
    cdef const Entry* entries = builder.entries + builder.starts[group]
    cdef uint32_t i, j, bucket
    for i in range(builder.counts[group]):
        bucket = bucket_of(mix(entries[i].key, builder.seed), pilot, builder.buckets)
        if builder.filled[bucket] == BUCKET_ENTRIES:
            for j in range(i):
                builder.filled[bucket_of(mix(entries[j].key, builder.seed), pilot, builder.buckets)] -= 1
            return False
        builder.filled[bucket] += 1
    return True


cdef bytes _image(const Builder* builder, uint64_t entries):
    cdef uint64_t size = image_size(builder.buckets, builder.groups)
    image = bytearray(size)
    cdef uint8_t[::1] bytes_ = image
    cdef TrieHeader* header = <TrieHeader*>&bytes_[0]
    header.magic = MAGIC
    header.layout = LAYOUT
    header.size = size
    header.entries = entries
    header.seed = builder.seed
    header.buckets = builder.buckets
    header.groups = builder.groups
    fill(builder, &bytes_[0])
    header.crc = zlib.crc32(bytes_[16:])
    return bytes(image)


cdef void fill(const Builder* builder, uint8_t* base) noexcept nogil:
    cdef TrieBucket* buckets = <TrieBucket*>(base + BUCKETS_AT)
    cdef uint64_t* words = <uint64_t*>(base + BUCKETS_AT + sizeof(TrieBucket) * builder.buckets)
    cdef uint32_t group, i
    cdef uint64_t mixed
    cdef const Entry* entry
    for group in range(builder.groups):
        words[group] = builder.words[group]
        for i in range(builder.counts[group]):
            entry = &builder.entries[builder.starts[group] + i]
            mixed = mix(entry.key, builder.seed)
            words[group] |= filter_of(mixed)
            fill_entry(&buckets[bucket_of(mixed, builder.words[group], builder.buckets)], entry)
            fill_root(base, entry.key)


cdef void fill_entry(TrieBucket* bucket, const Entry* entry) noexcept nogil:
    cdef int i = 0
    while bucket.keys[i]:
        i += 1
    bucket.keys[i] = entry.key
    bucket.values[i] = entry.value


# Marks the entry's length at every root it lies below or covers.
cdef void fill_root(uint8_t* base, uint64_t key) noexcept nogil:
    cdef TrieHeader* header = <TrieHeader*>base
    cdef uint32_t* root = <uint32_t*>(base + sizeof(TrieHeader))
    cdef uint64_t first = key >> 1, i, count = 1
    cdef int length = digits_of(first)
    cdef uint32_t mark = 1U << (EXACT_BIT if key & 1 else PREFIX_BIT) - length
    header.lengths |= mark
    if length >= ROOT_DIGITS:
        first = without_last_digits(first, length - ROOT_DIGITS)
    else:
        count = POWER[ROOT_DIGITS - length]
        first *= count
    for i in range(count):
        root[first - ROOT_SIZE + i] |= mark
