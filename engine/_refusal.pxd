# The step that asks for the callee's own will.

from engine._conditions cimport is_withheld
from engine._decision cimport ACTION_ACCEPT, BASIS_SUBSCRIBER, NO_DIVERT, NO_LABEL, NO_RULE
from engine._decision_notes cimport SEEN_POINTS, Decision, act_as, add_reason, trace
from engine._image cimport (
    MODE_OBSERVE,
    MODE_OFF,
    OUTCOME_REJECT,
    RULE_SUBSCRIBER_ALLOW,
    RULE_SUBSCRIBER_CONSENT,
    RULE_SUBSCRIBER_PAIR,
    ImageView,
)
from engine._numbers cimport has_digits
from engine._origin cimport segments_of
from engine._subscriber_will cimport SubscriberWill, Will, WillCall, will_read


cdef inline bint refused(const ImageView* policy, Decision* d, SubscriberWill wills) noexcept nogil:
    """The callee's own will. It allows whom the operator would not; only the operator's orders stand above it."""
    cdef bint observes = d.trunk.subscribers == MODE_OBSERVE
    cdef WillCall call
    cdef Will will
    if d.trunk.subscribers == MODE_OFF or not has_digits(d.attempt.callee):
        return False
    call.caller = d.attempt.caller
    call.callee = d.attempt.callee
    call.caller_known = &d.caller_known
    call.now_us = d.now_us
    call.segments = segments_of(policy, d)
    call.suspect_from = d.trunk.tag_from
    call.numbered = d.numbered
    call.withheld = is_withheld(d)
    call.count = d.count
    will_read(wills, policy, &call, &d.callee_places, &will)
    if will.pair_points:
        trace(d, RULE_SUBSCRIBER_PAIR, SEEN_POINTS, <int>will.pair_points, ACTION_ACCEPT)
    if will.allows:
        add_reason(d, RULE_SUBSCRIBER_ALLOW, 0, ACTION_ACCEPT)
        if not observes:
            d.verdict.rule = RULE_SUBSCRIBER_ALLOW
            d.allowed = True
        return False
    if will.consents:
        add_reason(d, RULE_SUBSCRIBER_CONSENT, 0, ACTION_ACCEPT)
        d.consented = not observes
    if will.refused_by == NO_RULE:
        return False
    return act_as(d, will.refused_by, OUTCOME_REJECT, BASIS_SUBSCRIBER, NO_LABEL, NO_DIVERT, observes)
