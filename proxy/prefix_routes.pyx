"""Routes by called prefix: one binary search for each length of prefix that there is, longest first."""

from libc.stdlib cimport calloc, free

from engine._numbers cimport NUMBER_TEXT, number_text


cdef class PrefixRoutes:
    """rows: (trunk, prefix as numbers are written canonically: "+8620", "CN:955"; route) each. No pair comes twice."""

    def __cinit__(self, rows):
        cdef int i
        keyed = sorted((prefix_key(trunk, prefix.encode("ascii")), route, len(prefix)) for trunk, prefix, route in rows)
        self.count = len(keyed)
        self.rows = <PrefixRoute*>calloc(max(1, self.count), sizeof(PrefixRoute))
        if not self.rows:
            raise MemoryError("no memory for the routes")
        for i, (key, route, length) in enumerate(keyed):
            self.rows[i].key, self.rows[i].route = key, route
            self.lengths |= <uint64_t>1 << <int>length

    def __dealloc__(self):
        free(self.rows)

    cdef uint16_t find(self, uint16_t trunk, number_t callee) noexcept nogil:
        cdef uint8_t text[NUMBER_TEXT]
        cdef uint64_t keys[NUMBER_TEXT + 1]
        cdef int size, i
        cdef uint16_t route
        if self.count == 0:
            return NO_ROUTE
        size = number_text(callee, text)
        keys[0] = key_of_trunk(trunk)
        for i in range(size):
            keys[i + 1] = key_with(keys[i], text[i])
        for i in range(size, -1, -1):
            if self.lengths >> i & 1:
                route = self.look_up(keys[i])
                if route != NO_ROUTE:
                    return route
        return NO_ROUTE

    cdef uint16_t look_up(self, uint64_t key) noexcept nogil:
        cdef uint32_t low = 0
        cdef uint32_t high = self.count
        cdef uint32_t middle
        while low < high:
            middle = (low + high) // 2
            if self.rows[middle].key < key:
                low = middle + 1
            else:
                high = middle
        return self.rows[low].route if low < self.count and self.rows[low].key == key else NO_ROUTE


# FNV-1a, so that the key of a prefix is a step on the way to that of a longer one.
cdef inline uint64_t key_of_trunk(uint16_t trunk) noexcept nogil:
    return key_with(key_with(<uint64_t>0xCBF29CE484222325, trunk & 0xFF), trunk >> 8)


cdef inline uint64_t key_with(uint64_t key, uint8_t byte) noexcept nogil:
    return (key ^ byte) * <uint64_t>0x100000001B3


cdef uint64_t prefix_key(uint16_t trunk, const uint8_t[::1] prefix):
    cdef uint64_t key = key_of_trunk(trunk)
    cdef Py_ssize_t i
    for i in range(prefix.shape[0]):
        key = key_with(key, prefix[i])
    return key
