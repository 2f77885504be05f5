# The steps that obey the orders given while calls are screened (`_orders`).

from libc.stdint cimport uint16_t, uint64_t

from engine._decision cimport ACTION_ACCEPT, ACTION_REJECT, BASIS_POLICY, NO_DIVERT, NO_LABEL
from engine._decision_notes cimport Decision, act_as, add_reason, settle
from engine._image cimport (
    LEVEL_ALLOW,
    LEVEL_DENY,
    OUTCOME_REJECT,
    RULE_ALLOW_ORDER,
    RULE_BLOCK_ORDER,
    RULE_NEVER_BLOCK_ORDER,
    RULE_REGULATOR_ORDER,
    RULE_TRUNK_ORDER,
    ImageHit,
    ImageView,
)
from engine._lists cimport strongest
from engine._numbers cimport has_digits
from engine._orders cimport (
    ORDER_ALLOW,
    ORDER_BLOCK,
    ORDER_CALLEE,
    ORDER_CALLER,
    ORDER_NONE,
    ORDER_REGULATOR,
    TRUNK_ORDERS,
    Order,
    OrderTable,
    kinds_of,
    order_kinds,
    order_of,
    order_of_trunk,
    order_prefetch,
)


cdef inline void prefetch_orders(Decision* d, OrderTable orders) noexcept nogil:
    d.order_kinds = order_kinds(&orders.table.view)
    if d.numbered and kinds_of(d.order_kinds, ORDER_CALLER):
        order_prefetch(&orders.table.view, d.attempt.caller, ORDER_CALLER)
    if kinds_of(d.order_kinds, ORDER_CALLEE) and has_digits(d.attempt.callee):
        order_prefetch(&orders.table.view, d.attempt.callee, ORDER_CALLEE)


cdef inline bint spared(Decision* d, OrderTable orders) noexcept nogil:
    """It was ordered that calls to this number are never blocked."""
    cdef uint64_t kinds = kinds_of(d.order_kinds, ORDER_CALLEE)
    cdef Order order
    if not kinds or not has_digits(d.attempt.callee):
        return False
    if not order_of(&orders.table.view, kinds, d.attempt.callee, ORDER_CALLEE, d.now_us, &order):
        return False
    add_reason(d, RULE_NEVER_BLOCK_ORDER, 0, ACTION_ACCEPT)
    d.verdict.rule = RULE_NEVER_BLOCK_ORDER
    return True


cdef inline void allow_by(Decision* d, uint16_t rule) noexcept nogil:
    add_reason(d, rule, 0, ACTION_ACCEPT)
    if not d.allowed:
        d.verdict.rule = rule
    d.allowed = True


cdef inline bint commanded(Decision* d, OrderTable orders) noexcept nogil:
    """A regulator's order of the caller: it spares not even protected ones. What others ordered is noted for later."""
    cdef uint64_t kinds = kinds_of(d.order_kinds, ORDER_CALLER)
    if not kinds or not d.numbered:
        return False
    if not order_of(&orders.table.view, kinds, d.attempt.caller, ORDER_CALLER, d.now_us, &d.order):
        d.order.act = ORDER_NONE
    if d.order.act == ORDER_NONE or d.order.priority < ORDER_REGULATOR:
        return False
    if d.order.act == ORDER_ALLOW:
        allow_by(d, RULE_REGULATOR_ORDER)
        return False
    add_reason(d, RULE_REGULATOR_ORDER, 0, ACTION_REJECT)
    settle(d, ACTION_REJECT, BASIS_POLICY, RULE_REGULATOR_ORDER, NO_LABEL, NO_DIVERT)
    return True


cdef inline bint obeyed(const ImageView* policy, Decision* d) noexcept nogil:
    """An order of the operator stands above entries of its lists that match no longer than it does."""
    cdef const ImageHit* allow = strongest(policy, d, d.caller, LEVEL_ALLOW) if d.order.act else NULL
    cdef const ImageHit* deny = strongest(policy, d, d.caller, LEVEL_DENY) if d.order.act else NULL
    if d.order.act == ORDER_NONE or d.order.priority >= ORDER_REGULATOR:
        return False
    if (allow is not NULL and allow.weight > d.order.weight) or (deny is not NULL and deny.weight > d.order.weight):
        return False
    if d.order.act == ORDER_BLOCK:
        return act_as(d, RULE_BLOCK_ORDER, OUTCOME_REJECT, BASIS_POLICY, NO_LABEL, NO_DIVERT, False)
    allow_by(d, RULE_ALLOW_ORDER)
    return False


cdef inline bint closed(Decision* d, OrderTable orders) noexcept nogil:
    """It was ordered that nothing is taken from this trunk; callers that are allowed go through all the same."""
    cdef Order order
    if not d.order_kinds & TRUNK_ORDERS:
        return False
    if not order_of_trunk(&orders.table.view, d.trunk.name_hash, d.now_us, &order) or order.act != ORDER_BLOCK:
        return False
    return act_as(d, RULE_TRUNK_ORDER, OUTCOME_REJECT, BASIS_POLICY, NO_LABEL, NO_DIVERT, False)
