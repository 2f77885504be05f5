"""From an INVITE to a verdict: who calls whom, asked of the engine exactly once, told to control exactly once."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from engine._decision cimport (
    ACTION_ACCEPT,
    ATTEMPT_EMERGENCY,
    ATTEMPT_IDENTITY_MISMATCH,
    ATTEMPT_PRIVACY,
    Attempt,
    KIND_ANONYMOUS,
    NO_LABEL,
    NO_RULE,
    number_t,
)
from engine._fastpath cimport CallOutcome
from engine._numbers cimport normalize
from proxy.events cimport EVENT_CALL_ID, EVENT_SCREENED, EVENT_TEXT
from proxy.sip.grammar cimport Slice
from proxy.sip.identity cimport Identity, called_user, caller_identity
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end
from proxy.sip.uri cimport SCHEME_URN_SERVICE

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
        cdef Identity identity
        cdef Attempt attempt
        cdef Slice callee = called_user(message)
        caller_identity(message, trunk.trusted, &identity)
        self.sequence += 1
        memset(event, 0, sizeof(Event))
        event.type = EVENT_SCREENED
        event.time_us = now_us
        event.call = <uint64_t>self.worker << 48 | self.sequence
        attempt.caller = normalize(trunk.dial_plan, message.data + identity.user.start, identity.user.size)
        if identity.anonymous:
            attempt.caller = <number_t>KIND_ANONYMOUS << 60
        attempt.callee = normalize(trunk.dial_plan, message.data + callee.start, callee.size)
        attempt.source = self.source_key(source)
        attempt.trunk = trunk.policy_trunk
        attempt.flags = 0
        if message.request_uri.scheme == SCHEME_URN_SERVICE:
            attempt.flags |= ATTEMPT_EMERGENCY
        if identity.mismatch:
            attempt.flags |= ATTEMPT_IDENTITY_MISMATCH
        if identity.privacy:
            attempt.flags |= ATTEMPT_PRIVACY
        event.caller = attempt.caller
        event.callee = attempt.callee
        describe(event, message, identity.user, callee, source)
        if trunk.screen:
            self.screener.screen_attempt(&attempt, now_us, &event.verdict)
        else:
            event.verdict.action = event.verdict.observed = ACTION_ACCEPT
            event.verdict.rule = NO_RULE
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
        memset(&outcome, 0, sizeof(CallOutcome))
        outcome.caller = event.caller
        outcome.callee = event.callee
        outcome.trunk = policy_trunk
        outcome.status = event.status
        outcome.kind = kind
        outcome.released_by = event.released_by
        outcome.ring_ms = event.ring_ms
        outcome.talk_ms = event.talk_ms
        self.screener.observe_outcome(&outcome, now_us)


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
