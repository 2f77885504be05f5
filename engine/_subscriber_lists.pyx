"""Subscribers' own allow and deny numbers and the consent they gave, one record a (callee, caller) pair.

    value   consent: categories 16 | last day of the consent 16 | last day of the listing 16 | flags 16

Days count from 1970 in UTC, 0 = without end. The key is a hash, so a subscriber's entries can be found but not listed:
the store, from which the table is rebuilt, has the list.
"""

from dataclasses import dataclass

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from engine._cuckoo cimport Nest, nest_find, nest_of, nest_put, nest_remove
from engine._table cimport TABLE_SUBSCRIBER_LISTS, Table

cdef extern from *:
    """
    #define CALLSIEVE_DAY_US 86400000000LL
    """
    const int64_t DAY_US "CALLSIEVE_DAY_US"

cdef enum:
    MAX_DAY = 0xFFFF
    PREFETCHED = 64


cdef inline bint over(uint64_t last_day, int64_t now_us) noexcept nogil:
    return last_day and now_us // DAY_US > <int64_t>last_day


cdef OwnEntry own_entry_read(const TableView* view, uint64_t key, int64_t now_us) noexcept nogil:
    cdef Nest nest = nest_of(view, key)
    cdef OwnEntry entry = OwnEntry(flags=0, categories=0)
    cdef uint64_t value
    if not nest_find(view, &nest, key, &value):
        return entry
    entry.flags = <uint8_t>value
    if over(value >> 16 & MAX_DAY, now_us):
        entry.flags &= OWN_CONSENT
    if over(value >> 32 & MAX_DAY, now_us):
        entry.flags &= ~OWN_CONSENT
    if entry.flags & OWN_CONSENT:
        entry.categories = <uint16_t>(value >> 48)
    return entry


@dataclass(frozen=True, slots=True)
class ListEntry:
    allow: bool = False
    deny: bool = False
    last_day: int = 0
    consent: bool = False
    consent_categories: int = 0
    consent_last_day: int = 0

    def pack(self):
        return (
            _bits(self.consent_categories, "consent_categories") << 48
            | _bits(self.consent_last_day, "consent_last_day") << 32
            | _bits(self.last_day, "last_day") << 16
            | (OWN_ALLOW if self.allow else 0)
            | (OWN_DENY if self.deny else 0)
            | (OWN_CONSENT if self.consent else 0)
        )


def _bits(value, name):
    if not 0 <= value < 1 << 16:
        raise ValueError(f"{name} {value}: expected 16 bits")
    return int(value)


@cython.final
cdef class SubscriberLists:
    def __init__(self, path, capacity):
        self.table = Table(path, TABLE_SUBSCRIBER_LISTS, capacity, whole=True)

    @classmethod
    def attach(cls, path):
        cdef SubscriberLists lists = SubscriberLists.__new__(SubscriberLists)
        lists.table = Table.attach(path, TABLE_SUBSCRIBER_LISTS, whole=True)
        return lists

    def read(self, number_t callee, number_t caller, int64_t now_us):
        cdef OwnEntry entry = own_entry_read(
            &self.table.view, own_entry_key(&self.table.view, callee, caller), now_us
        )
        return ListEntry(
            allow=bool(entry.flags & OWN_ALLOW),
            deny=bool(entry.flags & OWN_DENY),
            consent=bool(entry.flags & OWN_CONSENT),
            consent_categories=entry.categories,
        )

    def set(self, number_t callee, number_t caller, entry):
        cdef uint64_t value = entry.pack()
        check_pair(callee, caller)
        self.table.begin_changes()
        return bool(put(&self.table.view, own_entry_key(&self.table.view, callee, caller), value))

    def set_many(self, const uint64_t[::1] callees, const uint64_t[::1] callers, entry):
        cdef uint64_t value = entry.pack()
        cdef Py_ssize_t i, refused = 0
        if callees.shape[0] != callers.shape[0]:
            raise ValueError(f"{callees.shape[0]} callees, {callers.shape[0]} callers")
        for i in range(callees.shape[0]):
            check_pair(callees[i], callers[i])
        self.table.begin_changes()
        with nogil:
            for i in range(callees.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(&self.table.view, callees, callers, i)
                refused += not put(&self.table.view, own_entry_key(&self.table.view, callees[i], callers[i]), value)
        return refused

    def flush(self):
        self.table.end_changes()


cdef int check_pair(number_t callee, number_t caller) except -1:
    if not callee or not caller:
        raise ValueError(f"callee {callee}, caller {caller}: no number")
    return 0


# An entry that says nothing is no record.
cdef inline bint put(const TableView* view, uint64_t key, uint64_t value) noexcept nogil:
    if value & (OWN_ALLOW | OWN_DENY | OWN_CONSENT):
        return nest_put(view, key, value)
    nest_remove(view, key)
    return True


cdef void prefetch(
    const TableView* view, const uint64_t[::1] callees, const uint64_t[::1] callers, Py_ssize_t start
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(start, min(start + PREFETCHED, callees.shape[0])):
        own_entry_prefetch(view, own_entry_key(view, callees[i], callers[i]))
