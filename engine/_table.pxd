# A fixed-size table in a memory-mapped file: 64-byte buckets of four 16-byte records (key, value), exact 64-bit keys
# under a keyed hash, no locks. What a record means belongs to the module that uses the table.
#
# A record is read as one word and changed by a 16-byte compare-and-swap, so whatever is read was written whole. Two
# processes that bring in the same new key may choose different places for it; what becomes of the second record is the
# using module's affair.
#
# Buckets stand in regions of 2 MB, a huge page. A key's hash names the region and a bucket in it; tables in which a key
# has a second bucket (`_cuckoo`) find that in the same region.

from libc.stdint cimport uint32_t, uint64_t

from engine._decimals cimport folded

cdef extern from *:
    """
    #include <stdint.h>

    typedef unsigned __int128 __attribute__((may_alias, aligned(16))) callsieve_word16;

    static inline callsieve_word16 callsieve_pair(uint64_t key, uint64_t value)
    {
        return (callsieve_word16)value << 64 | key;
    }

    static inline int callsieve_swap(
        void *record, uint64_t old_key, uint64_t old_value, uint64_t new_key, uint64_t new_value)
    {
        return __sync_bool_compare_and_swap(
            (callsieve_word16 *)record, callsieve_pair(old_key, old_value), callsieve_pair(new_key, new_value));
    }

    #if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    #include <emmintrin.h>
    /* An aligned 16-byte load is atomic on every processor with AVX (Intel SDM vol. 3A 9.1.1; AMD APM vol. 2 7.3.2). */
    static inline void callsieve_load(const void *record, uint64_t *key, uint64_t *value)
    {
        __m128i word;
        __asm__ volatile("movdqa %1, %0" : "=x"(word) : "m"(*(const __m128i *)record));
        *key = (uint64_t)_mm_cvtsi128_si64(word);
        *value = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(word, word));
    }
    #else
    static inline void callsieve_load(const void *record, uint64_t *key, uint64_t *value)
    {
        callsieve_word16 word = __sync_val_compare_and_swap((callsieve_word16 *)record, 0, 0);
        *key = (uint64_t)word;
        *value = (uint64_t)(word >> 64);
    }
    #endif

    /* At which places of a bucket, or of two, a key stands: bit 2 n = the n-th record. By the keys alone, whatever
       their bits in `marks` are, and free of branches, as nobody can foretell the place. */
    #if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    /* Each record as two 16-bit words, all ones where the halves of its key are equal to the wanted one's. */
    static inline __m128i callsieve_equal_halves(const void *bucket, uint64_t key, uint64_t marks)
    {
        const __m128i *records = bucket, mask = _mm_set1_epi64x((int64_t)marks);
        const __m128i wanted = _mm_or_si128(_mm_set1_epi64x((int64_t)key), mask);
        __m128i keys = _mm_unpacklo_epi64(_mm_load_si128(&records[0]), _mm_load_si128(&records[1]));
        __m128i others = _mm_unpacklo_epi64(_mm_load_si128(&records[2]), _mm_load_si128(&records[3]));
        return _mm_packs_epi32(
            _mm_cmpeq_epi32(_mm_or_si128(keys, mask), wanted), _mm_cmpeq_epi32(_mm_or_si128(others, mask), wanted));
    }

    /* The empty statement keeps what is read afterwards from being read before. */
    static inline uint32_t callsieve_both_halves(__m128i first, __m128i second)
    {
        uint32_t halves = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, second));
        __asm__ volatile("" ::: "memory");
        return halves & halves >> 1 & 0x5555;
    }

    static inline uint32_t callsieve_places_in_both(const void *first, const void *second, uint64_t key, uint64_t marks)
    {
        return callsieve_both_halves(
            callsieve_equal_halves(first, key, marks), callsieve_equal_halves(second, key, marks));
    }

    static inline uint32_t callsieve_places_in(const void *bucket, uint64_t key)
    {
        return callsieve_both_halves(callsieve_equal_halves(bucket, key, 0), _mm_setzero_si128());
    }
    #else
    static inline uint32_t callsieve_marked_places_in(const void *bucket, uint64_t key, uint64_t marks)
    {
        const uint64_t *words = bucket;
        uint32_t places = 0;
        for (int i = 0; i < 4; i++)
            places |= (uint32_t)!((__atomic_load_n(&words[2 * i], __ATOMIC_ACQUIRE) ^ key) & ~marks) << 2 * i;
        return places;
    }

    static inline uint32_t callsieve_places_in_both(const void *first, const void *second, uint64_t key, uint64_t marks)
    {
        return callsieve_marked_places_in(first, key, marks) | callsieve_marked_places_in(second, key, marks) << 8;
    }

    static inline uint32_t callsieve_places_in(const void *bucket, uint64_t key)
    {
        return callsieve_marked_places_in(bucket, key, 0);
    }
    #endif
    #define callsieve_lowest_place(places) (__builtin_ctz(places) >> 1)

    /* The empty statement keeps gcc 12 from taking a function that only prefetches for one without effect, and its
       calls for dead code. */
    static inline void callsieve_prefetch(const void *line)
    {
        __builtin_prefetch(line);
        __asm__ volatile("");
    }

    static inline void callsieve_count(uint64_t *counter)
    {
        __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
    }

    static inline uint64_t callsieve_counted(const uint64_t *counter)
    {
        return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
    }

    static inline void callsieve_set_bits(uint64_t *word, uint64_t bits)
    {
        __atomic_fetch_or(word, bits, __ATOMIC_RELEASE);
    }
    """
    bint callsieve_swap(
        void* record, uint64_t old_key, uint64_t old_value, uint64_t new_key, uint64_t new_value
    ) noexcept nogil
    void callsieve_load(const void* record, uint64_t* key, uint64_t* value) noexcept nogil
    uint32_t callsieve_places_in_both(
        const void* first, const void* second, uint64_t key, uint64_t marks
    ) noexcept nogil
    uint32_t callsieve_places_in(const void* bucket, uint64_t key) noexcept nogil
    int callsieve_lowest_place(uint32_t places) noexcept nogil
    void callsieve_prefetch(const void* line) noexcept nogil
    void callsieve_count(uint64_t* counter) noexcept nogil
    uint64_t callsieve_counted(const uint64_t* counter) noexcept nogil
    void callsieve_set_bits(uint64_t* word, uint64_t bits) noexcept nogil

cdef enum TableKind:
    TABLE_REPUTATION = 1
    TABLE_RATE_LIMITER = 2
    TABLE_PAIRS = 3
    TABLE_SUBSCRIBERS = 4
    TABLE_SUBSCRIBER_LISTS = 5
    TABLE_ORDERS = 6
    TABLE_SHARES = 7

cdef enum:
    BUCKET_RECORDS = 4
    REGION_BITS = 15         # buckets in a region: 2^15 of 64 bytes
    TABLE_PARAMETERS = 4
    TABLE_TRIES = 1000       # lost races after which a change is given up and counted in `lost`

cdef struct Record:          # 16-byte aligned; changed only by a 16-byte compare-and-swap
    uint64_t key             # 0 = free
    uint64_t value

cdef struct TableView:
    Record* records
    uint64_t regions
    uint64_t region_mask     # buckets in a region - 1; a small table is one small region
    uint64_t secret0
    uint64_t secret1
    uint64_t* evictions      # shared counters in the file's header: records of worth that had to go,
    uint64_t* lost           # changes that were given up,
    uint64_t* moves          # and records that went to their other bucket
    uint64_t* summary        # likewise: what the table's kind says of all its records in one word
    uint64_t parameters[TABLE_PARAMETERS]    # of the table's kind
    bint keys_hashed         # under the same secret

# What says where a key stands: two folded multiplications under 128 secret bits (as in wyhash and foldhash). It is no
# cryptographic hash, and need be none: who chooses keys sees neither the secret nor any place, so he cannot aim at a
# bucket; SipHash would cost eight times as much at every table. Keys that are hashes already (`paired_key`) need only
# their bits spread: the odd factor is 2^64 / golden ratio.
cdef inline uint64_t table_hash(const TableView* view, uint64_t key) noexcept nogil:
    if view.keys_hashed:
        return key * <uint64_t>0x9E3779B97F4A7C15
    return folded(folded(key ^ view.secret0, view.secret1 | 1), view.secret0 | 1)

# Likewise of two words.
cdef inline uint64_t table_pair_hash(const TableView* view, uint64_t one, uint64_t other) noexcept nogil:
    return folded(folded(folded(one ^ view.secret0, view.secret1 | 1) ^ other, view.secret0 | 1), view.secret1 | 1)

cdef inline uint64_t table_region(const TableView* view, uint64_t hashed) noexcept nogil:
    return (hashed >> 32) * view.regions >> 32

# The first bucket of a region.
cdef inline Record* table_region_at(const TableView* view, uint64_t region) noexcept nogil:
    return view.records + (region * BUCKET_RECORDS << REGION_BITS)

cdef inline Record* table_bucket(const TableView* view, uint64_t key) noexcept nogil:
    cdef uint64_t hashed = table_hash(view, key)
    return table_region_at(view, table_region(view, hashed)) + BUCKET_RECORDS * (hashed & view.region_mask)

cdef class Table:
    cdef TableView view
    cdef object mapping
    cdef object identity     # device and inode: which file it is, whatever its path comes to name
    cdef Py_buffer pages     # pins the mapping for as long as `view` points into it
    cdef readonly str path
    cdef readonly uint64_t capacity
    cdef readonly bint fresh
    cdef readonly str reason
