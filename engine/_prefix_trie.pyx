"""Longest match on digits, over a set of prefixes that is built once.

The nodes of the trie are flattened: a match is one look-up for each length at which an entry could exist, and all of
them are known before the first is made. A root, indexed by the first digits, holds the longest entry that is no longer
than these and says which lengths exist below; there are four of them, or five where many entries are.
A hash of an entry's digits names its group, about six entries. The group's word holds a filter of 48 bits, which turns
away nearly every look-up of what is not there, and a pilot of 16 bits, which the builder chose so that no bucket of
five entries overflows (a perfect hash with buckets, after Belazzougui, Botelho and Dietzfelbinger, "Hash, displace, and
compress", ESA 2009). So a look-up is one word of a small array and, where the filter lets it pass, exactly one cache
line; those of all lengths are fetched side by side instead of one after the other as in a linked trie.

An entry's key is the decimal of "1" + digits (the leading 1 keeps zeros and length) and, as lowest bit, `exact`.

    header 64 B | root 10^4 or 10^5 x 8 B | buckets 64 B each | groups 8 B each, padded to 64
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
    ROOT_DIGITS = 4
    LARGE_ROOT_DIGITS = 5
    LARGE_ROOT_FROM = 900_000    # entries: it takes less than a byte of each then
    # A word of lengths, in the order of look-up from the lowest bit: bit 15 - n = whole numbers of n digits exist,
    # bit 31 - n = prefixes of n digits exist.
    EXACT_BIT = 15
    PREFIX_BIT = 31
    LINE = 64
    BUCKET_ENTRIES = 5
    PILOTS = 1 << 16
    GROUP_ENTRIES = 6        # on average
    FILL_PERCENT = 93        # of the buckets' entries: 64 / (5 * 0.93) + 8 / 6 = 15.1 bytes an entry
    BUILD_TRIES = 16
    BATCH = 16               # numbers whose lines are on their way at a time

cdef uint64_t MAGIC = 0x454952545653_4C43      # "CLSVTRIE"
cdef uint32_t LAYOUT = 2

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


cdef inline const TrieRoot* root_of(const TrieView* view) noexcept nogil:
    return <const TrieRoot*>(view.base + sizeof(TrieHeader))


cdef inline const TrieBucket* buckets_of(const TrieView* view) noexcept nogil:
    return <const TrieBucket*>(root_of(view) + POWER[header_of(view).root_digits])


cdef inline const uint64_t* groups_of(const TrieView* view) noexcept nogil:
    return <const uint64_t*>(buckets_of(view) + header_of(view).buckets)


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


# The lengths at which a number of `length` digits can match: prefixes up to its own length, whole numbers of exactly that.
cdef inline uint32_t lengths_for(int length) noexcept nogil:
    return <uint32_t>0xFFFFFFFF << PREFIX_BIT - length | 1U << EXACT_BIT - length


# The lengths that a root answers by itself.
cdef inline uint32_t lengths_of_root(uint32_t root_digits) noexcept nogil:
    return <uint32_t>0xFFFFFFFF << PREFIX_BIT - root_digits


# Takes what the root knows, and returns the lengths to look up.
cdef inline uint32_t ask_root(const TrieView* view, uint64_t payload, int length, TrieSearch* search) noexcept nogil:
    cdef uint32_t root_digits = header_of(view).root_digits, answered = lengths_of_root(root_digits)
    cdef const TrieRoot* root
    if length < <int>root_digits:
        return header_of(view).lengths
    root = &root_of(view)[without_last_digits(payload, length - root_digits) - POWER[root_digits]]
    if root.value:
        search.value = root.value
        search.length = PREFIX_BIT - callsieve_highest_bit(root.lengths & answered)
    return root.lengths & ~answered


# The groups of all look-ups are on their way: whole number first, then the longest prefix first.
cdef void trie_begin(const TrieView* view, number_t number, TrieSearch* search) noexcept nogil:
    cdef const uint64_t* groups = groups_of(view)
    cdef uint64_t payload = number & PAYLOAD, seed = header_of(view).seed
    cdef uint32_t groups_count = header_of(view).groups, lengths
    cdef uint64_t key
    cdef int bit, digits, count = 0, length = digits_of(payload)
    trie_skip(search)
    if length == 0:
        return
    lengths = ask_root(view, payload, length, search) & lengths_for(length)
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
    length[0] = search.length
    return search.value


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
    if header.root_digits not in (ROOT_DIGITS, LARGE_ROOT_DIGITS):
        raise ValueError(f"prefix trie: a root of {header.root_digits} digits")
    if header.size != <uint64_t>image.shape[0] or header.size != image_size(
        header.root_digits, header.buckets, header.groups
    ):
        raise ValueError(f"prefix trie: {image.shape[0]} bytes do not fit its header")
    if not header.buckets or not header.groups:
        raise ValueError("prefix trie: no buckets")
    if header.crc != zlib.crc32(image[16:]):
        raise ValueError("prefix trie: checksum does not match")
    return 0


cdef inline uint64_t root_size(uint32_t root_digits) noexcept nogil:
    return sizeof(TrieRoot) * POWER[root_digits]


cdef inline uint64_t image_size(uint32_t root_digits, uint64_t buckets, uint64_t groups) noexcept nogil:
    cdef uint64_t words = (groups * sizeof(uint64_t) + LINE - 1) // LINE * LINE
    return sizeof(TrieHeader) + root_size(root_digits) + sizeof(TrieBucket) * buckets + words


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
    uint32_t root_digits


def _build(const uint64_t[::1] keys, const uint32_t[::1] values):
    cdef uint64_t count = keys.shape[0]
    if count >= 1U << 31:
        raise ValueError(f"prefix trie: {count} entries, at most 2^31")
    cdef Builder builder
    memset(&builder, 0, sizeof(Builder))
    builder.groups = count // GROUP_ENTRIES + 1
    builder.root_digits = LARGE_ROOT_DIGITS if count >= LARGE_ROOT_FROM else ROOT_DIGITS
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
    cdef uint64_t size = image_size(builder.root_digits, builder.buckets, builder.groups)
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
    header.root_digits = builder.root_digits
    fill(builder, &bytes_[0])
    header.crc = zlib.crc32(bytes_[16:])
    return bytes(image)


cdef void fill(const Builder* builder, uint8_t* base) noexcept nogil:
    cdef TrieBucket* buckets = <TrieBucket*>(base + sizeof(TrieHeader) + root_size(builder.root_digits))
    cdef uint64_t* words = <uint64_t*>(buckets + builder.buckets)
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
            fill_answers(base, entry)


cdef void fill_entry(TrieBucket* bucket, const Entry* entry) noexcept nogil:
    cdef int i = 0
    while bucket.keys[i]:
        i += 1
    bucket.keys[i] = entry.key
    bucket.values[i] = entry.value


# Marks the entry's length at the root it lies below, if the root does not answer it.
cdef void fill_root(uint8_t* base, uint64_t key) noexcept nogil:
    cdef TrieHeader* header = <TrieHeader*>base
    cdef TrieRoot* root = <TrieRoot*>(base + sizeof(TrieHeader))
    cdef uint64_t first = key >> 1
    cdef int length = digits_of(first), root_digits = header.root_digits
    cdef uint32_t mark = 1U << (EXACT_BIT if key & 1 else PREFIX_BIT) - length
    header.lengths |= mark
    if length >= root_digits and not mark & lengths_of_root(root_digits):
        root[without_last_digits(first, length - root_digits) - POWER[root_digits]].lengths |= mark


# A prefix that is no longer than a root is the answer of every root that it covers, unless a longer one is.
cdef void fill_answers(uint8_t* base, const Entry* entry) noexcept nogil:
    cdef TrieHeader* header = <TrieHeader*>base
    cdef TrieRoot* root = <TrieRoot*>(base + sizeof(TrieHeader))
    cdef int length = digits_of(entry.key >> 1), root_digits = header.root_digits
    cdef uint32_t answered = lengths_of_root(root_digits), mark = 1U << PREFIX_BIT - length
    cdef uint64_t count, i
    if entry.key & 1 or length > root_digits:
        return
    count = POWER[root_digits - length]
    root += (entry.key >> 1) * count - POWER[root_digits]
    for i in range(count):
        # The longer a prefix, the lower its bit.
        if not root[i].value or mark < root[i].lengths & answered:
            root[i].value = entry.value
            root[i].lengths = root[i].lengths & ~answered | mark
