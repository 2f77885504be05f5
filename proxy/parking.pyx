"""A ring of requests that wait for a name. All wait equally long at most, so the oldest is always the first due."""

from libc.stdlib cimport calloc, free

# The resolver answers within 2 s (proxy.resolver.DEADLINE_S); whoever calls is answered by then, come what may.
cdef int64_t PATIENCE_US = 2_000_000


cdef class ParkingLot:
    """Room for `capacity` requests."""

    def __cinit__(self, uint32_t capacity=1024):
        self.capacity = capacity
        self.places = <ParkedRequest*>calloc(capacity, sizeof(ParkedRequest))
        if not self.places:
            raise MemoryError("no memory for requests that wait for a name")

    def __dealloc__(self):
        free(self.places)

    cdef ParkedRequest* enter(self, int64_t now_us) noexcept nogil:
        cdef ParkedRequest* parked
        if self.count == self.capacity:
            return NULL
        parked = &self.places[(self.first + self.count) % self.capacity]
        self.count += 1
        parked.until_us = now_us + PATIENCE_US
        return parked

    cdef ParkedRequest* next_for(self, uint64_t name, uint32_t* cursor) noexcept nogil:
        cdef ParkedRequest* parked
        while cursor[0] < self.count:
            parked = &self.places[(self.first + cursor[0]) % self.capacity]
            cursor[0] += 1
            if parked.name == name:
                return parked
        return NULL

    cdef ParkedRequest* next_due(self, int64_t now_us) noexcept nogil:
        self.drop_left()
        if self.count == 0 or self.places[self.first].until_us > now_us:
            return NULL
        return &self.places[self.first]

    cdef void leave(self, ParkedRequest* parked) noexcept nogil:
        parked.name = 0

    cdef int64_t deadline(self) noexcept nogil:
        self.drop_left()
        return self.places[self.first].until_us if self.count else 0

    cdef void drop_left(self) noexcept nogil:
        while self.count and self.places[self.first].name == 0:
            self.first = (self.first + 1) % self.capacity
            self.count -= 1
