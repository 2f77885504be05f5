"""Longest match on digits, over a set of prefixes that is built once.

The nodes of the trie are flattened: a match is one look-up for each length at which an entry could exist, and all of
them are known before the first is made. A root, indexed by the first digits, holds the longest entry that is no longer
than these and says which lengths exist below; there are four of them, or five where many entries are.
A hash of an entry's digits names its group, about six entries. The group's word holds a filter of 48 bits, which turns
away nearly every look-up of what is not there, and a pilot of 16 bits, which the builder chose so that no bucket of
five entries overflows (a perfect hash with buckets, after Belazzougui, Botelho and Dietzfelbinger, "Hash, displace, and
compress", ESA 2009). So a look-up is one word of a small array and, where the filter lets it pass, exactly one cache
line; those of all lengths are fetched side by side instead of one after the other as in a linked trie.

An entry's key is the decimal of "1" + digits (the leading 1 keeps zeros and length) and, as lowest bit, `exact`.

    header 64 B | root 10^4 or 10^5 x 8 B | buckets 64 B each | groups 8 B each, padded to 64
"""

import mmap
import zlib
from array import array
from contextlib import suppress

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from engine._decimals cimport MAX_DECIMALS, checked_decimals_of
from engine._trie_layout cimport (
    LARGE_ROOT_DIGITS,
    LAYOUT,
    LINE,
    MAGIC,
    ROOT_DIGITS,
    TrieHeader,
    TrieView,
    image_size,
    trie_view,
)

from engine._trie_builder import build_image

cdef enum:
    BATCH = 16               # numbers whose lines are on their way at a time


@cython.final
cdef class PrefixTrie:
    def __cinit__(self, buffer):
        cdef Py_buffer pages
        buffer = _aligned(buffer)
        _check(memoryview(buffer).cast("B"))
        PyObject_GetBuffer(buffer, &pages, PyBUF_SIMPLE)
        self.owner = memoryview(buffer)    # pins the pages; `pages` is only asked for their address
        self.view = trie_view(<const uint8_t*>pages.buf)
        PyBuffer_Release(&pages)

    @staticmethod
    def build(entries):
        keys = array("Q")
        values = array("I")
        for digits, exact, value in entries:
            if value <= 0:
                raise ValueError(f"{digits}: value {value} is not above 0")
            keys.append(_key(digits, exact))
            values.append(value)
        return build_image(keys, values)

    @staticmethod
    def build_keys(const uint64_t[::1] keys, const uint32_t[::1] values):
        if keys.shape[0] != values.shape[0]:
            raise ValueError(f"{keys.shape[0]} keys, {values.shape[0]} values")
        cdef Py_ssize_t i
        for i in range(keys.shape[0]):
            if not checked_decimals_of(keys[i] >> 1) or not values[i]:
                raise ValueError(f"entry {i}: key {keys[i]} or value {values[i]} out of range")
        return build_image(keys, values)

    def match(self, str digits):
        cdef TrieSearch search
        cdef uint64_t number = _key(digits, False) >> 1
        cdef uint32_t value
        cdef int length
        trie_begin(&self.view, number, &search)
        trie_ask(&search)
        trie_narrow(&search)
        value = trie_end(&search, &length)
        return (value, length) if value else None

    def match_many(self, const uint64_t[::1] numbers):
        matches = array("I", bytes(4 * numbers.shape[0]))
        cdef uint32_t[::1] out = matches
        cdef Py_ssize_t start = 0, count = numbers.shape[0]
        with nogil:
            while start < count:
                match_batch(&self.view, &numbers[start], &out[start], min(<Py_ssize_t>BATCH, count - start))
                start += BATCH
        return matches

    def __len__(self):
        return self.view.entries


cdef void match_batch(const TrieView* view, const uint64_t* numbers, uint32_t* out, Py_ssize_t size) noexcept nogil:
    cdef TrieSearch[BATCH] searches
    cdef int length
    cdef Py_ssize_t i
    for i in range(size):
        trie_begin(view, numbers[i], &searches[i])
    for i in range(size):
        trie_ask(&searches[i])
    for i in range(size):
        trie_narrow(&searches[i])
    for i in range(size):
        out[i] = trie_end(&searches[i], &length)


cdef uint64_t _key(str digits, bint exact) except 0:
    if not 0 < len(digits) <= MAX_DECIMALS:
        raise ValueError(f"{digits!r}: expected 1 to {MAX_DECIMALS} digits")
    cdef uint64_t payload = 1
    cdef Py_UCS4 digit
    for digit in digits:
        if not u"0" <= digit <= u"9":
            raise ValueError(f"{digits!r}: not decimal digits")
        payload = payload * 10 + (<int>digit - c'0')
    return payload << 1 | exact


def _aligned(buffer):
    """The image at the start of a cache line: itself, or a copy."""
    cdef Py_buffer pages
    PyObject_GetBuffer(buffer, &pages, PyBUF_SIMPLE)
    aligned = <size_t>pages.buf % LINE == 0
    size = pages.len
    PyBuffer_Release(&pages)
    if aligned or size == 0:
        return buffer
    copy = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):    # a kernel may have no huge pages
        copy.madvise(mmap.MADV_HUGEPAGE)
    copy.write(buffer)
    return copy


cdef int _check(const uint8_t[::1] image) except -1:
    """Refuses an image that is not whole, or of another layout, so that a match may trust its sizes."""
    if image.shape[0] < <Py_ssize_t>sizeof(TrieHeader):
        raise ValueError(f"prefix trie: {image.shape[0]} bytes, no header")
    cdef const TrieHeader* header = <const TrieHeader*>&image[0]
    if header.magic != MAGIC or header.layout != LAYOUT:
        raise ValueError(f"prefix trie: not layout {LAYOUT}")
    if header.root_digits not in (ROOT_DIGITS, LARGE_ROOT_DIGITS):
        raise ValueError(f"prefix trie: a root of {header.root_digits} digits")
    if header.size != <uint64_t>image.shape[0] or header.size != image_size(
        header.root_digits, header.buckets, header.groups
    ):
        raise ValueError(f"prefix trie: {image.shape[0]} bytes do not fit its header")
    if not header.buckets or not header.groups:
        raise ValueError("prefix trie: no buckets")
    if header.crc != zlib.crc32(image[16:]):
        raise ValueError("prefix trie: checksum does not match")
    return 0
