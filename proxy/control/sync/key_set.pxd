# A set of keys that remembers the order in which they came: 8 bytes a key for the order and about 10 for finding it.

from libc.stdint cimport uint64_t

from proxy.control.sync.key_table cimport KeyTable

cdef class KeySet:
    cdef KeyTable table      # records of nothing but the key
    cdef uint64_t* order     # every key that was added, some of which have been taken away since
    cdef uint64_t room       # in `order`
    cdef uint64_t first      # of what is still to come
    cdef uint64_t last       # behind it
    # True: it was not there.
    cdef bint put(self, uint64_t key) except -1
    # The oldest, which is no longer here; 0 = none.
    cdef uint64_t pop(self) noexcept nogil
    cdef int make_room(self) except -1
    cdef int drop_stale(self) except -1
