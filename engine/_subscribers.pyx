"""What subscribers want refused: callee -> one word of preferences, for every subscriber of a country.

A preference is the subscriber's own will, so nothing is evicted: a table without room refuses a new subscriber and says
so, and its file is rebuilt from the store if the machine went down while changes were on their way to the disk. One
process writes (the node's control); any number read meanwhile.

A bulk build fills a file of its own and renames it into place. Since both buckets of a subscriber are in one region,
rows need no order: each is first appended to its region as it stands, and then the regions, which fit a processor's
cache, are put in order one by one. All that happens in memory of the process, as large as the table, which shrinks as
the file grows. So the file is written once, from its beginning to its end: rows that were scattered over it directly
would make the system write the same pages again and again.
"""

import mmap
import os
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from engine._cuckoo cimport KEY_MOVING, nest_put, nest_remove
from engine._table cimport (
    BUCKET_RECORDS,
    TABLE_SUBSCRIBERS,
    Record,
    Table,
    TableView,
    table_hash,
    table_region,
    table_region_at,
)

from engine._table import TableError

cdef enum:
    PREFETCHED = 64                    # subscribers of a batch whose buckets are on their way at a time
    IN_ORDER = 0xFFFFFFFF              # in place of a region's count of rows


@dataclass(frozen=True, slots=True)
class Preferences:
    refused_categories: int = 0
    refused_segments: int = 0
    do_not_call: bool = False
    high_frequency: int | None = None
    own_lists: bool = False
    own_prefix_lengths: int = 0
    quiet: tuple[int, int] | None = None

    def pack(self):
        quiet_from, quiet_to = self.quiet or (0, 0)
        return (
            _bits(self.refused_categories, 16, "refused_categories") << CATEGORIES_AT
            | _bits(self.refused_segments, 16, "refused_segments") << SEGMENTS_AT
            | _bits(self.do_not_call, 1, "do_not_call") << DO_NOT_CALL_AT
            | _bits(self.high_frequency is not None, 1, "high_frequency") << HIGH_FREQUENCY_AT
            | _bits(self.high_frequency or 0, 2, "high_frequency") << THRESHOLD_AT
            | _bits(self.own_lists, 1, "own_lists") << OWN_LISTS_AT
            | _bits(self.quiet is not None, 1, "quiet") << QUIET_AT
            | _half_hour(quiet_from) << QUIET_FROM_AT
            | _half_hour(quiet_to) << QUIET_TO_AT
            | _bits(self.own_prefix_lengths >> 1, 14, "own_prefix_lengths") << PREFIXES_AT
        )

    @classmethod
    def unpack(cls, uint64_t word):
        quiet = (int(word >> QUIET_FROM_AT & 63), int(word >> QUIET_TO_AT & 63))
        level = high_frequency_class(word)
        return cls(
            refused_categories=int(word & 0xFFFF),
            refused_segments=refused_segments(word),
            do_not_call=bool(wants_no_sales(word)),
            high_frequency=level - 1 if level else None,
            own_lists=bool(has_own_lists(word)),
            own_prefix_lengths=own_prefix_lengths(word),
            quiet=quiet if word >> QUIET_AT & 1 else None,
        )

    def refuses(self, uint8_t category):
        return bool(category < 16 and refuses_category(self.pack(), category))

    def is_quiet(self, uint8_t half_hour):
        return bool(is_quiet(self.pack(), half_hour))


def _bits(value, width, name):
    if not 0 <= value < 1 << width:
        raise ValueError(f"{name} {value}: expected {width} bits")
    return int(value)


def _half_hour(value):
    if not 0 <= value < 48:
        raise ValueError(f"quiet {value}: expected half hours, 0 to 47")
    return value


@cython.final
cdef class SubscriberTable:
    def __init__(self, path, capacity):
        self.table = Table(path, TABLE_SUBSCRIBERS, capacity, whole=True)

    @classmethod
    def attach(cls, path):
        cdef SubscriberTable subscribers = SubscriberTable.__new__(SubscriberTable)
        subscribers.table = Table.attach(path, TABLE_SUBSCRIBERS, whole=True)
        return subscribers

    @staticmethod
    def build(path, capacity, chunks, rows=0, progress=None):
        path = Path(path)
        beside = path.with_name(f".{path.name}.build")
        beside.unlink(missing_ok=True)
        try:
            count = _build(Table(beside, TABLE_SUBSCRIBERS, capacity), chunks, rows, progress)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        return count

    def read(self, number_t callee):
        return subscriber_read(&self.table.view, callee)

    def read_many(self, const uint64_t[::1] callees):
        found = array("Q", bytes(8 * callees.shape[0]))
        cdef uint64_t[::1] words = found
        cdef Py_ssize_t i
        with nogil:
            for i in range(callees.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(&self.table.view, callees, i)
                words[i] = subscriber_read(&self.table.view, callees[i])
        return found

    def set(self, number_t callee, uint64_t word):
        check_callee(callee)
        self.table.begin_changes()
        return bool(put(&self.table.view, callee, word))

    def set_many(self, const uint64_t[::1] callees, const uint64_t[::1] words):
        refused = array("Q")
        cdef Py_ssize_t i
        check_rows(callees, words)
        self.table.begin_changes()
        with nogil:
            for i in range(callees.shape[0]):
                if i % PREFETCHED == 0:
                    prefetch(&self.table.view, callees, i)
                if not put(&self.table.view, callees[i], words[i]):
                    with gil:
                        refused.append(callees[i])
        return refused

    def flush(self):
        self.table.end_changes()


cdef int check_callee(number_t callee) except -1:
    if not callee or callee & KEY_MOVING:
        raise ValueError(f"callee {callee}: no number")
    return 0


cdef int check_rows(const uint64_t[::1] callees, const uint64_t[::1] words) except -1:
    cdef Py_ssize_t i
    if callees.shape[0] != words.shape[0]:
        raise ValueError(f"{callees.shape[0]} callees, {words.shape[0]} words")
    for i in range(callees.shape[0]):
        check_callee(callees[i])
    return 0


# Preferences of nothing are no record.
cdef inline bint put(const TableView* view, number_t callee, uint64_t word) noexcept nogil:
    if word:
        return nest_put(view, callee, word)
    nest_remove(view, callee)
    return True


cdef void prefetch(const TableView* view, const uint64_t[::1] callees, Py_ssize_t start) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(start, min(start + PREFETCHED, callees.shape[0])):
        subscriber_prefetch(view, callees[i])


# --- Bulk build -------------------------------------------------------------------------------------------------------

cdef struct Builder:
    TableView view           # of the memory in which the table is built
    uint32_t* rows           # of each region, or IN_ORDER
    Record* scratch          # a region's rows while it is put in order
    uint32_t region_records


def _build(Table table, chunks, uint64_t rows, progress):
    cdef Builder builder
    cdef Py_buffer pages
    cdef uint64_t region, done = 0, kept = 0
    builder.view = table.view
    builder.region_records = <uint32_t>(BUCKET_RECORDS * (table.view.region_mask + 1))
    memory = _memory(table.view.regions * builder.region_records * sizeof(Record))
    PyObject_GetBuffer(memory, &pages, PyBUF_SIMPLE | PyBUF_WRITABLE)
    builder.view.records = <Record*>pages.buf
    builder.rows = <uint32_t*>calloc(table.view.regions, sizeof(uint32_t))
    builder.scratch = <Record*>malloc(sizeof(Record) * builder.region_records)
    try:
        if not builder.rows or not builder.scratch:
            raise MemoryError
        for callees, words in chunks:
            _append(&builder, callees, words)
            done += len(callees)
            _tell(progress, done, rows)
        for region in range(table.view.regions):
            kept += _finish(&builder, region)
            _move(&builder, region, &table.view, memory)
            _tell(progress, rows + rows * (region + 1) // table.view.regions, rows)
        table.begin_changes()
        table.end_changes()
    finally:
        PyBuffer_Release(&pages)
        free(builder.rows)
        free(builder.scratch)
    return kept


def _memory(size):
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as why:
        raise TableError(f"no {size / 1e9:.1f} GB of memory to build the table of subscribers in") from why
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


cdef int _move(const Builder* builder, uint64_t region, const TableView* to, memory) except -1:
    """A region that is in order goes to its place in the file, and its memory back to the system."""
    cdef size_t size = builder.region_records * sizeof(Record)
    with nogil:
        memcpy(table_region_at(to, region), table_region_at(&builder.view, region), size)
    if to.regions > 1:
        memory.madvise(mmap.MADV_DONTNEED, region * size, size)
    return 0


def _tell(progress, done, rows):
    if progress:
        progress(min(done, 2 * rows), 2 * rows)


cdef int _append(Builder* builder, const uint64_t[::1] callees, const uint64_t[::1] words) except -1:
    cdef Py_ssize_t i, appended = 0
    check_rows(callees, words)
    with nogil:
        for i in range(callees.shape[0]):
            if not append(builder, callees[i], words[i]):
                break
            appended += 1
    return check_room(appended == callees.shape[0])


cdef int64_t _finish(Builder* builder, uint64_t region) except -1:
    cdef int64_t kept = 0
    with nogil:
        if builder.rows[region] == IN_ORDER or put_in_order(builder, region):
            kept = count_records(builder, region)
    check_room(builder.rows[region] == IN_ORDER)
    return kept


cdef int check_room(bint has_room) except -1:
    if not has_room:
        raise TableError("more subscribers than the table has room for: about nine tenths of its capacity")
    return 0


# Rows stand in their region as they come until it is full of them; from then on it is kept in order.
cdef bint append(Builder* builder, number_t callee, uint64_t word) noexcept nogil:
    cdef uint64_t region = table_region(&builder.view, table_hash(&builder.view, callee))
    cdef Record* row
    if builder.rows[region] == builder.region_records and not put_in_order(builder, region):
        return False
    if builder.rows[region] == IN_ORDER:
        return put(&builder.view, callee, word)
    row = &table_region_at(&builder.view, region)[builder.rows[region]]
    row.key = callee
    row.value = word
    builder.rows[region] += 1
    return True


cdef bint put_in_order(Builder* builder, uint64_t region) noexcept nogil:
    cdef Record* records = table_region_at(&builder.view, region)
    cdef uint32_t i, rows = builder.rows[region]
    memcpy(builder.scratch, records, sizeof(Record) * rows)
    memset(records, 0, sizeof(Record) * rows)
    for i in range(rows):
        if not put(&builder.view, builder.scratch[i].key, builder.scratch[i].value):
            return False
    builder.rows[region] = IN_ORDER
    return True


cdef int64_t count_records(const Builder* builder, uint64_t region) noexcept nogil:
    cdef const Record* records = table_region_at(&builder.view, region)
    cdef int64_t count = 0
    cdef uint32_t i
    for i in range(builder.region_records):
        count += records[i].key != 0
    return count
