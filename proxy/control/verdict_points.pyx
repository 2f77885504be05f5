"""Points of reputation that verdicts have given, so that they can be taken back without what the node has learned."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from engine._cuckoo cimport nest_remove
from engine._decision cimport CATEGORY_NONE
from engine._reputation cimport ReputationCache, ReputationEntry, reputation_add, reputation_prefetch, reputation_read
from proxy.control.sync.key_table cimport (
    PARTS,
    KeyTable,
    close_key_table,
    find_key,
    open_key_table,
    part_number,
    prefetch_key,
    put_key,
    remove_record,
)

from os import urandom

cdef enum:
    BANDS = 4
    LAST_KIND = 3            # numbers, prefixes, short codes
    PREFETCHED = 32          # keys of a batch whose places are on their way at a time

cdef struct GivenRecord:
    uint64_t key
    uint64_t points


cdef inline bint has_reputation(uint64_t key) noexcept nogil:
    return 1 <= key >> 60 <= LAST_KIND


@cython.final
cdef class VerdictPoints:
    cdef ReputationCache reputation
    cdef KeyTable parts[PARTS]
    cdef uint64_t count

    def __cinit__(self, ReputationCache reputation not None):
        cdef int part
        secrets = urandom(16)
        self.reputation = reputation
        for part in range(PARTS):
            open_key_table(&self.parts[part], sizeof(GivenRecord), secrets)

    def __dealloc__(self):
        cdef int part
        for part in range(PARTS):
            close_key_table(&self.parts[part])

    def __len__(self):
        return self.count

    def give(self, uint64_t key, uint32_t wanted, int64_t now_us):
        if has_reputation(key):
            self.set_points(key, wanted, now_us)

    def give_bands(
        self, const uint64_t[::1] keys not None, const uint8_t[::1] bands not None, points, int64_t now_us
    ):
        cdef uint32_t wanted[BANDS]
        cdef Py_ssize_t i, ahead
        wanted = points
        if keys.shape[0] != bands.shape[0]:
            raise ValueError(f"{keys.shape[0]} keys, {bands.shape[0]} bands")
        for i in range(keys.shape[0]):
            if i % PREFETCHED == 0:
                for ahead in range(i, min(i + PREFETCHED, keys.shape[0])):
                    reputation_prefetch(&self.reputation.table.view, keys[ahead])
                    prefetch_key(&self.parts[part_number(keys[ahead])], keys[ahead])
            if bands[i] >= BANDS:
                raise ValueError(f"band {bands[i]}: expected 0 to {BANDS - 1}")
            if has_reputation(keys[i]):
                self.set_points(keys[i], wanted[bands[i]], now_us)

    cdef int set_points(self, uint64_t key, uint32_t wanted, int64_t now_us) except -1:
        cdef ReputationEntry standing
        cdef bint known = reputation_read(self.reputation.table, key, now_us, &standing)
        cdef uint32_t points = standing.points if known else 0
        cdef GivenRecord* record = <GivenRecord*>find_key(&self.parts[part_number(key)], key)
        cdef uint32_t given = 0 if record == NULL else <uint32_t>record.points
        if points < wanted:
            reputation_add(self.reputation.table, key, now_us, wanted - points, False, CATEGORY_NONE)
            given += wanted - points
        elif given and known and wanted < given:
            nest_remove(&self.reputation.table.view, key)
            reputation_add(
                self.reputation.table, key, now_us, max(points - min(given, points), wanted), False, standing.category
            )
            given = wanted
        return self.remember(key, record, given if wanted else 0)

    cdef int remember(self, uint64_t key, GivenRecord* record, uint32_t given) except -1:
        cdef KeyTable* part = &self.parts[part_number(key)]
        if record != NULL and not given:
            remove_record(part, record)
            self.count -= 1
        if record == NULL and given and self.count < self.reputation.table.capacity:
            record = <GivenRecord*>put_key(part, key)
            if record == NULL:
                raise MemoryError
            self.count += 1
        if record != NULL and given:
            record.points = given
        return 0
