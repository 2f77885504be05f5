# Builds the packed sets of prefixes that `_prefix_trie` matches: groups the entries, finds each group a pilot, fills
# the image.

import zlib

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from engine._decimals cimport checked_decimals_of, power_of_ten, without_last_digits
from engine._trie_layout cimport (
    BUCKET_ENTRIES,
    EXACT_BIT,
    LARGE_ROOT_DIGITS,
    LAYOUT,
    MAGIC,
    PILOTS,
    PREFIX_BIT,
    ROOT_DIGITS,
    TrieBucket,
    TrieHeader,
    TrieRoot,
    bucket_of,
    filter_of,
    group_of,
    image_size,
    lengths_of_root,
    mix,
    root_size,
)

cdef enum:
    LARGE_ROOT_FROM = 900_000    # entries: it takes less than a byte of each then
    GROUP_ENTRIES = 6        # on average
    FILL_PERCENT = 93        # of the buckets' entries: 64 / (5 * 0.93) + 8 / 6 = 15.1 bytes an entry
    BUILD_TRIES = 16

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


def build_image(const uint64_t[::1] keys, const uint32_t[::1] values):
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
    cdef int length = checked_decimals_of(first), root_digits = header.root_digits
    cdef uint32_t mark = 1U << (EXACT_BIT if key & 1 else PREFIX_BIT) - length
    header.lengths |= mark
    if length >= root_digits and not mark & lengths_of_root(root_digits):
        root[without_last_digits(first, length - root_digits) - power_of_ten(root_digits)].lengths |= mark


# A prefix that is no longer than a root is the answer of every root that it covers, unless a longer one is.
cdef void fill_answers(uint8_t* base, const Entry* entry) noexcept nogil:
    cdef TrieHeader* header = <TrieHeader*>base
    cdef TrieRoot* root = <TrieRoot*>(base + sizeof(TrieHeader))
    cdef int length = checked_decimals_of(entry.key >> 1), root_digits = header.root_digits
    cdef uint32_t answered = lengths_of_root(root_digits), mark = 1U << PREFIX_BIT - length
    cdef uint64_t count, i
    if entry.key & 1 or length > root_digits:
        return
    count = power_of_ten(root_digits - length)
    root += (entry.key >> 1) * count - power_of_ten(root_digits)
    for i in range(count):
        # The longer a prefix, the lower its bit.
        if not root[i].value or mark < root[i].lengths & answered:
            root[i].value = entry.value
            root[i].lengths = root[i].lengths & ~answered | mark
