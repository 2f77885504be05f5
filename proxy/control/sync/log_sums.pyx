"""Sums of decaying events by their logarithms, in integers of 192 bits: no rounding that depends on their order.

A sum is taken at 2^-80 of its largest part. What is smaller counts for nothing, so the largest part has less than 144
bits, and 2^46 such parts have room.
"""

from array import array

from proxy.control.sync.decay import MOST_WORTH as _MOST_WORTH
from proxy.control.sync.decay import POWERS, UNIT

cdef extern from *:
    """
    #define callsieve_leading_zeros(word) ((uint32_t)__builtin_clzll(word))
    """
    uint32_t leading_zeros "callsieve_leading_zeros"(uint64_t word) noexcept nogil

cdef enum:
    STEPS_BITS = 10                  # q counts 1024ths of a doubling
    STEPS = 1 << STEPS_BITS
    LIMBS = 3
    FRACTION_BITS = 63               # of a power in the table
    UNIT_BITS = 16
    SUM_DOUBLINGS = 80

cdef struct Wide:                    # the least significant limb first
    uint64_t limbs[LIMBS]

cdef uint64_t powers[STEPS]          # 2^(63 + f / 1024), rounded down
cdef uint64_t most_worth = _MOST_WORTH
powers[:] = POWERS
assert UNIT == 1 << UNIT_BITS


cdef uint64_t worth_of(uint32_t q, int64_t now_steps) noexcept nogil:
    cdef int64_t steps = <int64_t>q - now_steps
    cdef int64_t shift = FRACTION_BITS - UNIT_BITS - (steps >> STEPS_BITS)
    if q == 0 or shift > 63:
        return 0
    return min(powers[steps & (STEPS - 1)] >> shift, most_worth) if shift >= 0 else most_worth


cdef uint32_t q_of_events(uint64_t events, int64_t now_steps) noexcept nogil:
    cdef Wide wide = Wide(limbs=[events, 0, 0])
    return within(now_steps + floor_log2(&wide, -UNIT_BITS), 1) if events else 0


cdef uint32_t sum_of(const uint32_t* parts, uint64_t count) noexcept nogil:
    cdef Wide total = Wide(limbs=[0, 0, 0])
    cdef uint32_t largest = 0
    cdef uint64_t i, present = 0
    cdef int64_t base
    for i in range(count):
        largest = max(largest, parts[i])
        present += parts[i] > 0
    if present < 2:
        return largest
    base = scale_of(largest)
    for i in range(count):
        if parts[i] and doublings(parts[i]) >= base:
            add(&total, power_of(parts[i], base))
    return within(floor_log2(&total, base - FRACTION_BITS), 0)


cdef uint32_t difference_of(uint32_t whole, const uint32_t* parts, uint64_t count) noexcept nogil:
    cdef int64_t base = scale_of(whole)
    cdef Wide total
    cdef uint64_t i
    if whole == 0:
        return 0
    total = power_of(whole, base)
    for i in range(count):
        if parts[i] == 0 or doublings(parts[i]) < base:
            continue
        if doublings(parts[i]) - base > SUM_DOUBLINGS or not subtract(&total, power_of(parts[i], base)):
            return 0
    return within(floor_log2(&total, base - FRACTION_BITS), 0) if is_positive(&total) else 0


cdef inline uint32_t within(int64_t q, int64_t least) noexcept nogil:
    return <uint32_t>min(max(q, least), <int64_t>0xFFFF_FFFF)


cdef inline int64_t doublings(uint32_t q) noexcept nogil:
    return q >> STEPS_BITS


cdef inline int64_t scale_of(uint32_t largest) noexcept nogil:
    return doublings(largest) - SUM_DOUBLINGS


# A power of the table, shifted by the distance of its exponent from `base`: 0 to 80.
cdef inline Wide power_of(uint32_t q, int64_t base) noexcept nogil:
    cdef Wide wide = Wide(limbs=[0, 0, 0])
    cdef int64_t shift = doublings(q) - base
    cdef uint64_t power = powers[q & (STEPS - 1)]
    wide.limbs[shift >> 6] = power << (shift & 63)
    if shift & 63:
        wide.limbs[(shift >> 6) + 1] = power >> (64 - (shift & 63))
    return wide


cdef inline void add(Wide* total, Wide part) noexcept nogil:
    cdef uint64_t carry = 0, before
    cdef int i
    for i in range(LIMBS):
        before = total.limbs[i]
        total.limbs[i] = before + part.limbs[i] + carry
        carry = total.limbs[i] < before or (carry and total.limbs[i] == before)


# False: less than nothing would be left.
cdef inline bint subtract(Wide* total, Wide part) noexcept nogil:
    cdef uint64_t borrow = 0, before
    cdef int i
    for i in range(LIMBS):
        before = total.limbs[i]
        total.limbs[i] = before - part.limbs[i] - borrow
        borrow = before < part.limbs[i] or (borrow and before == part.limbs[i])
    return borrow == 0


cdef inline bint is_positive(const Wide* wide) noexcept nogil:
    return (wide.limbs[0] | wide.limbs[1] | wide.limbs[2]) != 0


# floor(1024 * log2(wide * 2^exponent)); wide > 0.
cdef int64_t floor_log2(const Wide* wide, int64_t exponent) noexcept nogil:
    cdef int top = 2 if wide.limbs[2] else 1 if wide.limbs[1] else 0
    cdef uint32_t zeros = leading_zeros(wide.limbs[top])
    cdef uint64_t aligned = wide.limbs[top] << zeros
    cdef int64_t low = 0, high = STEPS, middle
    if top and zeros:
        aligned |= wide.limbs[top - 1] >> (64 - zeros)
    while high - low > 1:            # powers[low] <= aligned < powers[high]
        middle = (low + high) >> 1
        if powers[middle] <= aligned:
            low = middle
        else:
            high = middle
    return (64 * top + 63 - zeros + exponent) * STEPS + low


def worth(q, int64_t now_steps):
    return worth_of(q, now_steps)


def q_of(events, int64_t now_steps):
    return q_of_events(max(events, 0), now_steps)


def sum_q(parts):
    cdef const uint32_t[::1] view = _words(parts)
    return sum_of(&view[0], view.shape[0] - 1)


def difference_q(whole, parts):
    cdef const uint32_t[::1] view = _words(parts)
    return difference_of(whole, &view[0], view.shape[0] - 1)


cdef object _words(parts):
    return array("I", (*parts, 0))   # never empty, so that it has an address
