"""The table file: its header, its creation, its validation, and the memory mapping that native code works on.

A file is a header followed by the buckets, which begin on a region's boundary where there is more than one region. Its
space is reserved when it is created (unwritten extents, not a zero-fill pass), so that a full disk is an error at start
and not a SIGBUS in the middle of a call. A file is created beside its place and renamed into it under a lock on the
directory: two processes that start at once get the same one. Opening reads the header and nothing else.

A table that must be whole or not at all is marked before its first change, on the disk, and unmarked once all changes
are there. A mark that an earlier boot of the machine left says that some pages may never have been written.
"""

import fcntl
import mmap
import os
import secrets
import struct
import zlib
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t

MAGIC = b"CSIEVTBL"
LAYOUT = 6
HEADER_SIZE = 4096
RECORD_SIZE = 16
MIN_CAPACITY = HEADER_SIZE // RECORD_SIZE    # one page of records keeps the file a multiple of pages
REGION_CAPACITY = BUCKET_RECORDS << REGION_BITS
KEYS_HASHED = frozenset({TABLE_PAIRS, TABLE_SUBSCRIBER_LISTS, TABLE_ORDERS, TABLE_SHARES})
MAX_CAPACITY = 1 << 36

# magic, layout, kind, capacity, record size, records in a bucket, secret, parameters; a CRC-32 of all that follows and
# is written last of all: it is the mark of a complete header.
HEADER = struct.Struct(f"<8sIIQII16s{TABLE_PARAMETERS}Q")
CHECK = struct.Struct("<I")
# What changes stands on lines of its own: other processes read the constant part meanwhile.
EVICTIONS_AT = 128
LOST_AT = 192
MOVES_AT = 256
SUMMARY_AT = 384
# The boot of the machine in which changes began that may not all be on the disk; zeros = everything is.
MARK_AT = 320
MARK_SIZE = 16
CLEAN = bytes(MARK_SIZE)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class TableError(ValueError):
    """The file at `path` is not a table that can be used; the text says why."""


@cython.final
cdef class Table:
    def __init__(self, path, int kind, capacity, parameters=(), bint whole=False):
        cdef object wanted = _header(kind, _rounded(capacity), parameters, secrets.token_bytes(16))
        self._map(path, *_open_or_create(Path(path), wanted, whole))

    @classmethod
    def attach(cls, path, int kind, bint whole=False):
        cdef Table table = Table.__new__(Table)
        with open(path, "r+b") as file:
            header = _read_header(file)
            if header[2] != kind:
                raise TableError(f"{path}: another kind of table ({header[2]})")
            if whole:
                _check_whole(file)
            mapped = _mapped(file)
        table._map(path, mapped, "")
        return table

    def _map(self, path, mapped, reason):
        cdef uint8_t* base
        mapping, self.identity = mapped
        self.path = str(path)
        self.reason = reason
        self.fresh = bool(reason)
        with suppress(OSError):    # only some file systems have huge pages
            mapping.madvise(mmap.MADV_HUGEPAGE)
        PyObject_GetBuffer(mapping, &self.pages, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.mapping = mapping
        _, _, kind, self.capacity, _, _, secret, *parameters = HEADER.unpack_from(mapping)
        base = <uint8_t*>self.pages.buf
        self.view.records = <Record*>(base + <Py_ssize_t>_records_at(self.capacity))
        self.view.regions = max(1, self.capacity // REGION_CAPACITY)
        self.view.region_mask = min(self.capacity, REGION_CAPACITY) // BUCKET_RECORDS - 1
        self.view.secret0, self.view.secret1 = struct.unpack("<QQ", secret)
        self.view.evictions = <uint64_t*>(base + <Py_ssize_t>EVICTIONS_AT)
        self.view.lost = <uint64_t*>(base + <Py_ssize_t>LOST_AT)
        self.view.moves = <uint64_t*>(base + <Py_ssize_t>MOVES_AT)
        self.view.summary = <uint64_t*>(base + <Py_ssize_t>SUMMARY_AT)
        for i in range(TABLE_PARAMETERS):
            self.view.parameters[i] = parameters[i]
        self.view.keys_hashed = kind in KEYS_HASHED

    @property
    def replaced(self):
        try:
            return _identity(os.stat(self.path)) != self.identity
        except FileNotFoundError:
            return False

    def begin_changes(self):
        if self.mapping[MARK_AT : MARK_AT + MARK_SIZE] != _boot():
            self.mapping[MARK_AT : MARK_AT + MARK_SIZE] = _boot()
            self.mapping.flush(0, HEADER_SIZE)

    def end_changes(self):
        if self.mapping[MARK_AT : MARK_AT + MARK_SIZE] != CLEAN:
            self.mapping.flush()
            self.mapping[MARK_AT : MARK_AT + MARK_SIZE] = CLEAN
            self.mapping.flush(0, HEADER_SIZE)

    def __dealloc__(self):
        PyBuffer_Release(&self.pages)

    @property
    def parameters(self):
        return tuple(self.view.parameters[i] for i in range(TABLE_PARAMETERS))

    @property
    def evictions(self):
        return self.view.evictions[0]

    @property
    def lost(self):
        return self.view.lost[0]

    def __len__(self):
        cdef uint64_t i, used = 0
        with nogil:
            for i in range(self.capacity):
                used += self.view.records[i].key != 0
        return used


def _rounded(capacity):
    """The next power of two within a region, at least a page of records; the next whole region beyond."""
    if not 0 < capacity <= MAX_CAPACITY:
        raise ValueError(f"capacity {capacity}: expected 1 to {MAX_CAPACITY}")
    if capacity > REGION_CAPACITY:
        return -(-capacity // REGION_CAPACITY) * REGION_CAPACITY
    return max(MIN_CAPACITY, 1 << (capacity - 1).bit_length())


def _records_at(capacity):
    return HEADER_SIZE if capacity <= REGION_CAPACITY else REGION_CAPACITY * RECORD_SIZE


def _file_size(capacity):
    return _records_at(capacity) + capacity * RECORD_SIZE


@cache
def _boot():
    """Names this boot of the machine."""
    return bytes.fromhex(BOOT_ID.read_text().replace("-", ""))


def _check_whole(file):
    file.seek(MARK_AT)
    mark = file.read(MARK_SIZE)
    if mark not in (CLEAN, _boot()):
        raise TableError("the machine went down before all changes were written")


def _header(kind, capacity, parameters, secret):
    padded = tuple(parameters) + (0,) * (TABLE_PARAMETERS - len(parameters))
    return MAGIC, LAYOUT, kind, capacity, RECORD_SIZE, BUCKET_RECORDS, secret, *padded


def _open_or_create(path, wanted, whole):
    """The file as `_mapped` gives it, and why it had to be made ("" if it was there)."""
    with _locked(path.parent):
        try:
            with path.open("r+b") as file:
                reason = _difference(_read_header(file), wanted)
                if not reason:
                    if whole:
                        _check_whole(file)
                    return _mapped(file), ""
        except FileNotFoundError:
            reason = "created"
        except TableError as error:
            reason = f"rebuilt: {error}"
        return _create(path, wanted), reason


@contextmanager
def _locked(directory):
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _create(path, header):
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w+b") as file:
        os.posix_fallocate(file.fileno(), 0, _file_size(header[3]))
        packed = HEADER.pack(*header)
        file.write(packed + CHECK.pack(zlib.crc32(packed)))
        file.flush()
        mapped = _mapped(file)
    os.rename(beside, path)
    return mapped


def _mapped(file):
    """The mapping of a file, and which file it is."""
    return mmap.mmap(file.fileno(), 0), _identity(os.fstat(file.fileno()))


def _identity(status):
    return status.st_dev, status.st_ino


def _read_header(file):
    """The header's fields; TableError if this build cannot read the file."""
    page = file.read(HEADER_SIZE)
    if len(page) < HEADER_SIZE:
        raise TableError("truncated header")
    header = HEADER.unpack_from(page)
    if header[0] != MAGIC:
        raise TableError("not a table")
    if CHECK.unpack_from(page, HEADER.size)[0] != zlib.crc32(page[: HEADER.size]):
        raise TableError("torn header")
    if (header[1], header[4], header[5]) != (LAYOUT, RECORD_SIZE, BUCKET_RECORDS):
        raise TableError(f"layout {header[1]}, this build has {LAYOUT}")
    size = os.fstat(file.fileno()).st_size
    if header[3] != _rounded(header[3]) or size != _file_size(header[3]):
        raise TableError(f"{size} bytes do not hold {header[3]} records")
    return header


def _difference(found, wanted):
    """Why a readable file is not the wanted one, "" if it is."""
    if found[2] != wanted[2]:
        return f"rebuilt: kind {found[2]}, wanted {wanted[2]}"
    if found[3] != wanted[3]:
        return f"rebuilt: capacity {found[3]}, wanted {wanted[3]}"
    if found[7:] != wanted[7:]:
        return f"rebuilt: parameters {found[7:]}, wanted {wanted[7:]}"
    return ""
