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
    part_number,
    put_key,
    remove_record,
)

from os import urandom

cdef enum:
    SMALLEST = 16


cdef inline KeyTable* part_of(KeySet keys, uint64_t key) noexcept nogil:
    return &keys.parts[part_number(key)]


@cython.final
cdef class KeySet:
    def __cinit__(self):
        cdef int part
        secrets = urandom(16)
        for part in range(PARTS):
            open_key_table(&self.parts[part], sizeof(uint64_t), secrets)

    def __dealloc__(self):
        cdef int part
        for part in range(PARTS):
            close_key_table(&self.parts[part])
        free(self.order)

    def __len__(self):
        return self.count

    def __contains__(self, uint64_t key):
        return find_key(part_of(self, key), key) != NULL

    def add(self, uint64_t key):
        if not key:
            raise ValueError("0 is no key")
        return self.put(key)

    def update(self, keys):
        cdef uint64_t key
        for key in keys:
            if not key:
                raise ValueError("0 is no key")
            self.put(key)

    def discard(self, uint64_t key):
        cdef KeyTable* part = part_of(self, key)
        cdef void* record = find_key(part, key)
        if record != NULL:
            remove_record(part, record)
            self.count -= 1

    def take(self, uint64_t limit):
        return [self.pop() for _ in range(min(limit, self.count))]

    @property
    def octets(self):
        cdef int part
        return sum(bytes_of_table(&self.parts[part]) for part in range(PARTS)) + self.room * sizeof(uint64_t)

    cdef bint put(self, uint64_t key) except -1:
        cdef KeyTable* part = part_of(self, key)
        cdef uint64_t before = part.count
        if self.last == self.room:
            self.make_room()
        if put_key(part, key) == NULL:
            raise MemoryError
        if part.count == before:
            return False
        self.order[self.last] = key
        self.last += 1
        self.count += 1
        return True

    cdef uint64_t pop(self) noexcept nogil:
        cdef KeyTable* part
        cdef void* record
        while self.first < self.last:
            part = part_of(self, self.order[self.first])
            record = find_key(part, self.order[self.first])
            self.first += 1
            if record != NULL:
                remove_record(part, record)
                self.count -= 1
                return self.order[self.first - 1]
        return 0

    cdef int make_room(self) except -1:
        cdef uint64_t room
        cdef uint64_t* order
        if (self.last - self.first) > 2 * self.count:
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
        cdef KeySet seen = KeySet()
        cdef uint64_t i, key, kept = self.first
        for i in range(self.first, self.last):
            key = self.order[i]
            if find_key(part_of(self, key), key) != NULL and find_key(part_of(seen, key), key) == NULL:
                if put_key(part_of(seen, key), key) == NULL:
                    raise MemoryError
                self.order[kept] = key
                kept += 1
        self.last = kept
        return 0
