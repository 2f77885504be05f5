"""OverloadServer: from the load of a worker to what it asks of its clients.

The part of the requests that is admitted follows the occupancy of the processor (the occupancy algorithm of Cyr,
Kaufman and Lee, as RFC 6357 section 5 describes the class): at each measurement it is multiplied by target / measured
load, within bounds, until load meets the target. Room for transactions bounds it too. Clients are told the rest, as a
percentage or as a rate; who takes no part in overload control has the same part refused with 503: other requests than
calls first, so that an avalanche of registrations does not cost calls. A refusal takes a good part of the time of a
call, so that under several times the load that can be borne refusals alone would be too much: only so many calls are
heard then as leave a refusal for every few that are admitted (RFC 5390 requirement 1).
"""

from proxy.overload_parameters cimport ALGORITHM_LOSS, ALGORITHM_NONE, ALGORITHM_RATE

cdef enum:
    VALIDITY_MS = 1000       # ten measurements

cdef int64_t FORGOTTEN_US = 2_000_000     # a load measured so long ago says nothing
cdef int64_t KEPT_US = 3_600_000_000

cdef double USUAL_TARGET = 0.9           # of one processor
cdef double QUEUE_TARGET = 0.5           # of the receive buffer
cdef double REFUSALS = 0.2               # for each call that is admitted, before calls are left unheard
cdef double LEAST_PART = 0.02            # so that what goes on can be measured
cdef double STEEPEST_FALL = 0.5
cdef double STEEPEST_RISE = 1.1
cdef double ROOM_TARGET = 0.8            # of the transactions: above it the part falls to 0 when they are all taken
cdef double USUAL_SHARE = 0.8
cdef double SHARE_WEIGHT = 1.0 / 256


cdef class OverloadServer:
    """One worker's load, measured every now and then by the edge."""

    def __cinit__(self):
        self.load_part = self.room_part = self.heard = 1.0
        self.calls_share = USUAL_SHARE
        self.busy_target = USUAL_TARGET

    def configure(self, overload):
        """overload: `config.Overload`."""
        self.busy_target = overload.processor_target

    cdef void note_request(self, RequestKind kind, bint new_client) noexcept nogil:
        self.requests += 1
        self.clients += new_client
        self.calls_share += ((kind == REQUEST_CALL) - self.calls_share) * SHARE_WEIGHT
        self.others_share += ((kind == REQUEST_OTHER) - self.others_share) * SHARE_WEIGHT

    # used: 0 to 1, of the transactions or the memory that new calls may have.
    cdef void note_room(self, double used) noexcept nogil:
        self.room_part = min(max((1.0 - used) / (1.0 - ROOM_TARGET), 0.0), 1.0)

    # busy: of one processor since the last measurement; queued: of the receive buffer, both 0 to 1.
    cdef void measure(self, double busy, double queued, int64_t now_us) noexcept nogil:
        cdef double load = max(max(busy / self.busy_target, queued / QUEUE_TARGET), 0.001)
        if now_us > self.since_us + FORGOTTEN_US:
            self.load_part = 1.0
        cdef double change = min(max(1.0 / load, STEEPEST_FALL), STEEPEST_RISE)
        if self.part() >= 1.0 and now_us > self.since_us > 0:
            self.offered_rate = self.requests * 1e6 / (now_us - self.since_us)
        self.load_part = min(max(self.load_part * change, LEAST_PART), 1.0)
        self.last_clients = max(self.clients, 1)
        self.requests = self.clients = 0
        self.since_us = now_us
        self.sequence = max(self.sequence, <uint64_t>now_us // 10)   # also after a restart larger than before

    cdef double part(self) noexcept nogil:
        return min(self.load_part, self.room_part)

    cdef double calls_part(self) noexcept nogil:
        return min(self.part() + self.others_share, 1.0)

    cdef double worth_hearing(self, int64_t now_us) noexcept nogil:
        if now_us > self.since_us + FORGOTTEN_US:
            return 1.0
        return min(max(self.calls_part(), LEAST_PART) * (1.0 + REFUSALS), 1.0)

    # The same for every repeat of a request. Of category 2 nothing is refused here: it has transactions in reserve, and
    # what does not fit gets 503 there.
    cdef bint refuses(self, uint64_t key, RequestKind kind, bint was_drawn) noexcept nogil:
        cdef double drawn = (key >> 11) * (1.0 / 9007199254740992.0)
        if kind == REQUEST_PRIORITY or self.part() >= 1.0:
            return False
        if kind == REQUEST_OTHER:
            return drawn * self.others_share < 1.0 - self.part()
        return drawn * self.calls_share < 1.0 - self.calls_part() / (self.heard if was_drawn else 1.0)

    cdef uint8_t choose(self, Source* client, const OverloadParameters* offered, int64_t now_us) noexcept nogil:
        cdef uint8_t preferred = offered.preferred if offered.preferred else <uint8_t>ALGORITHM_LOSS
        if not offered.offered:
            return ALGORITHM_NONE
        if client.algorithm and (client.algorithm == preferred or now_us < client.algorithm_us + KEPT_US):
            # What it no longer knows cannot be kept.
            if client.algorithm == ALGORITHM_LOSS or offered.algorithms >> client.algorithm & 1:
                return client.algorithm
        client.algorithm = preferred
        client.algorithm_us = now_us
        return preferred

    cdef OverloadReply reply(self, uint8_t algorithm) noexcept nogil:
        cdef OverloadReply reply
        cdef double part = self.part()
        reply.algorithm = algorithm
        reply.value = reply.validity_ms = 0
        reply.sequence = 0
        if algorithm == ALGORITHM_NONE:
            return reply
        self.sequence += 1
        reply.sequence = self.sequence
        # Without validity a client under rate control would read 0 as "send nothing" (RFC 7339 section 5.1).
        if part < 1.0:
            reply.validity_ms = VALIDITY_MS
            reply.value = self.rate(part) if algorithm == ALGORITHM_RATE else <uint32_t>((1.0 - part) * 100 + 0.5)
        return reply

    # Requests per second of one client: an equal share of the admitted part.
    cdef uint32_t rate(self, double part) noexcept nogil:
        return <uint32_t>max(self.offered_rate * part / max(self.last_clients, 1), 1.0)

    def wanted(self, int64_t now_us):
        """Of new calls that come as datagrams, the part that is worth hearing. `heard` is to be set to what is."""
        return self.worth_hearing(now_us)

    # For tests.

    def note(self, int requests, int clients, bint priority=False):
        """Counts requests of this interval, and clients heard in it for the first time."""
        cdef int i
        for i in range(requests):
            self.note_request(REQUEST_PRIORITY if priority else REQUEST_CALL, i < clients)

    def occupy(self, double used):
        """This part of the transactions is taken."""
        self.note_room(used)

    def load(self, double busy, double queued, int64_t now_us):
        """A measurement: busy part of the processor and filled part of the receive buffer since the last one."""
        self.measure(busy, queued, now_us)

    def refused(self, uint64_t key, bint priority=False, bint was_drawn=False):
        return bool(self.refuses(key, REQUEST_PRIORITY if priority else REQUEST_CALL, was_drawn))

    def told(self, str algorithm):
        """(oc, oc-validity, oc-seq) of a response."""
        cdef OverloadReply reply = self.reply(ALGORITHM_RATE if algorithm == "rate" else ALGORITHM_LOSS)
        return reply.value, reply.validity_ms, reply.sequence
