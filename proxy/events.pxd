# What a worker tells control about calls: fixed-size records, sent in batches over a bounded socket.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport Verdict, number_t

cdef enum EventType:
    EVENT_SCREENED = 1       # told exactly once for every initial INVITE, at its decision
    EVENT_ENDED = 2          # told once when a screened and forwarded call is over

cdef enum:
    EVENT_TEXT = 48
    EVENT_CALL_ID = 96
    NO_GATEWAY = 0xFFFF

cdef struct Event:
    uint16_t type            # EventType
    uint16_t trunk           # index into the routing of `generation`
    uint32_t generation      # of the configuration that decided
    int64_t time_us          # Unix time
    uint64_t call            # the node's own id of this call: worker << 48 | sequence
    number_t caller
    number_t callee
    Verdict verdict          # EVENT_SCREENED; EVENT_ENDED repeats it
    uint16_t status          # SCREENED: status we answered, 0 = forwarded. ENDED: final status of the call
    uint16_t source_port
    uint8_t source_family    # 4 or 6
    uint8_t released_by      # ENDED: 0 unknown, 1 caller, 2 callee
    uint8_t caller_length
    uint8_t callee_length
    uint8_t call_id_length
    uint8_t user_agent_length
    uint16_t gateway         # index of the gateway it went to, 0xFFFF = none
    uint8_t source_ip[16]    # IPv4 in the first 4 bytes
    uint32_t setup_ms        # to the first 18x, at least 1; 0 = there was none
    uint32_t ring_ms         # to the answer, or to the end of a call that nobody answered
    uint32_t talk_ms
    number_t diverter        # the last party that diverted the call; 0 = none named
    uint8_t diversion        # DiversionReason of proxy.sip.diversion
    uint8_t unwanted         # ENDED: the callee said so, by a 607 or in its BYE (RFC 8197)
    char caller_text[EVENT_TEXT]      # as presented, cut to size
    char callee_text[EVENT_TEXT]
    char user_agent[EVENT_TEXT]
    char call_id[EVENT_CALL_ID]

cdef class EventBatch:
    cdef bytes data
    cdef const Event* events
    cdef Py_ssize_t count
