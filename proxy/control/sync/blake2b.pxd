# BLAKE2b (RFC 7693) of short messages to 64 bits, without a key: what digests and shards are made of.

from libc.stdint cimport uint8_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #define CALLSIEVE_ROTR(x, n) ((x) >> (n) | (x) << (64 - (n)))

    /* Section 3.1: G, the mixing function. */
    #define CALLSIEVE_G(a, b, c, d, x, y) do { \\
        v[a] += v[b] + (x); v[d] = CALLSIEVE_ROTR(v[d] ^ v[a], 32); \\
        v[c] += v[d];       v[b] = CALLSIEVE_ROTR(v[b] ^ v[c], 24); \\
        v[a] += v[b] + (y); v[d] = CALLSIEVE_ROTR(v[d] ^ v[a], 16); \\
        v[c] += v[d];       v[b] = CALLSIEVE_ROTR(v[b] ^ v[c], 63); } while (0)

    /* A round of section 3.2 with its row of SIGMA (section 2.7). */
    #define CALLSIEVE_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) do { \\
        CALLSIEVE_G(0, 4, 8, 12, m[s0], m[s1]);    CALLSIEVE_G(1, 5, 9, 13, m[s2], m[s3]); \\
        CALLSIEVE_G(2, 6, 10, 14, m[s4], m[s5]);   CALLSIEVE_G(3, 7, 11, 15, m[s6], m[s7]); \\
        CALLSIEVE_G(0, 5, 10, 15, m[s8], m[s9]);   CALLSIEVE_G(1, 6, 11, 12, m[s10], m[s11]); \\
        CALLSIEVE_G(2, 7, 8, 13, m[s12], m[s13]);  CALLSIEVE_G(3, 4, 9, 14, m[s14], m[s15]); } while (0)

    static const uint64_t callsieve_blake2b_iv[8] = {
        0x6A09E667F3BCC908ULL, 0xBB67AE8584CAA73BULL, 0x3C6EF372FE94F82BULL, 0xA54FF53A5F1D36F1ULL,
        0x510E527FADE682D1ULL, 0x9B05688C2B3E6C1FULL, 0x1F83D9ABFB41BD6BULL, 0x5BE0CD19137E2179ULL};

    static void callsieve_blake2b_compress(uint64_t *h, const uint8_t *block, uint64_t counter, int last)
    {
        uint64_t m[16], v[16];
        memcpy(m, block, 128);
        memcpy(v, h, 64);
        memcpy(v + 8, callsieve_blake2b_iv, 64);
        v[12] ^= counter;
        if (last)
            v[14] = ~v[14];
        CALLSIEVE_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        CALLSIEVE_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
        CALLSIEVE_ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
        CALLSIEVE_ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
        CALLSIEVE_ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
        CALLSIEVE_ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
        CALLSIEVE_ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
        CALLSIEVE_ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
        CALLSIEVE_ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
        CALLSIEVE_ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
        CALLSIEVE_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        CALLSIEVE_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
        for (int i = 0; i < 8; i++)
            h[i] ^= v[i] ^ v[i + 8];
    }

    /* Big-endian, as a digest is written down. */
    static uint64_t callsieve_blake2b_64(const uint8_t *message, size_t size)
    {
        uint64_t h[8], counter = 0;
        uint8_t block[128];
        memcpy(h, callsieve_blake2b_iv, 64);
        h[0] ^= 0x01010000 ^ 8;
        while (size - counter > 128) {
            callsieve_blake2b_compress(h, message + counter, counter + 128, 0);
            counter += 128;
        }
        memset(block, 0, sizeof block);
        memcpy(block, message + counter, size - counter);
        callsieve_blake2b_compress(h, block, size, 1);
        return __builtin_bswap64(h[0]);
    }

    static inline void callsieve_store_be64(uint8_t *at, uint64_t word)
    {
        word = __builtin_bswap64(word);
        memcpy(at, &word, 8);
    }

    static inline void callsieve_store_be32(uint8_t *at, uint32_t word)
    {
        word = __builtin_bswap32(word);
        memcpy(at, &word, 4);
    }
    """
    uint64_t blake2b_64 "callsieve_blake2b_64"(const uint8_t* message, size_t size) noexcept nogil
    void store_be64 "callsieve_store_be64"(uint8_t* at, uint64_t word) noexcept nogil
    void store_be32 "callsieve_store_be32"(uint8_t* at, unsigned int word) noexcept nogil
