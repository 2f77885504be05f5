"""MessagePack in place: what is passed over. A byte's sort is its row in the table of formats of the specification."""


cdef void pass_over(Cursor* cursor, int depth) noexcept nogil:
    cdef uint8_t head = <uint8_t>read_word(cursor, 1)
    if cursor.bad or head < 0x80 or head >= 0xE0 or head == 0xC0 or head == 0xC2 or head == 0xC3:
        return
    if head < 0x90:
        pass_elements(cursor, 2 * (head & 0x0F), depth)
    elif head < 0xA0:
        pass_elements(cursor, head & 0x0F, depth)
    elif head < 0xC0:
        pass_bytes(cursor, head & 0x1F)
    elif 0xC4 <= head <= 0xC6:                                      # bin
        pass_bytes(cursor, read_word(cursor, 1 << (head - 0xC4)))
    elif 0xC7 <= head <= 0xC9:                                      # ext
        pass_bytes(cursor, read_word(cursor, 1 << (head - 0xC7)) + 1)
    elif head == 0xCA or head == 0xCB:                              # float
        pass_bytes(cursor, 4 << (head - 0xCA))
    elif 0xCC <= head <= 0xCF:
        pass_bytes(cursor, 1 << (head - 0xCC))
    elif 0xD0 <= head <= 0xD3:
        pass_bytes(cursor, 1 << (head - 0xD0))
    elif 0xD4 <= head <= 0xD8:                                      # fixext
        pass_bytes(cursor, (1 << (head - 0xD4)) + 1)
    elif 0xD9 <= head <= 0xDB:                                      # str
        pass_bytes(cursor, read_word(cursor, 1 << (head - 0xD9)))
    elif head == 0xDC or head == 0xDD:
        pass_elements(cursor, read_word(cursor, 2 << (head - 0xDC)), depth)
    elif head == 0xDE or head == 0xDF:
        pass_elements(cursor, 2 * read_word(cursor, 2 << (head - 0xDE)), depth)
    else:
        fail(cursor)


cdef void pass_elements(Cursor* cursor, uint64_t count, int depth) noexcept nogil:
    cdef uint64_t _
    if depth == 0 or count > <uint64_t>(cursor.end - cursor.at):
        fail(cursor)
        return
    for _ in range(count):
        pass_over(cursor, depth - 1)
        if cursor.bad:
            return
