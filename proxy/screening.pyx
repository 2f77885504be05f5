"""From an INVITE to a verdict: who calls whom, asked of the engine exactly once, told to control exactly once."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from engine._decision cimport (
    ACTION_ACCEPT,
    ACTION_DIVERT,
    ATTEMPT_EMERGENCY,
    ATTEMPT_IDENTITY_MISMATCH,
    ATTEMPT_PRIVACY,
    Attempt,
    KIND_ANONYMOUS,
    NO_LABEL,
    NO_RULE,
    number_t,
)
from engine._dial_plan cimport normalize
from engine._numbers cimport KIND_SHIFT, number_kind
from engine._outcomes cimport CallOutcome, observe_outcome
from proxy.events cimport EVENT_CALL_ID, EVENT_SCREENED, EVENT_TEXT
from proxy.fingerprint cimport fingerprint
from proxy.sip.diversion cimport DIVERSION_NONE, Diverter, last_diverter
from proxy.sip.grammar cimport Slice
from proxy.sip.identity cimport Identity, called_user, read_identity
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end
from proxy.sip.uri cimport SCHEME_URN_SERVICE
from proxy.trust_border cimport RIGHT_DIVERT

BATCH = 64                   # events handed over at a time


cdef class Screening:
    """One worker's way to the engine. secret: 16 bytes; ring_size: events kept until control takes them."""

    def __cinit__(self, int worker, bytes secret, uint32_t ring_size=8192):
        self.worker = worker
        self.ring_size = ring_size
        self.ring = <Event*>calloc(ring_size, sizeof(Event))
        if not self.ring:
            raise MemoryError("no memory for events")
        memcpy(self.secret, <const char*>secret, 16)

    def __dealloc__(self):
        free(self.ring)

    cdef void screen(
        self, const Message* message, const TrunkEntry* trunk, const Address* source, int64_t now_us, Event* event
    ) noexcept nogil:
        cdef Attempt attempt
        cdef Slice callee = called_user(message)
        cdef Slice presented
        self.sequence += 1
        memset(event, 0, sizeof(Event))
        event.type = EVENT_SCREENED
        event.time_us = now_us
        event.call = <uint64_t>self.worker << 48 | self.sequence
        attempt.flags = 0
        read_diverter(message, trunk, event)
        presented = choose_caller(message, trunk, event, &attempt)
        attempt.callee = normalize(trunk.dial_plan, message.data + callee.start, callee.size)
        attempt.source = self.source_key(source)
        attempt.fingerprint = 0
        attempt.trunk = trunk.policy_trunk
        if message.request_uri.scheme == SCHEME_URN_SERVICE:
            attempt.flags |= ATTEMPT_EMERGENCY
        if trunk.screen and self.screener.policy.trunks[trunk.policy_trunk].fingerprinted:
            attempt.fingerprint = fingerprint(message, self.secret)
        event.caller = attempt.caller
        event.callee = attempt.callee
        describe(event, message, presented, callee, source)
        if trunk.screen:
            self.screener.screen_attempt(&attempt, now_us, &event.verdict)
        else:
            event.verdict.action = event.verdict.observed = ACTION_ACCEPT
            event.verdict.rule = event.verdict.observed_rule = NO_RULE
            event.verdict.label = NO_LABEL

    cdef uint64_t source_key(self, const Address* source) noexcept nogil:
        cdef KeyedHash hash_
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, source.ip, 16)
        return keyed_hash_end(&hash_)

    cdef void tell(self, const Event* event) noexcept nogil:
        if self.pending == self.ring_size:
            self.lost += 1
            return
        self.ring[(self.first + self.pending) % self.ring_size] = event[0]
        self.pending += 1

    def take(self):
        """The oldest events as the bytes of C records, at most BATCH of them."""
        cdef uint32_t count = min(self.pending, <uint32_t>BATCH, self.ring_size - self.first)
        records = (<const char*>&self.ring[self.first])[: count * sizeof(Event)]
        self.first = (self.first + count) % self.ring_size
        self.pending -= count
        return records

    cdef void observe(self, const Event* event, uint16_t policy_trunk, uint8_t kind, int64_t now_us) noexcept nogil:
        cdef CallOutcome outcome
        if event.verdict.action == ACTION_DIVERT:
            return               # whoever answered or refused it was not the callee
        memset(&outcome, 0, sizeof(CallOutcome))
        outcome.caller = event.caller
        outcome.callee = event.callee
        outcome.trunk = policy_trunk
        outcome.status = event.status
        outcome.kind = kind
        outcome.released_by = event.released_by
        outcome.setup_ms = event.setup_ms
        outcome.ring_ms = event.ring_ms
        outcome.talk_ms = event.talk_ms
        observe_outcome(self.screener, &outcome, now_us)


cdef inline number_t number_of(const Message* message, const TrunkEntry* trunk, Slice user) noexcept nogil:
    return normalize(trunk.dial_plan, message.data + user.start, user.size)


cdef void read_diverter(const Message* message, const TrunkEntry* trunk, Event* event) noexcept nogil:
    cdef Diverter diverter
    if message.diversion_header < 0 or not trunk.rights & RIGHT_DIVERT:
        return
    last_diverter(message, &diverter)
    event.diversion = diverter.reason
    if diverter.reason != DIVERSION_NONE:
        event.diverter = number_of(message, trunk, diverter.user)


# Whom the engine is asked about, and the text that names it: the asserted identity of a trusted peer, else From. A
# party that diverted the call is not its caller: where it asserts itself From counts, and where it wrote itself into
# From as well, nobody is known.
cdef Slice choose_caller(
    const Message* message, const TrunkEntry* trunk, const Event* event, Attempt* attempt
) noexcept nogil:
    cdef Identity identity
    cdef number_t asserted
    read_identity(message, trunk.trusted, &identity)
    if identity.withheld:
        attempt.flags |= ATTEMPT_PRIVACY
    attempt.caller = number_of(message, trunk, identity.presented)
    if identity.anonymous or is_diverter(event, attempt.caller):
        attempt.caller = <number_t>KIND_ANONYMOUS << KIND_SHIFT
    if identity.asserted.size == 0:
        return identity.presented
    asserted = number_of(message, trunk, identity.asserted)
    if is_diverter(event, asserted):
        return identity.presented
    if asserted != attempt.caller and not identity.anonymous:
        attempt.flags |= ATTEMPT_IDENTITY_MISMATCH
    attempt.caller = asserted
    return identity.asserted


cdef inline bint is_diverter(const Event* event, number_t number) noexcept nogil:
    return event.diversion != DIVERSION_NONE and number == event.diverter and number_kind(number) < KIND_ANONYMOUS


cdef void describe(
    Event* event, const Message* message, Slice caller, Slice callee, const Address* source
) noexcept nogil:
    cdef Slice agent
    event.source_port = source.port
    event.source_family = 4 if source.is_ipv4 else 6
    if source.is_ipv4:
        memcpy(event.source_ip, source.ip + 12, 4)
    else:
        memcpy(event.source_ip, source.ip, 16)
    event.caller_length = copy_text(event.caller_text, EVENT_TEXT, message, caller)
    event.callee_length = copy_text(event.callee_text, EVENT_TEXT, message, callee)
    event.call_id_length = copy_text(event.call_id, EVENT_CALL_ID, message, message.call_id)
    if message.user_agent_header >= 0:
        agent.start = message.headers[message.user_agent_header].value
        agent.size = message.headers[message.user_agent_header].value_end - agent.start
        event.user_agent_length = copy_text(event.user_agent, EVENT_TEXT, message, agent)


cdef uint8_t copy_text(char* out, uint32_t room, const Message* message, Slice part) noexcept nogil:
    cdef uint32_t size = part.size if part.size < room else room
    memcpy(out, message.data + part.start, size)
    return <uint8_t>size
