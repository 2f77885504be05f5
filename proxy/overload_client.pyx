"""OverloadClient: what each next hop asks us to withhold, and the requests that it costs.

State is kept by address and port in a small table (RFC 7339 section 5.4), made only by responses to requests of ours.
While no control is in force anywhere, a request costs one comparison.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from proxy.overload_parameters cimport ALGORITHM_LOSS, ALGORITHM_RATE, read_overload
from proxy.sip.address cimport address_from_python, same_address
from proxy.sip.via cimport Via

cdef enum:
    CONTROLS = 1024          # next hops, a power of two
    PROBES = 8
    DEFAULT_VALIDITY_MS = 500            # RFC 7339 section 4.3
    LONGEST_VALIDITY_MS = 3_600_000
    TARDY_US = 32_000_000    # 64*T1: nothing sent before that is still on its way

cdef double USUAL_SHARE = 0.8            # of category 1, until it was seen (RFC 7339 section 7.2)
cdef double SHARE_WEIGHT = 1.0 / 64
# RFC 7415 section 3.5.2: TAU1 = 5T for any request, TAU2 = 10T for those of category 2.
cdef double TOLERANCE = 5.0
cdef double PRIORITY_TOLERANCE = 10.0


cdef class OverloadClient:
    """seed: 8 bytes or more for the random choice of what is withheld."""

    def __cinit__(self, bytes seed):
        self.controls = <Control*>calloc(CONTROLS, sizeof(Control))
        if not self.controls:
            raise MemoryError("no memory for overload control")
        memcpy(&self.random, <const char*>seed, 8)
        self.random |= 1

    def __dealloc__(self):
        free(self.controls)

    cdef void note(self, const Address* address, const OverloadParameters* said, int64_t now_us) noexcept nogil:
        cdef Control* control
        cdef uint8_t algorithm = algorithm_of(said)
        cdef int64_t validity_ms = said.validity_ms if said.validity_ms >= 0 else DEFAULT_VALIDITY_MS
        cdef bint was_in_force
        if said.value < 0 or algorithm == 0 or (algorithm == ALGORITHM_LOSS and said.value > 100):
            return
        control = self.open(address)
        if not is_newer(control, said, now_us):
            return
        was_in_force = control.until_us > now_us and control.algorithm == algorithm
        control.sequence = said.sequence
        control.value = said.value
        control.algorithm = algorithm
        control.until_us = now_us + min(validity_ms, <int64_t>LONGEST_VALIDITY_MS) * 1000
        if not was_in_force:
            control.bucket_ns = 0        # TAU0
            control.filled_us = now_us
        if control.until_us > self.latest_us:
            self.latest_us = control.until_us

    cdef bint is_active(self, int64_t now_us) noexcept nogil:
        return self.latest_us > now_us

    cdef bint admits(self, const Address* address, bint priority, int64_t now_us) noexcept nogil:
        cdef Control* control
        if not self.is_active(now_us):
            return True
        control = self.find(address)
        if control == NULL or control.until_us <= now_us:
            return True
        control.first_share += ((0.0 if priority else 1.0) - control.first_share) * SHARE_WEIGHT
        if control.algorithm == ALGORITHM_RATE:
            return fits_rate(control, priority, now_us)
        return self.draw() >= withheld_part(control.value / 100.0, control.first_share, priority)

    cdef Control* find(self, const Address* address) noexcept nogil:
        cdef uint32_t at = slot_of(address)
        cdef uint32_t i
        for i in range(PROBES):
            if same_address(&self.controls[(at + i) & (CONTROLS - 1)].address, address):
                return &self.controls[(at + i) & (CONTROLS - 1)]
        return NULL

    # A next hop that is new takes the place whose control ended first.
    cdef Control* open(self, const Address* address) noexcept nogil:
        cdef Control* found = self.find(address)
        cdef uint32_t at = slot_of(address)
        cdef uint32_t i
        if found != NULL:
            return found
        found = &self.controls[at]
        for i in range(1, PROBES):
            if self.controls[(at + i) & (CONTROLS - 1)].until_us < found.until_us:
                found = &self.controls[(at + i) & (CONTROLS - 1)]
        memset(found, 0, sizeof(Control))
        found.address = address[0]
        found.first_share = USUAL_SHARE
        return found

    # 0 up to 1 (xorshift64*, Vigna 2016).
    cdef double draw(self) noexcept nogil:
        self.random ^= self.random >> 12
        self.random ^= self.random << 25
        self.random ^= self.random >> 27
        return (self.random * <uint64_t>0x2545F4914F6CDD1D >> 11) * (1.0 / 9007199254740992.0)

    def hear(self, str ip, int port, bytes via not None, int64_t now_us):
        """A response whose top Via is this, from that address; for tests."""
        cdef OverloadParameters said
        cdef Address address
        cdef Via parsed
        parsed.whole.start = 0
        parsed.whole.size = <uint32_t>len(via)
        address_from_python(ip, port, &address)
        if read_overload(via, &parsed, &said):
            self.note(&address, &said, now_us)

    def may_send(self, str ip, int port, bint priority, int64_t now_us):
        """Counts a request toward an address; False: it is to be withheld. For tests."""
        cdef Address address
        address_from_python(ip, port, &address)
        return bool(self.admits(&address, priority, now_us))


# A response names one algorithm; none means the one that every client knows.
cdef inline uint8_t algorithm_of(const OverloadParameters* said) noexcept nogil:
    if said.algorithms == 1 << ALGORITHM_RATE:
        return ALGORITHM_RATE
    if said.algorithms == 1 << ALGORITHM_LOSS or said.algorithms == 0:
        return ALGORITHM_LOSS
    return 0


# RFC 7339 sections 4.4 and 5.4. Long after the end of what was in force nothing tardy can come: a lower sequence then
# is a server that counts anew.
cdef inline bint is_newer(const Control* control, const OverloadParameters* said, int64_t now_us) noexcept nogil:
    return said.sequence > control.sequence or control.until_us + TARDY_US <= now_us


# RFC 7339 section 7.2: category 2 gives only what category 1 has not.
cdef inline double withheld_part(double part, double first_share, bint priority) noexcept nogil:
    if part <= first_share:
        return 0.0 if priority else part / first_share
    return (part - first_share) / (1.0 - first_share) if priority else 1.0


# RFC 7415 section 3.5.2.
cdef inline bint fits_rate(Control* control, bint priority, int64_t now_us) noexcept nogil:
    cdef double content
    cdef double interval_ns
    if control.value == 0:
        return False
    interval_ns = 1e9 / control.value
    content = control.bucket_ns - (now_us - control.filled_us) * 1000.0
    if content > interval_ns * (PRIORITY_TOLERANCE if priority else TOLERANCE):
        return False
    control.bucket_ns = max(content, 0.0) + interval_ns
    control.filled_us = now_us
    return True


cdef inline uint32_t slot_of(const Address* address) noexcept nogil:
    cdef uint64_t words[2]
    memcpy(words, address.ip, 16)
    return <uint32_t>(((words[0] ^ words[1] ^ address.port) * <uint64_t>0x9E3779B97F4A7C15) >> 54)
