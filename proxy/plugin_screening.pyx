"""Calls that another SIP server forwards, judged as a worker judges its own.

That server keeps sockets, transactions and dialogs. What it asks about is an INVITE as it came from the wire; what it
is told are the status, the reason phrase and the headers that the proxy would have written. Between a verdict and the
end of the call the server keeps the event record, since another of its processes may see the end.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from engine._decision cimport ACTION_DIVERT, ACTION_DROP, ACTION_REJECT, ACTION_TAG, NO_RULE, Verdict
from engine._fastpath cimport FastPath
from engine._outcomes cimport OUTCOME_ANSWERED, OUTCOME_ENDED, OUTCOME_FAILED, OUTCOME_REFUSED, OUTCOME_RINGING
from proxy.events cimport EVENT_ENDED, NO_GATEWAY, Event
from proxy.outbox cimport Writer, writer_over
from proxy.rejection cimport rejection_reason, rejection_status, write_label_headers, write_rejection_headers
from proxy.routing_table cimport PEER_TRUNK, GatewayEntry, Peer, RoutingTable, TrunkEntry
from proxy.screening cimport Screening
from proxy.sip.address cimport Address, address_from_python
from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport HEADER_ASSERTED_IDENTITY, METHOD_INVITE, Message, parse_message
from proxy.sip.trunk_group cimport originating_group
from proxy.trust_border cimport RIGHT_ASSERT, Border, open_border, write_across

from typing import NamedTuple

from engine.decision import Action
from proxy.plugin_divert import DivertTarget

cdef enum:
    STYLE = 0                # the one gateway of the routing of a plug-in: how its calls are labelled
    ROOM = 8192              # for header lines


class Judged(NamedTuple):
    action: Action
    trunk: str
    rule: str | None
    status: int
    reason: str
    reply_headers: str
    labels: str
    identity: str | None
    divert: DivertTarget | None
    record: bytes


class NotSound(Exception):
    """A verdict that says nothing we know: our own fault."""


cdef class PluginScreening(Screening):
    cdef RoutingTable routing
    cdef tuple diverts

    def configure(self, routing, FastPath screener not None, tuple diverts not None):
        self.routing = RoutingTable(routing, screener.image.rules)
        self.diverts = diverts
        self.screener = screener

    @property
    def generation(self):
        return self.routing.generation

    def judge(self, bytes data, tuple source, int64_t now_us):
        cdef Message message
        cdef Address address
        cdef Event event
        cdef Peer peer
        cdef const char* fault
        address_from_python(source[0], source[1], &address)
        peer = self.routing.peer_of(&address, 0)
        if peer.kind != PEER_TRUNK or parse_message(data, <uint32_t>len(data), &message, &fault) != 0:
            return None
        if not message.is_request or message.method != METHOD_INVITE or message.to_tag.size:
            return None
        peer.index = self.trunk_of(&message, peer.index)
        self.screen(&message, &self.routing.trunks[peer.index], &address, now_us, &event)
        event.trunk = peer.index
        event.generation = self.routing.generation
        event.gateway = NO_GATEWAY
        if not is_sound(&event.verdict, <int>len(self.diverts)):
            raise NotSound(f"a verdict with action {event.verdict.action}, status {event.verdict.status}")
        return self.tell_judged(&message, &event)

    # RFC 4904, as for calls that the proxy forwards itself.
    cdef uint16_t trunk_of(self, const Message* message, uint16_t sender) noexcept nogil:
        cdef Slice group, context
        cdef int named = -1
        if self.routing.trunks[sender].trusted and originating_group(message, &group, &context):
            named = self.routing.trunk_of_group(message, group, context)
        return sender if named < 0 else <uint16_t>named

    cdef object tell_judged(self, const Message* message, Event* event):
        cdef const TrunkEntry* trunk = &self.routing.trunks[event.trunk]
        cdef const GatewayEntry* style = &self.routing.gateways[STYLE]
        cdef const Verdict* verdict = &event.verdict
        cdef uint8_t memory[ROOM]
        cdef Writer lines = writer_over(memory, ROOM)
        reason = b""
        if verdict.action == ACTION_REJECT:
            event.status = rejection_status(trunk, verdict)
            reason = <bytes>rejection_reason(trunk, verdict, event.status)
            write_rejection_headers(&lines, self.routing, trunk, verdict, event.status)
        reply_headers = text_of(&lines)
        lines = writer_over(memory, ROOM)
        write_label_headers(&lines, self.routing, style, verdict)
        self.tell(event)
        return Judged(
            Action(verdict.action),
            self.routing.routing.trunks[event.trunk].name,
            None if verdict.rule == NO_RULE else self.screener.image.rules[verdict.rule],
            event.status,
            reason.decode("ascii"),
            reply_headers,
            text_of(&lines),
            labelled_identity(message, trunk, style) if verdict.action == ACTION_TAG else None,
            self.diverts[verdict.divert] if verdict.action == ACTION_DIVERT else None,
            (<const char*>event)[: sizeof(Event)],
        )

    def ringing(self, bytes record, int64_t now_us):
        cdef Event event
        read_record(record, &event)
        event.setup_ms = max(milliseconds(now_us - event.time_us), <uint32_t>1)
        self.observe(&event, event.trunk, OUTCOME_RINGING, now_us)

    def answered(self, bytes record, int64_t now_us):
        cdef Event event
        read_record(record, &event)
        self.observe(&event, event.trunk, OUTCOME_ANSWERED, now_us)

    def unwanted(self, bytes record, int64_t now_us):
        cdef Event event
        read_record(record, &event)
        self.observe(&event, event.trunk, OUTCOME_REFUSED, now_us)

    def ended(
        self,
        bytes record,
        uint16_t status,
        uint8_t released_by,
        int64_t rang_us,
        int64_t answered_us,
        int64_t now_us,
    ):
        cdef Event event
        read_record(record, &event)
        event.type = EVENT_ENDED
        event.status = status
        event.released_by = released_by
        event.setup_ms = max(milliseconds(rang_us - event.time_us), <uint32_t>1) if rang_us else 0
        event.ring_ms = milliseconds((answered_us if answered_us else now_us) - event.time_us)
        if answered_us:
            event.talk_ms = milliseconds(now_us - answered_us)
            self.observe(&event, event.trunk, OUTCOME_ENDED, now_us)
        else:
            self.observe(
                &event, event.trunk, OUTCOME_REFUSED if status == 603 or status == 607 else OUTCOME_FAILED, now_us
            )
        event.time_us = now_us
        self.tell(&event)


cdef inline bint is_sound(const Verdict* verdict, int diverts) noexcept nogil:
    if verdict.action == ACTION_REJECT:
        return 300 <= verdict.status <= 699
    return verdict.divert < diverts if verdict.action == ACTION_DIVERT else verdict.action <= ACTION_DROP


cdef inline uint32_t milliseconds(int64_t us) noexcept nogil:
    return <uint32_t>(us // 1000) if us > 0 else 0


cdef int read_record(bytes record, Event* event) except -1:
    if len(record) != sizeof(Event):
        raise ValueError(f"{len(record)} bytes are no record of a call, which has {sizeof(Event)}")
    memcpy(event, PyBytes_AS_STRING(record), sizeof(Event))
    return 0


# The rows of P-Asserted-Identity with the label before the name; None where the style or the sender asks for none.
cdef object labelled_identity(const Message* message, const TrunkEntry* trunk, const GatewayEntry* style):
    cdef uint8_t memory[ROOM]
    cdef Writer lines = writer_over(memory, ROOM)
    cdef Border border
    cdef int i
    if style.display == NULL or not trunk.rights & RIGHT_ASSERT or message.asserted_header < 0:
        return None
    open_border(&border, message, trunk.rights, True, style.display, style.display_size)
    for i in range(message.asserted_header, message.header_count):
        if message.headers[i].name == HEADER_ASSERTED_IDENTITY:
            write_across(&lines, &border, message, i)
    return None if lines.full else text_of(&lines)


cdef str text_of(const Writer* lines):
    return (<const char*>lines.start)[: lines.at - lines.start].decode("utf-8", "replace")
