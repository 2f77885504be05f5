# The calling endpoint: its calls in a fixed array, found by the branch of their transactions.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from tests.load._datagrams cimport Address, Port
from tests.load._dialog cimport Dialog
from tests.load._histogram cimport Counts, Histogram
from tests.load._message cimport Message
from tests.load._requests cimport Caller, DeckEntry
from tests.load._timer_wheel cimport TimerWheel
from tests.load._uas cimport Uas

cdef enum:
    MAX_FAMILIES = 64
    STATUSES = 700
    RECORDS = 65536                # finished calls kept until Python takes them

cdef struct Family:
    int64_t talk_us
    int64_t cancel_us              # after the INVITE; negative: the caller waits for the answer

cdef struct Call:
    uint32_t generation            # of the slot; part of every identifier, so a late message finds no wrong call
    uint32_t entry                 # in the deck
    int32_t next_free
    uint8_t state
    uint8_t cancel_answered
    uint16_t status                # final status of the INVITE
    int64_t started_us
    int64_t rung_us                # first response other than 100; 0 = none yet
    int64_t finalised_us           # final response to the INVITE; 0 = none yet
    int64_t ended_us               # BYE sent
    int64_t interval_us            # until the next retransmission
    int64_t give_up_us
    Dialog dialog                  # once it is answered

cdef struct Record:                # one finished call, as tests.load.report unpacks it
    int64_t started_us
    uint64_t identity              # of the Call-ID: what follows the run
    uint32_t entry
    uint32_t ring_us
    uint32_t talk_us
    uint16_t status                # 0: lost
    uint16_t labelled

cdef struct UacCounts:
    uint64_t placed
    uint64_t finished
    uint64_t answered              # complete calls: INVITE to the 200 of the BYE
    uint64_t rejected
    uint64_t lost                  # no final response, or no answer to BYE
    uint64_t postponed             # due, but all calls of the array were in use
    uint64_t invites_repeated
    uint64_t byes_repeated
    uint64_t cancels_repeated
    uint64_t responses_repeated    # final responses received again
    uint64_t unexpected            # datagrams that belong to no call, or make no sense
    uint64_t records_missed

cdef class Uac:
    cdef object _socket
    cdef bytes _deck_bytes, _local_text, _target_text, _host_text, _invite_tail_text
    cdef Caller _caller
    cdef const DeckEntry *_deck
    cdef uint32_t _deck_count, _deck_at, _deck_stride
    cdef Family _families[MAX_FAMILIES]
    cdef uint64_t _statuses[MAX_FAMILIES][STATUSES]   # 0: lost
    cdef uint64_t _labelled[MAX_FAMILIES]
    cdef Port *_port
    cdef Address _target
    cdef TimerWheel _wheel
    cdef Call *_calls
    cdef int32_t _capacity, _active, _free
    cdef int64_t _t1_us, _ring_limit_us, _clock_offset_us
    cdef UacCounts _counts
    cdef volatile bint _stop
    cdef readonly Histogram ringing_us, final_us
    cdef Record *_records
    cdef bint _recording
    cdef uint64_t _records_written, _records_taken
    cdef int64_t _begun_us, _rate_per_s, _calls_limit, _placing_until_us
    cdef int32_t _in_flight

    cdef void _loop(self, int64_t drain_us, Uas partner) noexcept nogil
    cdef void _fire_due(self, int64_t now_us) noexcept nogil
    cdef void _read_waiting(self) noexcept nogil
    cdef bint _placing(self, int64_t now_us) noexcept nogil
    cdef int64_t _wait_us(self, int64_t now_us) noexcept nogil
    cdef void _place_due(self, int64_t now_us) noexcept nogil
    cdef void _place(self, int64_t now_us) noexcept nogil
    cdef void _abandon(self) noexcept nogil
    cdef void _handle(self, const char *data, int length, int64_t now_us) noexcept nogil
    cdef int32_t _call_of(self, Message *message) noexcept nogil
    cdef void _invite_answered(self, int32_t call, Message *message, int64_t now_us) noexcept nogil
    cdef void _established(self, int32_t call, Message *message, int64_t now_us) noexcept nogil
    cdef void _hang_up(self, int32_t call, int64_t now_us) noexcept nogil
    cdef void _expire(self, int32_t call, int64_t now_us) noexcept nogil
    cdef void _await_answer(self, int32_t call, int64_t now_us) noexcept nogil
    cdef void _finish(self, int32_t call, int status, int64_t now_us) noexcept nogil
    cdef void _record(self, int32_t call, int status) noexcept nogil
    cdef void _send_invite(self, int32_t call) noexcept nogil
    cdef void _send_cancel(self, int32_t call) noexcept nogil
    cdef void _send_in_dialog(self, int32_t call, bint ending) noexcept nogil
    cdef void _acknowledge_rejection(self, Message *message) noexcept nogil
