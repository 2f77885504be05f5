# SipHash over a few 64-bit words (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): SipHash-2-4 for
# what is shown to others or kept, SipHash-1-3 for places in what control keeps.

from libc.stdint cimport uint64_t


cdef struct SipKey:
    uint64_t low
    uint64_t high


cdef inline uint64_t rotate(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline void sip_round(uint64_t* v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = rotate(v[1], 13) ^ v[0]
    v[3] = rotate(v[3], 16) ^ v[2]
    v[0] = rotate(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = rotate(v[1], 17) ^ v[2]
    v[3] = rotate(v[3], 21) ^ v[0]
    v[2] = rotate(v[2], 32)


cdef inline void sip_begin(uint64_t* v, uint64_t low, uint64_t high) noexcept nogil:
    v[0] = low ^ 0x736F6D6570736575ULL
    v[1] = high ^ 0x646F72616E646F6DULL
    v[2] = low ^ 0x6C7967656E657261ULL
    v[3] = high ^ 0x7465646279746573ULL


cdef inline uint64_t siphash(const SipKey* key, const uint64_t* words, int count) noexcept nogil:
    cdef uint64_t v[4]
    cdef uint64_t length = <uint64_t>(count * 8) << 56
    cdef int i, _
    sip_begin(v, key.low, key.high)
    for i in range(count):
        v[3] ^= words[i]
        sip_round(v)
        sip_round(v)
        v[0] ^= words[i]
    v[3] ^= length
    sip_round(v)
    sip_round(v)
    v[0] ^= length
    v[2] ^= 0xff
    for _ in range(4):
        sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


cdef inline uint64_t sip_end(uint64_t* v) noexcept nogil:
    v[2] ^= 0xFF
    sip_round(v)
    sip_round(v)
    sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


# SipHash-1-3 of one word. Every input has the same length, so the final block that carries the length is left out.
cdef inline uint64_t siphash_word(uint64_t secret0, uint64_t secret1, uint64_t word) noexcept nogil:
    cdef uint64_t v[4]
    sip_begin(v, secret0, secret1)
    v[3] ^= word
    sip_round(v)
    v[0] ^= word
    return sip_end(v)
