"""Orders given while calls are screened, one record each, in force as soon as it is written.

    value   from 30 | until 30 | priority 2 | act 2

Times are seconds since 2026-01-01, 0 = none; they end in 2060. A bit of the summary that was set stays: a kind without
orders costs one look-up.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from engine._cuckoo cimport Nest, nest_find, nest_of, nest_put, nest_remove, paired_key
from engine._decision cimport KIND_NUMBER, KIND_PREFIX, KIND_SHORT
from engine._numbers cimport (
    SHORT_PREFIX,
    PrefixWalk,
    next_prefix,
    number_digits,
    number_kind,
    prefixes_of,
)
from engine._table cimport TABLE_ORDERS, callsieve_set_bits

ORDER_EPOCH_S = 1_767_225_600
ORDER_LAST_S = ORDER_EPOCH_S + (1 << 30) - 1

cdef extern from *:
    """
    #define CALLSIEVE_ORDER_EPOCH_US 1767225600000000LL
    """
    const int64_t EPOCH_US "CALLSIEVE_ORDER_EPOCH_US"

cdef enum:
    TIME_MASK = (1 << 30) - 1
    SHORT_LENGTHS_AT = 16


cdef inline bint look(const TableView* view, uint64_t word, uint64_t role, uint64_t* value) noexcept nogil:
    cdef uint64_t key = paired_key(view, word, role)
    cdef Nest nest = nest_of(view, key)
    return nest_find(view, &nest, key, value)


cdef bint heed(uint64_t value, int64_t now_us, int weight, Order* order) noexcept nogil:
    """True if the order is in force."""
    cdef int64_t now_s = (now_us - EPOCH_US) // 1_000_000
    cdef int64_t from_s = value >> 34, until_s = value >> 4 & TIME_MASK
    if (from_s and now_s < from_s) or (until_s and now_s >= until_s):
        return False
    order.act = value & 3
    order.priority = value >> 2 & 3
    order.weight = <uint8_t>weight
    return True


cdef bint order_of(
    const TableView* view, uint64_t kinds, number_t number, uint64_t role, int64_t now_us, Order* order
) noexcept nogil:
    cdef uint32_t lengths = <uint32_t>(kinds >> (SHORT_LENGTHS_AT if number_kind(number) == KIND_SHORT else 0))
    cdef PrefixWalk walk = prefixes_of(number, lengths)
    cdef uint64_t value
    cdef number_t prefix
    if kinds & 1 and look(view, number, role, &value) and heed(value, now_us, 2 * number_digits(number) + 1, order):
        return True
    prefix = next_prefix(&walk)
    while prefix:
        if look(view, prefix, role, &value) and heed(value, now_us, 2 * walk.length, order):
            return True
        prefix = next_prefix(&walk)
    return False


cdef bint order_of_trunk(const TableView* view, uint64_t trunk, int64_t now_us, Order* order) noexcept nogil:
    cdef uint64_t value
    return look(view, trunk, ORDER_TRUNK, &value) and heed(value, now_us, 0, order)


# --- Python -----------------------------------------------------------------------------------------------------------

cdef uint64_t time_word(object time_s) except? 0:
    """0 stays 0; what began before 2026 began at once."""
    if time_s == 0:
        return 0
    if time_s > ORDER_LAST_S:
        raise ValueError(f"time {time_s}: expected 0 to {ORDER_LAST_S}")
    return max(time_s - ORDER_EPOCH_S, 1)


cdef uint64_t order_word(object act, object priority, object from_s, object until_s) except 0:
    if not ORDER_BLOCK <= act <= ORDER_NEVER_BLOCK or not 1 <= priority <= ORDER_REGULATOR:
        raise ValueError(f"act {act}, priority {priority}: expected 1 to 3")
    return time_word(from_s) << 34 | time_word(until_s) << 4 | <uint64_t>priority << 2 | <uint64_t>act


cdef uint64_t kind_bit(number_t number, uint64_t role) except 0:
    """The bit that says that there are orders like this one."""
    cdef int kind = number_kind(number)
    cdef uint64_t bit = 1
    if kind == KIND_PREFIX:
        bit = 1ULL << number_digits(number & ~SHORT_PREFIX) << (SHORT_LENGTHS_AT if number & SHORT_PREFIX else 0)
    elif kind != KIND_NUMBER and kind != KIND_SHORT:
        raise ValueError(f"number {number}: no number and no prefix")
    return bit << 32 if role == ORDER_CALLEE else bit


cdef inline bint put(const TableView* view, uint64_t word, uint64_t role, uint64_t value) noexcept nogil:
    return nest_put(view, paired_key(view, word, role), value)


@cython.final
cdef class OrderTable:
    def __init__(self, path, capacity):
        self.table = Table(path, TABLE_ORDERS, capacity, whole=True)

    @classmethod
    def attach(cls, path):
        cdef OrderTable orders = OrderTable.__new__(OrderTable)
        orders.table = Table.attach(path, TABLE_ORDERS, whole=True)
        return orders

    def set(self, number_t number, act, priority, from_s=0, until_s=0):
        cdef uint64_t word = order_word(act, priority, from_s, until_s)
        cdef uint64_t role = ORDER_CALLEE if act == ORDER_NEVER_BLOCK else ORDER_CALLER
        return self.write(number, role, kind_bit(number, role), word)

    def clear(self, number_t number, *, bint callee=False):
        self.table.begin_changes()
        nest_remove(&self.table.view, paired_key(&self.table.view, number, ORDER_CALLEE if callee else ORDER_CALLER))

    def read(self, number_t number, int64_t now_us, *, bint callee=False):
        cdef uint64_t role = ORDER_CALLEE if callee else ORDER_CALLER
        cdef uint64_t kinds = kinds_of(order_kinds(&self.table.view), role)
        cdef Order order
        if not order_of(&self.table.view, kinds, number, role, now_us, &order):
            return None
        return order.act, order.priority, order.weight

    def set_trunk(self, uint64_t trunk, act, priority, from_s=0, until_s=0):
        return self.write(trunk, ORDER_TRUNK, TRUNK_ORDERS, order_word(act, priority, from_s, until_s))

    def clear_trunk(self, uint64_t trunk):
        self.table.begin_changes()
        nest_remove(&self.table.view, paired_key(&self.table.view, trunk, ORDER_TRUNK))

    def read_trunk(self, uint64_t trunk, int64_t now_us):
        cdef Order order
        if not order_of_trunk(&self.table.view, trunk, now_us, &order):
            return None
        return order.act, order.priority

    cdef bint write(self, uint64_t word, uint64_t role, uint64_t bit, uint64_t value) except -1:
        self.table.begin_changes()
        # The kind first: from then on the order is looked for.
        callsieve_set_bits(self.table.view.summary, bit)
        return put(&self.table.view, word, role, value)

    def flush(self):
        self.table.end_changes()
