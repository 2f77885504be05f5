"""Names and where they lead, in fixed memory: the core looks here and never waits, the edge brings the answers.

Buckets of four; the one used longest ago makes room. An answer that is too old still counts for a while, until a new
one has come.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from proxy.sip.address cimport address_from_python
from proxy.sip.grammar cimport sip_lower
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end, keyed_hash_word

TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss")      # in the order of Transport

cdef enum:
    WAYS = 4

cdef int64_t ASK_AGAIN_US = 3_000_000        # a question that was never answered is lost
cdef int64_t STALE_US = 3_600_000_000


cdef class NameCache:
    """secret: 16 bytes that nobody outside knows. buckets: a power of two, room for four names each."""

    def __cinit__(self, bytes secret, uint32_t buckets=1024):
        self.mask = buckets - 1
        self.entries = <NameEntry*>calloc(<size_t>buckets * WAYS, sizeof(NameEntry))
        if not self.entries:
            raise MemoryError("no memory for names")
        memcpy(self.secret, <const char*>secret, 16)

    def __dealloc__(self):
        free(self.entries)

    def take_questions(self):
        """What the resolver is to be asked: (question, host, port or None, transport or None, of a SIPS URI) each."""
        cdef Question* question
        taken = []
        while self.waiting:
            question = &self.questions[self.first]
            taken.append((
                question.key,
                question.host[: question.size].decode("ascii", "replace"),
                question.port or None,
                None if question.transport == ANY_TRANSPORT else TRANSPORTS[question.transport],
                bool(question.secure),
            ))
            self.first = (self.first + 1) % MAX_QUESTIONS
            self.waiting -= 1
        return taken

    cdef uint64_t key_of(self, const NameQuery* query) noexcept nogil:
        cdef KeyedHash hash_
        cdef uint8_t host[MAX_NAME]
        cdef uint32_t i
        for i in range(query.size):
            host[i] = sip_lower(query.host[i])
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, host, query.size)
        keyed_hash_word(&hash_, <uint64_t>query.port << 16 | <uint64_t>query.transport << 8 | query.secure)
        return keyed_hash_end(&hash_) | 1

    cdef const NameEntry* find(self, const NameQuery* query, uint64_t key, int64_t now_us) noexcept nogil:
        cdef NameEntry* entry = self.slot_of(key)
        if entry.key != key:
            memset(entry, 0, sizeof(NameEntry))
            entry.key = key
        entry.used_us = now_us
        if now_us >= entry.expires_us and not self.ask(query, entry, now_us) and not entry.known:
            return NULL
        if not entry.known or now_us >= entry.expires_us + (STALE_US if entry.count else 0):
            return NULL
        return entry

    cdef NameEntry* known(self, uint64_t key) noexcept nogil:
        cdef NameEntry* entry = self.slot_of(key)
        return entry if entry.key == key and entry.known else NULL

    cdef int next_place(self, const NameEntry* entry, uint64_t tried) noexcept nogil:
        cdef int last = -1
        cdef int i
        for i in range(entry.count - 1, -1, -1):
            if tried >> i & 1:
                continue
            if last < 0 or not entry.failed >> i & 1 or entry.failed >> last & 1:
                last = i
        return last

    # The entry of this key, or the one to give up for it.
    cdef NameEntry* slot_of(self, uint64_t key) noexcept nogil:
        cdef NameEntry* bucket = &self.entries[((key >> 8) & self.mask) * WAYS]
        cdef NameEntry* oldest = bucket
        cdef int i
        for i in range(WAYS):
            if bucket[i].key == key:
                return &bucket[i]
            if bucket[i].used_us < oldest.used_us:
                oldest = &bucket[i]
        return oldest

    # False: too many questions wait already.
    cdef bint ask(self, const NameQuery* query, NameEntry* entry, int64_t now_us) noexcept nogil:
        cdef Question* question
        if entry.asked_us and now_us < entry.asked_us + ASK_AGAIN_US:
            return True
        if self.waiting == MAX_QUESTIONS:
            return False
        question = &self.questions[(self.first + self.waiting) % MAX_QUESTIONS]
        self.waiting += 1
        question.key = entry.key
        question.port = query.port
        question.transport = query.transport
        question.secure = query.secure
        question.size = <uint8_t>query.size
        memcpy(question.host, query.host, query.size)
        entry.asked_us = now_us
        return True

    # An empty answer may be the resolver's fault: an old one that had places serves on, and it is asked for again soon.
    cdef int learn(self, uint64_t key, object destinations, double ttl_s, int64_t now_us) except -1:
        cdef NameEntry* entry = self.slot_of(key)
        cdef int i
        if entry.key != key:
            memset(entry, 0, sizeof(NameEntry))
            entry.key = key
            entry.used_us = now_us
        if not destinations and entry.count and now_us < entry.expires_us + STALE_US:
            entry.asked_us = now_us
            return 0
        for i, (transport, ip, port) in enumerate(destinations[:MAX_PLACES]):
            address_from_python(ip, port, &entry.places[i].address)
            entry.places[i].transport = TRANSPORTS.index(transport)
        entry.count = min(MAX_PLACES, len(destinations))
        entry.failed = 0
        entry.asked_us = 0
        entry.known = True
        entry.expires_us = now_us + <int64_t>(ttl_s * 1_000_000)
        return 0
