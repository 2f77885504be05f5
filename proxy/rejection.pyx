"""Verdicts on the wire.

Nothing here takes a byte from the network: headers are made of enumerations, checked integers, names and texts of the
configuration, so that no caller can put a header into them.
"""

from engine._decision cimport (
    ACTION_DIVERT,
    ACTION_TAG,
    BASIS_ANALYTICS,
    BASIS_DNO,
    BASIS_INVALID,
    BASIS_OVERLOAD,
    BASIS_POLICY,
    BASIS_SECURITY,
    BASIS_SUBSCRIBER,
)
from proxy.forwarding cimport standard_reason
from proxy.outbox cimport literal, put, put_base32, put_decimal
from proxy.routing_table cimport FORM_NETWORK_BLOCKED, FORM_REJECTED


# The trunk's own status for a basis wins; 603 by analytics is written in the trunk's form.
cdef uint16_t rejection_status(const TrunkEntry* trunk, const Verdict* verdict) noexcept nogil:
    if verdict.basis == BASIS_ANALYTICS and verdict.status == 603 and trunk.analytics == FORM_REJECTED:
        return 608
    return verdict.status if verdict.status >= 300 else 403


cdef bint is_network_blocked(const TrunkEntry* trunk, const Verdict* verdict, uint16_t status) noexcept nogil:
    return verdict.basis == BASIS_ANALYTICS and status == 603 and trunk.analytics == FORM_NETWORK_BLOCKED


cdef const char* rejection_reason(const TrunkEntry* trunk, const Verdict* verdict, uint16_t status) noexcept nogil:
    if is_network_blocked(trunk, verdict, status):
        return b"Network Blocked"
    return standard_reason(status)


cdef void write_rejection_headers(
    Writer* writer, RoutingTable routing, const TrunkEntry* trunk, const Verdict* verdict, uint16_t status
) noexcept nogil:
    if is_network_blocked(trunk, verdict, status):
        put(writer, routing.reason_603.data, routing.reason_603.size)
        put_base32(writer, verdict.redress)
        put(writer, routing.reason_603_end.data, routing.reason_603_end.size)
    elif status == 608:
        put(writer, routing.card_608.data, routing.card_608.size)


cdef void write_label_headers(
    Writer* writer, RoutingTable routing, const GatewayEntry* gateway, const Verdict* verdict
) noexcept nogil:
    if verdict.action not in (ACTION_TAG, ACTION_DIVERT) or not gateway.trusted:
        return
    if gateway.tag_verdict:
        literal(writer, b"X-Callsieve-Verdict: ")
        literal(writer, b"tag;score=" if verdict.action == ACTION_TAG else b"divert;score=")
        put_decimal(writer, verdict.score)
        literal(writer, b";basis=")
        literal(writer, basis_name(verdict.basis))
        if verdict.rule < routing.rule_count:
            literal(writer, b";rule=")
            put(writer, routing.rules[verdict.rule].data, routing.rules[verdict.rule].size)
        literal(writer, b";id=")
        put_base32(writer, verdict.redress)
        if verdict.label < routing.label_count:
            literal(writer, b";label=")
            write_label(writer, routing, verdict.label)
        literal(writer, b"\r\n")
    if gateway.call_info != NULL and verdict.label < routing.label_count:
        put(writer, gateway.call_info, gateway.call_info_size)
        write_label(writer, routing, verdict.label)
        literal(writer, b"\r\n")


cdef void write_label(Writer* writer, RoutingTable routing, uint8_t label) noexcept nogil:
    literal(writer, b'"')
    put(writer, routing.labels[label].data, routing.labels[label].size)
    literal(writer, b'"')


cdef const char* basis_name(uint8_t basis) noexcept nogil:
    if basis == BASIS_ANALYTICS:
        return b"analytics"
    if basis == BASIS_DNO:
        return b"dno"
    if basis == BASIS_INVALID:
        return b"invalid"
    if basis == BASIS_SUBSCRIBER:
        return b"subscriber"
    if basis == BASIS_POLICY:
        return b"policy"
    if basis == BASIS_OVERLOAD:
        return b"overload"
    if basis == BASIS_SECURITY:
        return b"security"
    return b"none"
