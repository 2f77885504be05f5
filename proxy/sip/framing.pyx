"""Messages out of a byte stream, whatever the pieces it comes in.

The end of a head is found line by line as the bytes come; then the head is read once, by the parser that the core has,
so that there is one reading of Content-Length. A stream whose Content-Length is absent, repeated or no number has lost
its framing: what was read of the head is answered, and nothing behind it is looked at (RFC 3261 sections 7.5, 18.3).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy, memmove

from proxy.sip.message cimport CONTENT_LENGTH_ABSENT, CONTENT_LENGTH_BAD, Message, parse_head

cdef enum:
    FIRST_ROOM = 4096
    KEPT_ROOM = 4096         # what a connection that waits may hold
    CR = 13
    LF = 10


cdef void init_framer(Framer* framer, uint32_t max_head, uint32_t max_message) noexcept nogil:
    framer.data = NULL
    framer.room = framer.start = framer.used = framer.line = framer.scanned = framer.size = 0
    framer.keepalives = framer.ping = framer.status = 0
    framer.max_head = max_head
    framer.max_message = max_message


cdef void free_framer(Framer* framer) noexcept nogil:
    free(framer.data)
    framer.data = NULL
    framer.room = framer.used = 0


cdef bint append_bytes(Framer* framer, const uint8_t* data, uint32_t size) noexcept nogil:
    cdef uint32_t room
    cdef uint8_t* grown
    if size == 0:
        return True          # without memory yet there is nothing to copy to
    if framer.start and framer.used + size > framer.room:
        move_to_front(framer)
    if framer.used + size > framer.room:
        room = max(framer.room, <uint32_t>FIRST_ROOM)
        while room < framer.used + size:
            room *= 2
        grown = <uint8_t*>realloc(framer.data, room)
        if grown == NULL:
            return False
        framer.data = grown
        framer.room = room
    memcpy(framer.data + framer.used, data, size)
    framer.used += size
    return True


cdef void move_to_front(Framer* framer) noexcept nogil:
    memmove(framer.data, framer.data + framer.start, framer.used - framer.start)
    framer.used -= framer.start
    framer.line -= framer.start
    framer.scanned -= framer.start
    framer.start = 0


cdef Framed next_frame(Framer* framer) noexcept nogil:
    cdef Framed outcome
    if framer.status:
        return FRAMED_BAD
    if framer.size == 0:
        if framer.line == framer.start and framer.scanned == framer.start:
            skip_line_ends(framer)
        outcome = find_head(framer)
        if outcome != FRAMED_MESSAGE:
            return outcome
    return FRAMED_MESSAGE if framer.used - framer.start >= framer.size else FRAMED_NOTHING


# Behind the message that was taken. Memory that one large message needed is given back.
cdef void drop_frame(Framer* framer) noexcept nogil:
    framer.start += framer.size
    framer.size = 0
    framer.line = framer.scanned = framer.start
    framer.ping = 0
    if framer.start == framer.used:
        framer.start = framer.used = framer.line = framer.scanned = 0
        if framer.room > KEPT_ROOM:
            free_framer(framer)


# CRLFs before a start line do not count (RFC 3261 section 7.5); two in a row are a ping (RFC 5626 section 4.4.1).
cdef void skip_line_ends(Framer* framer) noexcept nogil:
    cdef uint8_t c
    while framer.start < framer.used:
        c = framer.data[framer.start]
        if c != CR and c != LF:
            break
        framer.ping = framer.ping + 1 if c == (LF if framer.ping & 1 else CR) else <uint8_t>(c == CR)
        if framer.ping == 4:
            framer.keepalives += 1
            framer.ping = 0
        framer.start += 1
    if framer.start == framer.used:
        framer.start = framer.used = 0
    framer.line = framer.scanned = framer.start


# FRAMED_MESSAGE: the head is complete, and `size` known.
cdef Framed find_head(Framer* framer) noexcept nogil:
    cdef const uint8_t* data = framer.data
    cdef const uint8_t* found
    cdef uint32_t lf
    while framer.scanned < framer.used:
        found = <const uint8_t*>memchr(data + framer.scanned, LF, framer.used - framer.scanned)
        framer.scanned = framer.used if found == NULL else <uint32_t>(found - data) + 1
        if framer.scanned - framer.start > framer.max_head:
            return refuse(framer, 513, framer.max_head)
        if found == NULL:
            break
        lf = framer.scanned - 1
        if lf == framer.line or data[lf - 1] != CR:
            return refuse(framer, 400, framer.scanned - framer.start)
        if lf == framer.line + 1:
            return read_head(framer)
        framer.line = framer.scanned
    return FRAMED_NOTHING


# Behind the head that begins at `start`, or the end of what there is of it.
cdef uint32_t end_of_head(const Framer* framer, uint32_t start) noexcept nogil:
    cdef const uint8_t* data = framer.data
    cdef const uint8_t* found
    cdef uint32_t at = start
    cdef uint32_t end = start + min(framer.used - start, framer.max_head)
    while at < end:
        found = <const uint8_t*>memchr(data + at, CR, end - at)
        if found == NULL:
            break
        at = <uint32_t>(found - data) + 1
        if end - at >= 3 and data[at] == LF and data[at + 1] == CR and data[at + 2] == LF:
            return at + 3
    return end


cdef Framed read_head(Framer* framer) noexcept nogil:
    cdef Message message
    cdef const char* reason
    cdef uint32_t head_size = framer.scanned - framer.start
    cdef int status = parse_head(framer.data + framer.start, head_size, &message, &reason)
    cdef int32_t body_size = message.content_length
    if message.body != message.head_end + 2:
        return refuse(framer, <uint16_t>status if status > 0 else 400, head_size)
    if body_size == CONTENT_LENGTH_ABSENT or body_size == CONTENT_LENGTH_BAD:
        return refuse(framer, 400, head_size)
    if <uint64_t>head_size + <uint64_t>body_size > framer.max_message:
        return refuse(framer, 513, head_size)
    framer.size = head_size + <uint32_t>body_size
    return FRAMED_MESSAGE


cdef Framed refuse(Framer* framer, uint16_t status, uint32_t size) noexcept nogil:
    framer.status = status
    framer.size = size
    return FRAMED_BAD


cdef class StreamFramer:
    """The messages of one connection.

    max_head, max_message: bytes; more is refused with 513 as soon as it is known, before memory is taken for it.
    status: 0, or the status to answer before the connection is closed; `refused` is then what was read of that message.
    """

    def __cinit__(self, uint32_t max_head=65535, uint32_t max_message=65535):
        init_framer(&self.framer, max_head, max_message)
        self.status = 0
        self.refused = b""

    def __dealloc__(self):
        free_framer(&self.framer)

    def feed(self, data):
        """Takes what was received; nothing is kept once the framing is lost."""
        cdef Py_buffer view
        cdef bint fits = True
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        if not self.framer.status:
            fits = append_bytes(&self.framer, <const uint8_t*>view.buf, <uint32_t>view.len)
        PyBuffer_Release(&view)
        if not fits:
            raise MemoryError("no memory for a message")

    def next_message(self):
        """The next whole message; None if it has not come yet, or `status` says that none will."""
        cdef Framed outcome = next_frame(&self.framer)
        if outcome == FRAMED_NOTHING or self.status:
            return None
        found = (<const char*>self.framer.data + self.framer.start)[: self.framer.size]
        if outcome == FRAMED_MESSAGE:
            drop_frame(&self.framer)
            return found
        self.status = self.framer.status
        self.refused = found
        free_framer(&self.framer)
        return None

    @property
    def ahead(self):
        """What `next_message` is going to look at: a head, or what there is of one; b"" if nothing."""
        cdef uint32_t start = self.framer.start
        cdef uint32_t end
        if self.framer.status or self.framer.size:
            return b""
        while start < self.framer.used and (self.framer.data[start] == CR or self.framer.data[start] == LF):
            start += 1
        end = end_of_head(&self.framer, start)
        return (<const char*>self.framer.data + start)[: end - start]

    def take_replies(self):
        """What the transport itself answers to the bytes it was fed: one CRLF a ping (RFC 5626 section 5.4)."""
        cdef uint32_t count = self.framer.keepalives
        self.framer.keepalives = 0
        return b"\r\n" * count if count else b""

    def encode(self, bytes message):
        """A message as it goes onto the wire."""
        return message

    @property
    def under_way(self):
        """Whether a message has begun and is not complete."""
        return self.framer.used > self.framer.start and not self.status

    @property
    def ended(self):
        """Never: a stream of SIP has no end of its own."""
        return False

    def ping(self):
        """Nothing: who opened the connection keeps it alive (RFC 5626 section 3.5.1)."""
        return b""

    @property
    def memory(self):
        """Bytes held."""
        return self.framer.room
