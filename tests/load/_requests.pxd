# What a calling endpoint writes: each `put_` function writes at `at` and returns the end.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from tests.load._dialog cimport Dialog
from tests.load._message cimport Message, Slice

cdef enum:
    NUMBER_BYTES = 30

cdef struct DeckEntry:             # one call to place, as tests.load.mix packs it
    uint8_t family
    uint8_t withheld               # the caller hides the number
    uint8_t caller_length
    uint8_t callee_length
    char caller[NUMBER_BYTES]
    char callee[NUMBER_BYTES]

cdef struct Caller:                # what all requests of an endpoint share
    Slice local                    # host and port
    Slice host
    Slice target_host              # host and port of the proxy
    Slice invite_tail              # the end of an INVITE, body included
    uint32_t run                   # differs between runs: part of every identifier

# A call's identity, for what follows the run in its identifiers.
cdef uint64_t scrambled(uint32_t slot, uint32_t generation) noexcept nogil
# Slot and generation of the call that a branch belongs to; -1 if it is none of this run's.
cdef int parse_branch(Slice branch, uint32_t run, uint32_t *slot, uint32_t *generation) noexcept nogil

cdef char *put_invite(char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity) noexcept nogil
cdef char *put_cancel(char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity) noexcept nogil
# BYE (`ending`) or the ACK of a 2xx: along the route set to the callee's Contact (RFC 3261 section 12.2.1.1).
cdef char *put_in_dialog(
    char *at, const Caller *caller, const DeckEntry *entry, uint64_t identity, const Dialog *dialog, bint ending
) noexcept nogil
cdef char *put_ack_of_rejection(char *at, const Caller *caller, const Message *response) noexcept nogil
