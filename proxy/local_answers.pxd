# Final answers of our own to requests that have no transaction (RFC 3261 sections 8.2.6, 8.2.7).

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from proxy.flood cimport FloodGuard
from proxy.next_hop cimport Incoming
from proxy.outbox cimport OutMessage
from proxy.responses cimport ResponseProcessing
from proxy.sources cimport Source
from proxy.sticky_answers cimport StickyAnswer, StickyAnswers

# What is left out of an answer that would be too large for an address that proved nothing.
cdef enum Cut:
    CUT_NOTHING = 0
    CUT_SERVER = 1
    CUT_EXTRA = 2            # the extra header lines too

# An answer under way.
cdef struct Draft:
    const char* reason
    const uint8_t* extra     # complete header lines
    uint32_t extra_size
    uint16_t status
    uint8_t cut              # Cut

cdef class LocalAnswers(ResponseProcessing):
    cdef FloodGuard guard
    cdef StickyAnswers sticky

    # The algorithm of overload control toward this client, ALGORITHM_NONE if it or its trunk takes no part.
    cdef uint8_t algorithm_for(self, Incoming* incoming) noexcept nogil
    cdef void answer(self, Incoming* incoming, uint16_t status, const char* reason) noexcept nogil
    # `extra_size` bytes of self.extra are header lines of it.
    cdef void answer_with(
        self, Incoming* incoming, uint16_t status, const char* reason, uint32_t extra_size
    ) noexcept nogil
    # Takes the repeat of an INVITE that was answered without a transaction. False: it was not.
    cdef bint answer_again(self, Incoming* incoming) noexcept nogil
    # No answer at all, to this INVITE and its repeats.
    cdef void stay_silent(self, Incoming* incoming) noexcept nogil
    # An ACK with a To-tag of ours: who sends from there has received our answer.
    cdef void note_ack(self, Incoming* incoming, uint32_t server) noexcept nogil

    # A request with the cookie of a dialog: who sends from there has a part in it.
    cdef void note_dialog(self, Incoming* incoming) noexcept nogil

    cdef OutMessage* send_answer(self, Incoming* incoming, Source* source, Draft* draft) noexcept nogil
    cdef OutMessage* write_draft(self, Incoming* incoming, const Draft* draft) noexcept nogil
    cdef bint is_rejection(self, Incoming* incoming, const Draft* draft) noexcept nogil
    cdef bint lives_on_answers(self, Incoming* incoming) noexcept nogil
    cdef bint is_proven(self, Incoming* incoming, const Source* source) noexcept nogil
    cdef bint is_pressed(self) noexcept nogil
    cdef bint keeps_no_state(self, Incoming* incoming, Source* source, const Draft* draft) noexcept nogil
    cdef void remember(self, Incoming* incoming, const Source* source, const Draft* draft) noexcept nogil
    cdef void open_answered(self, Incoming* incoming, OutMessage* sent) noexcept nogil
