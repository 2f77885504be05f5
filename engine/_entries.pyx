# List entries on their way into an image: read from text, sorted, and pushed down.
#
# The idea: what holds for a prefix holds for everything below it. Sorted by digits, a prefix stands right before all
# that begins with it, so one pass with a stack of open prefixes gives every entry a record of its own hits and all
# those above it. Then one longest match at run time answers every question the order of decision asks. Few combinations
# differ, so equal records are one.

from array import array

cimport cython

from cpython cimport array as c_array
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort, realloc

from engine._decimals cimport power_of_ten
from engine._decision cimport KIND_SHORT, number_t
from engine._dial_plan cimport DialPlan, number_folded
from engine._numbers cimport MAX_DIGITS, entry_number, number_kind

cdef enum:
    MAX_ENTRY_LINE = 4096
    KINDS = 2                # numbers, short codes

cdef struct Entry:
    uint64_t aligned         # digits moved to the left of 15 decimal places: sorts as text does
    number_t number
    uint16_t rule
    uint8_t length
    uint8_t exact

cdef struct Entries:
    Entry* items
    Py_ssize_t count
    Py_ssize_t room

cdef uint64_t DIGITS_MASK = (<uint64_t>1 << 60) - 1


cdef int reserve(Entries* entries) except -1:
    cdef Entry* items
    if entries.count < entries.room:
        return 0
    entries.room = entries.room * 2 if entries.room else 1024
    items = <Entry*>realloc(entries.items, entries.room * sizeof(Entry))
    if items is NULL:
        raise MemoryError
    entries.items = items
    return 0


cdef void fill(Entry* entry, number_t number, bint exact, uint16_t rule) noexcept nogil:
    cdef uint64_t word = number & DIGITS_MASK
    cdef int length = 0
    while length < MAX_DIGITS and word >= power_of_ten(length + 1):
        length += 1
    entry.aligned = (word - power_of_ten(length)) * power_of_ten(MAX_DIGITS - length)
    entry.number = number
    entry.rule = rule
    entry.length = <uint8_t>length
    entry.exact = exact


cdef int compare(const void* left, const void* right) noexcept nogil:
    cdef const Entry* a = <const Entry*>left
    cdef const Entry* b = <const Entry*>right
    if a.aligned != b.aligned:
        return -1 if a.aligned < b.aligned else 1
    if a.length != b.length:
        return <int>a.length - b.length
    if a.exact != b.exact:
        return <int>a.exact - b.exact
    return <int>a.rule - b.rule


cdef bint is_blank(uint8_t c) noexcept nogil:
    return c == c' ' or c == c'\t' or c == c'\r'


@cython.final
cdef class RecordSet:
    """Every different combination of hits once; 0 is the empty one."""

    cdef readonly list contents      # tuples of (rule, weight) pairs
    cdef dict known
    cdef dict steps

    def __init__(self):
        self.contents = [()]
        self.known = {(): 0}
        self.steps = {}

    cdef uint32_t extend(self, uint32_t record, uint16_t rule, int weight) except? 0:
        """The record with one more hit, which takes the place of a shorter match of the same rule."""
        cdef uint64_t step = <uint64_t>record << 24 | <uint64_t>rule << 8 | <uint64_t>weight
        found = self.steps.get(step)
        if found is None:
            kept = [hit for hit in self.contents[record] if hit[0] != rule]
            content = tuple(sorted([*kept, (rule, weight)]))
            found = self.known.get(content)
            if found is None:
                found = self.known[content] = len(self.contents)
                self.contents.append(content)
            self.steps[step] = found
        return found


@cython.final
cdef class EntrySet:
    """Entries of many rules, apart by kind of number; whole numbers that a plan takes for short codes become those."""

    cdef Entries entries[KINDS]
    cdef tuple plans

    def __init__(self, plans=()):
        self.plans = tuple(plans)

    def __dealloc__(self):
        for kind in range(KINDS):
            free(self.entries[kind].items)

    def count(self, short_codes: bool) -> int:
        return self.entries[<int>short_codes].count

    cdef int add_number(self, number_t number, bint exact, uint16_t rule) except -1:
        cdef Entries* entries
        cdef DialPlan plan
        if exact:
            for plan in self.plans:
                number = number_folded(plan.rules, number)
        entries = &self.entries[number_kind(number) == KIND_SHORT]
        reserve(entries)
        fill(&entries.items[entries.count], number, exact, rule)
        entries.count += 1
        return 0

    def add(self, number: int, exact: bool, rule: int) -> None:
        self.add_number(number, exact, rule)

    def add_text(self, const uint8_t[::1] text, int rule) -> list:
        """Adds one entry a line; returns (line number, text) of those that are none."""
        cdef const uint8_t* base
        cdef Py_ssize_t size = text.shape[0], start = 0, end, first, last, line = 0
        cdef number_t number
        cdef bint exact = False
        bad = []
        if size == 0:
            return bad
        base = &text[0]
        while start < size:
            end = start
            while end < size and base[end] != c'\n':
                end += 1
            line += 1
            first, last = start, start
            while last < end and base[last] != c'#':
                last += 1
            while first < last and is_blank(base[first]):
                first += 1
            while last > first and is_blank(base[last - 1]):
                last -= 1
            start = end + 1
            if first == last:
                continue
            number = entry_number(base + first, last - first, &exact) if last - first < MAX_ENTRY_LINE else 0
            if number:
                self.add_number(number, exact, <uint16_t>rule)
            else:
                bad.append((line, bytes(text[first:last])))
        return bad

    def prefixes(self, short_codes: bool, most_digits: int) -> list:
        """(rule, number) of the prefixes of at most so many digits."""
        cdef const Entries* entries = &self.entries[<int>short_codes]
        cdef Py_ssize_t i
        found = []
        for i in range(entries.count):
            if not entries.items[i].exact and entries.items[i].length <= <int>most_digits:
                found.append((entries.items[i].rule, entries.items[i].number))
        return found

    def push_down(self, short_codes: bool, RecordSet records) -> tuple:
        """(keys, records) for `PrefixTrie.build_keys`, in the order of their digits, each key once."""
        cdef Entries* entries = &self.entries[<int>short_codes]
        cdef c_array.array keys = array("Q", bytes(8 * entries.count))
        cdef c_array.array values = array("I", bytes(4 * entries.count))
        cdef Entry* open_prefixes[MAX_DIGITS + 2]
        cdef uint32_t open_records[MAX_DIGITS + 2]
        cdef uint32_t record
        cdef Entry* entry
        cdef int depth = 0
        cdef Py_ssize_t i = 0, made = 0
        if entries.count:
            with nogil:
                qsort(entries.items, entries.count, sizeof(Entry), compare)
        while i < entries.count:
            entry = &entries.items[i]
            while depth and not is_above(open_prefixes[depth - 1], entry):
                depth -= 1
            record = open_records[depth - 1] if depth else 0
            while i < entries.count and same_place(entry, &entries.items[i]):
                record = records.extend(record, entries.items[i].rule, 2 * entry.length + entry.exact)
                i += 1
            if not entry.exact:
                open_prefixes[depth] = entry
                open_records[depth] = record
                depth += 1
            keys.data.as_ulonglongs[made] = (entry.number & DIGITS_MASK) << 1 | entry.exact
            values.data.as_uints[made] = record
            made += 1
        return keys[:made], values[:made]


cdef bint same_place(const Entry* a, const Entry* b) noexcept nogil:
    return a.aligned == b.aligned and a.length == b.length and a.exact == b.exact


cdef bint is_above(const Entry* prefix, const Entry* entry) noexcept nogil:
    cdef uint64_t span = power_of_ten(MAX_DIGITS - prefix.length)
    return prefix.length <= entry.length and entry.aligned - prefix.aligned < span
