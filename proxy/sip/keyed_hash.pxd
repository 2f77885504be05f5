# SipHash-2-4 (Aumasson, Bernstein 2012) over several byte strings: keys of transactions and dialogs, tags, cookies.
# The secret is the node's, so that nobody outside can choose colliding or guess valid values.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef CALLSIEVE_KEYED_HASH
    #define CALLSIEVE_KEYED_HASH
    #include <stdint.h>
    #include <string.h>
    typedef struct { uint64_t v0, v1, v2, v3, tail; uint32_t length; } KeyedHash;
    #define KH_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
    #define KH_ROUND(h) do { \\
        h->v0 += h->v1; h->v1 = KH_ROTL(h->v1, 13); h->v1 ^= h->v0; h->v0 = KH_ROTL(h->v0, 32); \\
        h->v2 += h->v3; h->v3 = KH_ROTL(h->v3, 16); h->v3 ^= h->v2; \\
        h->v0 += h->v3; h->v3 = KH_ROTL(h->v3, 21); h->v3 ^= h->v0; \\
        h->v2 += h->v1; h->v1 = KH_ROTL(h->v1, 17); h->v1 ^= h->v2; h->v2 = KH_ROTL(h->v2, 32); } while (0)
    static inline void keyed_hash_begin(KeyedHash *h, const uint64_t *secret) {
        h->v0 = secret[0] ^ 0x736f6d6570736575ULL; h->v1 = secret[1] ^ 0x646f72616e646f6dULL;
        h->v2 = secret[0] ^ 0x6c7967656e657261ULL; h->v3 = secret[1] ^ 0x7465646279746573ULL;
        h->tail = 0; h->length = 0;
    }
    static inline void keyed_hash_word(KeyedHash *h, uint64_t m) {
        h->v3 ^= m; KH_ROUND(h); KH_ROUND(h); h->v0 ^= m;
    }
    /* Each string is closed by its length, so that ("ab", "c") and ("a", "bc") differ. */
    static inline void keyed_hash_add(KeyedHash *h, const uint8_t *data, uint32_t size) {
        uint32_t left = size;
        uint64_t m;
        while (left >= 8) { memcpy(&m, data, 8); keyed_hash_word(h, m); data += 8; left -= 8; }
        m = 0;
        memcpy(&m, data, left);
        keyed_hash_word(h, m | ((uint64_t)(size & 0xFF) << 56));
        h->length += size;
    }
    static inline uint64_t keyed_hash_end(KeyedHash *h) {
        keyed_hash_word(h, (uint64_t)h->length << 56);
        h->v2 ^= 0xFF;
        KH_ROUND(h); KH_ROUND(h); KH_ROUND(h); KH_ROUND(h);
        return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
    }
    #endif
    """
    ctypedef struct KeyedHash:
        pass
    void keyed_hash_begin(KeyedHash* h, const uint64_t* secret) noexcept nogil
    void keyed_hash_word(KeyedHash* h, uint64_t word) noexcept nogil
    void keyed_hash_add(KeyedHash* h, const uint8_t* data, uint32_t size) noexcept nogil
    uint64_t keyed_hash_end(KeyedHash* h) noexcept nogil
