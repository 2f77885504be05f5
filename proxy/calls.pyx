"""Calls in progress in fixed memory. Dialogs are matched by Call-ID and tags only (RFC 4916: URIs may change)."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from proxy.call_limits cimport NO_LIMIT
from proxy.key_index cimport add_key, create_index, find_key, free_index, remove_key
from proxy.memory cimport allocate_array, free_array
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end, keyed_hash_word


cdef class Calls:
    """Room for `capacity` calls. secret: 16 bytes that nobody outside knows."""

    def __cinit__(self, uint32_t capacity, bytes secret):
        cdef uint32_t i
        if len(secret) < 16 or capacity == 0:
            raise ValueError("a secret of 16 bytes and room for one call are needed")
        self.capacity = capacity
        self.calls = <Call*>allocate_array(<size_t>capacity + 1, sizeof(Call))
        self.free_calls = <uint32_t*>malloc(capacity * sizeof(uint32_t))
        if not (self.calls and self.free_calls and create_index(&self.dialogs, capacity)):
            raise MemoryError("no memory for the calls of `capacity.calls`")
        for i in range(capacity):
            self.free_calls[i] = capacity - i
        self.free_count = capacity
        memcpy(self.secret, <const char*>secret, 16)
        self.limits = CallLimits(())

    def __dealloc__(self):
        free_array(self.calls, <size_t>self.capacity + 1, sizeof(Call))
        free_index(&self.dialogs)
        free(self.free_calls)

    def put_under(self, CallLimits limits):
        """From now on these caps count; calls in progress move to those of the same names."""
        cdef uint32_t i
        moved = {index: new for index, new in enumerate(limits.take_over(self.limits))}
        for i in range(1, self.capacity + 1):
            if self.calls[i].state != CALL_FREE:
                self.calls[i].trunk_limit = limits.count_in(moved.get(self.calls[i].trunk_limit, NO_LIMIT))
                self.calls[i].gateway_limit = limits.count_in(moved.get(self.calls[i].gateway_limit, NO_LIMIT))
        self.limits = limits

    @property
    def open_calls(self):
        return self.capacity - self.free_count

    cdef uint32_t open(self) noexcept nogil:
        cdef uint32_t index
        if self.free_count == 0:
            return 0
        self.free_count -= 1
        index = self.free_calls[self.free_count]
        memset(&self.calls[index], 0, sizeof(Call))
        self.calls[index].state = CALL_PENDING
        self.calls[index].trunk_limit = self.calls[index].gateway_limit = NO_LIMIT
        return index

    cdef uint32_t longest(self) noexcept nogil:
        return self.oldest

    cdef void close(self, uint32_t call) noexcept nogil:
        cdef Call* c = &self.calls[call]
        if c.state == CALL_FREE:
            return
        if c.state == CALL_ANSWERED:
            if c.previous:
                self.calls[c.previous].next = c.next
            else:
                self.oldest = c.next
            if c.next:
                self.calls[c.next].previous = c.previous
            else:
                self.newest = c.previous
            if c.dialog:
                remove_key(&self.dialogs, c.dialog)
        self.limits.leave(c.trunk_limit)
        self.limits.leave(c.gateway_limit)
        c.state = CALL_FREE
        self.free_calls[self.free_count] = call
        self.free_count += 1

    cdef void answer(self, uint32_t call, const Message* response, int64_t now_us) noexcept nogil:
        cdef Call* c = &self.calls[call]
        c.state = CALL_ANSWERED
        c.answered_us = now_us
        c.caller_tag = self.tag_hash(response.data + response.from_tag.start, response.from_tag.size)
        c.dialog = self.dialog_of(response)
        c.next = 0
        c.previous = self.newest
        if self.newest:
            self.calls[self.newest].next = call
        else:
            self.oldest = call
        self.newest = call
        if find_key(&self.dialogs, c.dialog):
            c.dialog = 0     # somebody reuses Call-ID and tags: only the first call is followed
        else:
            add_key(&self.dialogs, c.dialog, call)

    cdef uint32_t find(self, const Message* request) noexcept nogil:
        return find_key(&self.dialogs, self.dialog_of(request))

    cdef uint64_t tag_hash(self, const uint8_t* tag, uint32_t size) noexcept nogil:
        cdef KeyedHash hash_
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, tag, size)
        return keyed_hash_end(&hash_)

    # The same for both directions: the tags enter as a sum.
    cdef uint64_t dialog_of(self, const Message* message) noexcept nogil:
        cdef KeyedHash hash_
        cdef const uint8_t* data = message.data
        cdef uint64_t tags = self.tag_hash(data + message.from_tag.start, message.from_tag.size)
        tags += self.tag_hash(data + message.to_tag.start, message.to_tag.size)
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_add(&hash_, data + message.call_id.start, message.call_id.size)
        keyed_hash_word(&hash_, tags)
        tags = keyed_hash_end(&hash_)
        return tags if tags else 1
