# Subscribers' own entries: (callee, caller or block of callers) -> allow, deny, consent. Nothing is evicted.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from engine._cuckoo cimport nest_prefetch, paired_key
from engine._decision cimport number_t
from engine._table cimport Table, TableView

cdef enum OwnEntryFlag:
    OWN_ALLOW = 1
    OWN_DENY = 2
    OWN_CONSENT = 4

cdef struct OwnEntry:
    uint8_t flags            # OwnEntryFlag, those in force
    uint16_t categories      # that the consent covers: bit n = category n; 0 = every call

# `caller` may be a block (KIND_PREFIX) of the lengths that the subscriber's preferences name.
cdef inline uint64_t own_entry_key(const TableView* view, number_t callee, number_t caller) noexcept nogil:
    return paired_key(view, callee, caller)

cdef inline void own_entry_prefetch(const TableView* view, uint64_t key) noexcept nogil:
    nest_prefetch(view, key)

# What is in force at `now_us`; no flags if nothing is.
cdef OwnEntry own_entry_read(const TableView* view, uint64_t key, int64_t now_us) noexcept nogil

cdef class SubscriberLists:
    cdef readonly Table table
