# Orders given while calls are screened: a caller or a block of callers that is blocked or allowed, a callee that is
# never blocked; a trunk that is closed. 16-byte records under a keyed hash, read by every process, written by one.
# Nothing is evicted.
#
# Prefixes are records too. The table's summary says which orders there are, of callers and of callees, and how long
# their prefixes are: where nothing is ordered a call costs one word that is always near.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from engine._cuckoo cimport nest_prefetch, paired_key
from engine._decision cimport number_t
from engine._table cimport Table, TableView, callsieve_counted

cdef enum OrderAct:
    ORDER_NONE = 0
    ORDER_BLOCK = 1
    ORDER_ALLOW = 2
    ORDER_NEVER_BLOCK = 3

# Whom an order is about: the other half of its key.
cdef enum OrderRole:
    ORDER_CALLER = 1
    ORDER_CALLEE = 2
    ORDER_TRUNK = 3          # of a trunk, by the hash of its name

cdef enum:
    ORDER_REGULATOR = 3      # the priority of orders that spare not even protected callers

cdef enum:
    TRUNK_ORDERS = 1 << 16   # the bit of `order_kinds` that says that there are orders about trunks

cdef struct Order:
    uint8_t act              # OrderAct
    uint8_t priority         # 1 tenant, 2 operator, 3 regulator
    uint8_t weight           # as of a list's entry: 2 * matched digits, + 1 for the whole number; 0 of a trunk

# Which orders there are: 32 bits of callers, above them 32 of callees. Bit 0 = of whole numbers; bit n = prefixes of n
# digits, bit 16 + n = those of short codes. Bit 16 of callers = trunks.
cdef inline uint64_t order_kinds(const TableView* view) noexcept nogil:
    return callsieve_counted(view.summary)

cdef inline uint64_t kinds_of(uint64_t kinds, uint64_t role) noexcept nogil:
    return kinds >> 32 if role == ORDER_CALLEE else <uint64_t><uint32_t>kinds

cdef inline void order_prefetch(const TableView* view, number_t number, uint64_t role) noexcept nogil:
    nest_prefetch(view, paired_key(view, number, role))

# The longest match that is in force; False if there is none. kinds: `kinds_of` its role.
cdef bint order_of(
    const TableView* view, uint64_t kinds, number_t number, uint64_t role, int64_t now_us, Order* order
) noexcept nogil

# What is ordered of a trunk, if it is in force.
cdef bint order_of_trunk(const TableView* view, uint64_t trunk, int64_t now_us, Order* order) noexcept nogil

cdef class OrderTable:
    cdef readonly Table table
    cdef bint write(self, uint64_t word, uint64_t role, uint64_t bit, uint64_t value) except -1
