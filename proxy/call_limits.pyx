"""Caps on calls: a GCRA word and a row of counts for each limit, in memory that all workers of a node map.

Each worker writes its own column of counts and reads the row, so a worker that dies takes nothing along: its successor
begins its column at zero. Two workers that admit a call in the same microsecond may pass a cap by one.
"""

import mmap
import os

from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #include <stdint.h>
    static inline int64_t callsieve_load_time(const int64_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
    static inline int callsieve_replace_time(int64_t *at, int64_t seen, int64_t value) {
        return __atomic_compare_exchange_n(at, &seen, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    """
    int64_t callsieve_load_time(const int64_t* at) noexcept nogil
    bint callsieve_replace_time(int64_t* at, int64_t seen, int64_t value) noexcept nogil

BURST_S = 1                  # a second's calls may come at once

cdef int64_t CLOCK_SLACK_US = 1_000_000      # a time further ahead is none of this clock's


def bytes_needed(int limits, int workers):
    """Size of the shared memory for so many limits."""
    return max(8, limits * 8 + limits * workers * 4)


def open_limits(path, limits, worker, workers):
    """The caps of a generation in the file that its workers share; whoever comes first makes it."""
    size = bytes_needed(len(limits), workers)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(fd, size)
        return CallLimits(limits, worker, workers, mmap.mmap(fd, size))
    finally:
        os.close(fd)


cdef class CallLimits:
    """limits: (name, calls a second or 0, calls at once or 0) each. memory: of `bytes_needed`, for all workers."""

    def __cinit__(self, limits, int worker=0, int workers=1, memory=None):
        cdef unsigned char[::1] view
        cdef int i
        self.count = len(limits)
        self.worker = worker
        self.workers = workers
        self.names = [name for name, _, _ in limits]
        self.limits = <CallLimit*>calloc(max(1, self.count), sizeof(CallLimit))
        if not self.limits:
            raise MemoryError("no memory for the caps on calls")
        self.memory = bytearray(bytes_needed(self.count, workers)) if memory is None else memory
        view = self.memory
        if view.shape[0] < bytes_needed(self.count, workers):
            raise ValueError("the memory for the caps on calls is too small")
        self.view = view
        self.arrivals = <int64_t*>&view[0]
        self.open = <int32_t*>(self.arrivals + self.count)
        for i, (_, calls_per_s, concurrent) in enumerate(limits):
            self.limits[i].interval_us = round(1_000_000 / calls_per_s) if calls_per_s else 0
            self.limits[i].burst_us = max(0, BURST_S * 1_000_000 - self.limits[i].interval_us)
            self.limits[i].concurrent = concurrent

    def __dealloc__(self):
        free(self.limits)

    def take_over(self, CallLimits previous):
        """These limits begin to count, those of known names where they stood: new index of each, or NO_LIMIT."""
        cdef int64_t seen, before
        cdef uint32_t old, new
        for new in range(self.count):
            self.open[new * self.workers + self.worker] = 0
        indexes = {name: index for index, name in enumerate(self.names)}
        moved = [indexes.get(name, NO_LIMIT) for name in previous.names]
        for old, index in enumerate(moved):
            if index == NO_LIMIT:
                continue
            new = index
            before = callsieve_load_time(&previous.arrivals[old])
            seen = callsieve_load_time(&self.arrivals[new])
            while seen < before and not callsieve_replace_time(&self.arrivals[new], seen, before):
                seen = callsieve_load_time(&self.arrivals[new])
        return moved

    def calls(self):
        """Calls in progress by the name of their limit, of all workers."""
        return {name: self.calls_of(index) for index, name in enumerate(self.names)}

    cdef bint admit(self, uint16_t index, int64_t now_us) noexcept nogil:
        cdef CallLimit* limit
        if index >= self.count:
            return True
        limit = &self.limits[index]
        if limit.concurrent and self.calls_of(index) >= limit.concurrent:
            return False
        if limit.interval_us and not self.take_rate(index, now_us):
            return False
        self.open[index * self.workers + self.worker] += 1
        return True

    # A call that is in progress already. Returns the index.
    cdef uint16_t count_in(self, uint16_t index) noexcept nogil:
        if index < self.count:
            self.open[index * self.workers + self.worker] += 1
        return index

    cdef void leave(self, uint16_t index) noexcept nogil:
        if index < self.count:
            self.open[index * self.workers + self.worker] -= 1

    # ITU-T I.371: a call conforms if it comes no more than the burst before its theoretical time.
    cdef bint take_rate(self, uint32_t index, int64_t now_us) noexcept nogil:
        cdef CallLimit* limit = &self.limits[index]
        cdef int64_t seen, due
        while True:
            seen = callsieve_load_time(&self.arrivals[index])
            due = seen if now_us < seen <= now_us + limit.burst_us + limit.interval_us + CLOCK_SLACK_US else now_us
            if due - now_us > limit.burst_us:
                return False
            if callsieve_replace_time(&self.arrivals[index], seen, due + limit.interval_us):
                return True

    cdef int32_t calls_of(self, uint32_t index) noexcept nogil:
        cdef int32_t total = 0
        cdef int i
        for i in range(self.workers):
            total += self.open[index * self.workers + i]
        return total
