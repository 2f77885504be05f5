"""A set of keys that remembers the order in which they came, in about 20 bytes a key.

A key that is discarded stays in the order until its turn comes or room is needed. If it comes back before that it keeps
its first turn.
"""

cimport cython
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from proxy.control.sync.key_table cimport (
    bytes_of_table,
    close_key_table,
    find_key,
    open_key_table,
    put_key,
    remove_record,
)

from os import urandom

cdef enum:
    SMALLEST = 16


@cython.final
cdef class KeySet:
    def __cinit__(self):
        open_key_table(&self.table, sizeof(uint64_t), urandom(16))

    def __dealloc__(self):
        close_key_table(&self.table)
        free(self.order)

    def __len__(self):
        return self.table.count

    def __contains__(self, uint64_t key):
        return find_key(&self.table, key) != NULL

    def add(self, uint64_t key):
        if not key:
            raise ValueError("0 is no key")
        return self.put(key)

    def update(self, keys):
        for key in keys:
            self.add(key)

    def discard(self, uint64_t key):
        cdef void* record = find_key(&self.table, key)
        if record != NULL:
            remove_record(&self.table, record)

    def take(self, uint64_t limit):
        return [self.pop() for _ in range(min(limit, self.table.count))]

    @property
    def octets(self):
        return bytes_of_table(&self.table) + self.room * sizeof(uint64_t)

    cdef bint put(self, uint64_t key) except -1:
        cdef uint64_t before = self.table.count
        if self.last == self.room:
            self.make_room()
        if put_key(&self.table, key) == NULL:
            raise MemoryError
        if self.table.count == before:
            return False
        self.order[self.last] = key
        self.last += 1
        return True

    cdef uint64_t pop(self) noexcept nogil:
        cdef void* record
        while self.first < self.last:
            record = find_key(&self.table, self.order[self.first])
            self.first += 1
            if record != NULL:
                remove_record(&self.table, record)
                return self.order[self.first - 1]
        return 0

    cdef int make_room(self) except -1:
        cdef uint64_t room
        cdef uint64_t* order
        if (self.last - self.first) > 2 * self.table.count:
            self.drop_stale()
        memmove(self.order, self.order + self.first, (self.last - self.first) * sizeof(uint64_t))
        self.last -= self.first
        self.first = 0
        room = max(<uint64_t>SMALLEST, self.last * 5 // 4)
        if room >= self.last + SMALLEST // 2 and self.room // 2 <= room <= self.room:
            return 0
        order = <uint64_t*>realloc(self.order, room * sizeof(uint64_t))
        if order == NULL:
            raise MemoryError
        self.order, self.room = order, room
        return 0

    # Leaves of each key that is still here its first turn alone.
    cdef int drop_stale(self) except -1:
        cdef KeyTable seen
        cdef uint64_t i, key, kept = self.first
        open_key_table(&seen, sizeof(uint64_t), urandom(16))
        for i in range(self.first, self.last):
            key = self.order[i]
            if find_key(&self.table, key) == NULL or find_key(&seen, key) != NULL:
                continue
            if put_key(&seen, key) == NULL:
                close_key_table(&seen)
                raise MemoryError
            self.order[kept] = key
            kept += 1
        self.last = kept
        close_key_table(&self.table)
        self.table = seen
        return 0
