# MessagePack written in place, each number in as few bytes as hold it. The caller has made room.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    NUMBER_BYTES = 9         # the longest number

cdef inline uint8_t* write_word(uint8_t* at, uint8_t head, uint64_t word, int size) noexcept nogil:
    cdef int i
    at[0] = head
    for i in range(size):
        at[1 + i] = <uint8_t>(word >> 8 * (size - 1 - i))
    return at + 1 + size

cdef inline uint8_t* write_unsigned(uint8_t* at, uint64_t number) noexcept nogil:
    if number < 0x80:
        at[0] = <uint8_t>number
        return at + 1
    if number <= 0xFF:
        return write_word(at, 0xCC, number, 1)
    if number <= 0xFFFF:
        return write_word(at, 0xCD, number, 2)
    if number >> 32 == 0:
        return write_word(at, 0xCE, number, 4)
    return write_word(at, 0xCF, number, 8)

cdef inline uint8_t* write_array(uint8_t* at, uint32_t count) noexcept nogil:
    if count < 16:
        at[0] = <uint8_t>(0x90 | count)
        return at + 1
    return write_word(at, 0xDC, count, 2) if count <= 0xFFFF else write_word(at, 0xDD, count, 4)
