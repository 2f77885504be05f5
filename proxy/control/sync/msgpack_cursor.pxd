# MessagePack read in place: unsigned integers, arrays, and whatever is passed over. Nothing is made of it, every length
# is checked against what is left, and the first thing that does not fit stops the reading.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    DEPTH = 3                # of what is passed over

cdef struct Cursor:
    const uint8_t* at
    const uint8_t* end
    bint bad

cdef inline Cursor cursor_of(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    return Cursor(at=data, end=data + size, bad=False)

cdef inline uint64_t fail(Cursor* cursor) noexcept nogil:
    cursor.bad = True
    cursor.at = cursor.end
    return 0

# The next `size` bytes as a number, most significant first.
cdef inline uint64_t read_word(Cursor* cursor, int size) noexcept nogil:
    cdef uint64_t word = 0
    cdef int i
    if cursor.end - cursor.at < size:
        return fail(cursor)
    for i in range(size):
        word = word << 8 | cursor.at[i]
    cursor.at += size
    return word

cdef inline uint64_t read_unsigned(Cursor* cursor) noexcept nogil:
    cdef uint8_t head = <uint8_t>read_word(cursor, 1)
    cdef uint64_t word
    if head < 0x80:
        return head
    if 0xCC <= head <= 0xCF:
        return read_word(cursor, 1 << (head - 0xCC))
    if 0xD0 <= head <= 0xD3:             # of a signed sort, and not negative
        word = read_word(cursor, 1 << (head - 0xD0))
        return fail(cursor) if word >> ((8 << (head - 0xD0)) - 1) else word
    return fail(cursor)

# How many elements follow.
cdef inline uint32_t read_array(Cursor* cursor) noexcept nogil:
    cdef uint8_t head = <uint8_t>read_word(cursor, 1)
    cdef uint64_t count
    if 0x90 <= head <= 0x9F:
        count = head & 0x0F
    elif head == 0xDC or head == 0xDD:
        count = read_word(cursor, 2 << (head - 0xDC))
    else:
        return <uint32_t>fail(cursor)
    if count > <uint64_t>(cursor.end - cursor.at):
        return <uint32_t>fail(cursor)
    return <uint32_t>count

cdef inline void pass_bytes(Cursor* cursor, uint64_t size) noexcept nogil:
    if size > <uint64_t>(cursor.end - cursor.at):
        fail(cursor)
    else:
        cursor.at += size

# Passes over one value of any sort.
cdef void pass_over(Cursor* cursor, int depth) noexcept nogil
