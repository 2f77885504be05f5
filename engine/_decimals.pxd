# Numbers as decimals: words that are "1" and up to 15 digits (E.164), the leading 1 keeping zeros and length.

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>

    #define callsieve_highest_bit(word) (63 - __builtin_clzll(word))
    #define callsieve_high_word(a, b) ((uint64_t)((unsigned __int128)(uint64_t)(a) * (uint64_t)(b) >> 64))

    static inline uint64_t callsieve_folded(uint64_t a, uint64_t b)
    {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }

    static inline uint64_t callsieve_power_of_ten(int n)
    {
        static const uint64_t powers[16] = {
            1ULL, 10ULL, 100ULL, 1000ULL,
            10000ULL, 100000ULL, 1000000ULL, 10000000ULL,
            100000000ULL, 1000000000ULL, 10000000000ULL, 100000000000ULL,
            1000000000000ULL, 10000000000000ULL, 100000000000000ULL, 1000000000000000ULL};
        return powers[n];
    }

    /* Half a dividend below 2^52 divided by 10^n, as multiply and shift. Reciprocals are 2^(64 + shift) / (2 * 10^n)
       rounded up, with shift = floor(log2(2 * 10^n - 1)): exact, since they carry 64 significant bits (Granlund,
       Montgomery, PLDI 1994). */
    static inline uint64_t callsieve_without_last_digits(uint64_t word, uint32_t n)
    {
        static const struct { uint64_t reciprocal; uint64_t shift; } divisors[16] = {
            {0x8000000000000000ULL, 0}, {0xCCCCCCCCCCCCCCCDULL, 4}, {0xA3D70A3D70A3D70BULL, 7},
            {0x83126E978D4FDF3CULL, 10}, {0xD1B71758E219652CULL, 14}, {0xA7C5AC471B478424ULL, 17},
            {0x8637BD05AF6C69B6ULL, 20}, {0xD6BF94D5E57A42BDULL, 24}, {0xABCC77118461CEFDULL, 27},
            {0x89705F4136B4A598ULL, 30}, {0xDBE6FECEBDEDD5BFULL, 34}, {0xAFEBFF0BCB24AAFFULL, 37},
            {0x8CBCCC096F5088CCULL, 40}, {0xE12E13424BB40E14ULL, 44}, {0xB424DC35095CD810ULL, 47},
            {0x901D7CF73AB0ACDAULL, 50}};
        return callsieve_high_word(word << 1, divisors[n].reciprocal) >> divisors[n].shift;
    }
    """
    int highest_bit "callsieve_highest_bit"(uint64_t word) noexcept nogil
    uint64_t high_word "callsieve_high_word"(uint64_t a, uint64_t b) noexcept nogil
    # The low word of the product against the high one: every bit of both factors reaches every bit of it.
    uint64_t folded "callsieve_folded"(uint64_t a, uint64_t b) noexcept nogil
    # n: 0 to 15.
    uint64_t power_of_ten "callsieve_power_of_ten"(int n) noexcept nogil
    # word: below 2^52.
    uint64_t without_last_digits "callsieve_without_last_digits"(uint64_t word, uint32_t n) noexcept nogil

cdef enum:
    MAX_DECIMALS = 15

# How many digits stand behind the leading 1. 1233 / 4096 = log10(2): right for every word from 10^n to 2 * 10^n - 1.
cdef inline int decimals_of(uint64_t word) noexcept nogil:
    return (highest_bit(word | 1) + 1) * 1233 >> 12

# Likewise of any word; 0 if it is no such decimal.
cdef inline int checked_decimals_of(uint64_t word) noexcept nogil:
    cdef int length = decimals_of(word)
    if length > MAX_DECIMALS or word < power_of_ten(length) or word >= 2 * power_of_ten(length):
        return 0
    return length
