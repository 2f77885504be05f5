# Orders given while calls are screened: a caller or a block of callers that is blocked or allowed, a callee that is never
# blocked. 16-byte records under a keyed hash, read by every process, written by one. Nothing is evicted.
#
# Prefixes are records too. One more record says which lengths of prefix there are, so that where there are none a call
# costs two look-ups, both on their way since `order_prefetch`.

from libc.stdint cimport int64_t, uint8_t, uint64_t

from engine._cuckoo cimport nest_prefetch, paired_key
from engine._decision cimport number_t
from engine._table cimport Table, TableView

cdef enum OrderAct:
    ORDER_NONE = 0
    ORDER_BLOCK = 1
    ORDER_ALLOW = 2
    ORDER_NEVER_BLOCK = 3

# Whom an order is about: the other half of its key.
cdef enum OrderRole:
    ORDER_CALLER = 1
    ORDER_CALLEE = 2
    ORDER_LENGTHS = 3        # of no number: which prefixes there are

cdef enum:
    ORDER_REGULATOR = 3      # the priority of orders that spare not even protected callers

cdef struct Order:
    uint8_t act              # OrderAct
    uint8_t priority         # 1 tenant, 2 operator, 3 regulator
    uint8_t weight           # as of a list's entry: 2 * matched digits, + 1 for the whole number

cdef inline void order_prefetch(const TableView* view, number_t number, uint64_t role) noexcept nogil:
    nest_prefetch(view, paired_key(view, number, role))

# The longest match of a caller or callee that is in force; False if there is none.
cdef bint order_of_number(
    const TableView* view, number_t number, uint64_t role, int64_t now_us, Order* order
) noexcept nogil

cdef class OrderTable:
    cdef readonly Table table
