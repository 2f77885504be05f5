"""199 Early Dialog Terminated (RFC 6228 section 6).

A final response that is not passed on, because another target is tried or still open, ends the early dialog of its
branch. A caller that supports 199 is told, so that it lets go of what it keeps for that dialog.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memset

from proxy.forwarding cimport Answer, write_answer
from proxy.outbox cimport literal, put_decimal, writer_over
from proxy.sip.grammar cimport sip_equal_nocase
from proxy.sip.message cimport Header


# FNV-1a of the To-tag: within one branch only.
cdef uint32_t early_dialog(const Message* response) noexcept nogil:
    cdef uint32_t hash_ = 2166136261
    cdef uint32_t i
    if response.to_tag.size == 0:
        return 0
    for i in range(response.to_tag.size):
        hash_ = (hash_ ^ response.data[response.to_tag.start + i]) * 16777619
    return hash_ | 1


cdef bint wants_199(const Message* invite) noexcept nogil:
    cdef const Header* header
    cdef bint wanted = False
    cdef uint32_t size
    cdef int i
    for i in range(invite.header_count):
        header = &invite.headers[i]
        size = name_size(invite.data + header.start, header.value - header.start)
        if is_named(invite.data + header.start, size, b"supported", b"k"):
            wanted = wanted or lists(invite, header, b"199", 3)
        elif is_named(invite.data + header.start, size, b"require", b"require") and lists(invite, header, b"100rel", 6):
            return False
    return wanted


cdef void write_199(Writer* writer, const Message* final) noexcept nogil:
    cdef uint8_t room[48]
    cdef Writer reason = writer_over(room, sizeof(room))
    cdef Answer answer
    literal(&reason, b"Reason: SIP;cause=")
    put_decimal(&reason, final.status)
    literal(&reason, b"\r\n")
    memset(&answer, 0, sizeof(Answer))
    answer.status = 199
    answer.reason = <const uint8_t*>b"Early Dialog Terminated"
    answer.reason_size = 23
    answer.skip_top_via = True
    answer.extra = room
    answer.extra_size = <uint32_t>(reason.at - reason.start)
    write_answer(writer, final, &answer)


cdef uint32_t name_size(const uint8_t* line, uint32_t size) noexcept nogil:
    cdef uint32_t end = 0
    while end < size and line[end] != 58 and line[end] != 32 and line[end] != 9:
        end += 1
    return end


cdef bint is_named(const uint8_t* name, uint32_t size, const char* full, const char* compact) noexcept nogil:
    cdef uint32_t i = 0
    if size == 1:
        return compact[1] == 0 and (name[0] | 32) == <uint8_t>compact[0]
    while i < size and full[i] and (name[i] | 32) == <uint8_t>full[i]:
        i += 1
    return i == size and full[i] == 0


# Whether a comma-separated header lists this option tag.
cdef bint lists(const Message* message, const Header* header, const char* tag, uint32_t tag_size) noexcept nogil:
    cdef const uint8_t* data = message.data
    cdef uint32_t at = header.value
    cdef uint32_t start
    while at < header.value_end:
        while at < header.value_end and (data[at] <= 32 or data[at] == 44):
            at += 1
        start = at
        while at < header.value_end and data[at] > 32 and data[at] != 44:
            at += 1
        if at - start == tag_size and sip_equal_nocase(data + start, tag, tag_size):
            return True
    return False
