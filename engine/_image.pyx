# The policy image: its layout in memory, writing it whole, opening it without reading it twice.
#
# A file is written beside its place and renamed into it. It is refused when its size, layout or checksum is not what
# the header says: a torn file is no policy.

import mmap
import os
import struct
import zlib
from pathlib import Path

import msgspec

cimport cython

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from engine._trie_layout cimport trie_view

from engine.policy_names import Names

MAGIC = b"CSPOLICY"
LAYOUT = 6
HEADER = struct.Struct("<8sIIQQ")     # magic, layout, sections, size, generation; then the checksum of all the rest
CHECKSUM = struct.Struct("<Q")
SECTION = struct.Struct("<QQ")        # offset, size
ALIGNMENT = 64
TABLE_AT = HEADER.size + CHECKSUM.size
SECTIONS = SECTION_COUNT

# One row of each section of structs, as `struct` writes it; checked against the C structs below.
SETTINGS_ROW = struct.Struct("<IIIIIIQ4q4q32H")
TRUNK_ROW = struct.Struct("<Q8H6HIIhhHH11Bx")
RULE_ROW = struct.Struct("<qIIh12B2x")
LIMIT_ROW = struct.Struct("<qqQHBB4x")
RECORD_ROW = struct.Struct("<IHH")
HIT_ROW = struct.Struct("<HBB")
ORIGIN_ROW = struct.Struct("<BBBB")
OFFSET_ROW = struct.Struct("<qq")
ZONE_ROW = struct.Struct("<II")
HOURS_ROW = struct.Struct("<6QIHBx")
HOLIDAY_ROW = struct.Struct("<i")


class ImageError(ValueError):
    """The file is no policy image that this build can use; the text says why."""


cdef int check_rows() except -1:
    pairs = (
        (SETTINGS_ROW, sizeof(ImageSettings)),
        (TRUNK_ROW, sizeof(ImageTrunk)),
        (RULE_ROW, sizeof(ImageRule)),
        (RECORD_ROW, sizeof(ImageRecord)),
        (HIT_ROW, sizeof(ImageHit)),
        (ORIGIN_ROW, sizeof(ImageOrigin)),
        (OFFSET_ROW, sizeof(ImageOffset)),
        (LIMIT_ROW, sizeof(ImageLimit)),
        (ZONE_ROW, sizeof(ImageZone)),
        (HOURS_ROW, sizeof(ImageHours)),
        (HOLIDAY_ROW, sizeof(int32_t)),
    )
    for row, size in pairs:
        if row.size != size:
            raise ImportError(f"row {row.format} takes {row.size} bytes, its struct {size}")
    return 0


check_rows()


def assemble(sections, generation: int) -> PolicyImage:
    """An image in memory from its sections, in the order of `Section`."""
    if len(sections) != SECTION_COUNT:
        raise ValueError(f"{len(sections)} sections, expected {SECTION_COUNT}")
    places = []
    end = TABLE_AT + SECTION.size * SECTION_COUNT
    for section in sections:
        end += -end % ALIGNMENT
        places.append((end, len(section)))
        end += len(section)
    image = mmap.mmap(-1, end)     # its sections are as aligned as those of a mapped file
    for i, (section, place) in enumerate(zip(sections, places, strict=True)):
        SECTION.pack_into(image, TABLE_AT + i * SECTION.size, *place)
        image[place[0] : place[0] + place[1]] = section
    HEADER.pack_into(image, 0, MAGIC, LAYOUT, SECTION_COUNT, end, generation)
    CHECKSUM.pack_into(image, HEADER.size, _checksum(image))
    return PolicyImage(image)


def _checksum(image) -> int:
    with memoryview(image) as view:
        return zlib.crc32(view[TABLE_AT:], zlib.crc32(view[:HEADER.size]))


def _validate(image) -> int:
    """The generation of a whole and sound image."""
    if len(image) < TABLE_AT or image[:8] != MAGIC:
        raise ImageError("no policy image")
    _, layout, count, size, generation = HEADER.unpack_from(image)
    if layout != LAYOUT or count != SECTION_COUNT:
        raise ImageError(f"layout {layout} with {count} sections, expected {LAYOUT} with {SECTION_COUNT}")
    if size != len(image):
        raise ImageError(f"torn: {len(image)} bytes of {size}")
    if CHECKSUM.unpack_from(image, HEADER.size)[0] != _checksum(image):
        raise ImageError("torn: the checksum does not agree")
    return generation


@cython.final
cdef class PolicyImage:
    def __init__(self, memory):
        self.generation = _validate(memory)
        self.memory = memory
        map_sections(memory, &self.view)
        start, size = SECTION.unpack_from(memory, TABLE_AT)
        self.names = msgspec.msgpack.decode(memory[start : start + size], type=Names)

    @classmethod
    def open(cls, path):
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < TABLE_AT:
                raise ImageError(f"torn: {size} bytes")
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def write(self, path):
        path = Path(path)
        beside = path.with_name(f".{path.name}.new")
        with beside.open("wb") as file:
            file.write(self.memory)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def __len__(self):
        return len(self.memory)

    @property
    def rules(self):
        return self.names.rules

    @property
    def reasons(self):
        return self.names.rules

    @property
    def labels(self):
        return self.names.labels

    @property
    def trunks(self):
        return self.names.trunks

    @property
    def diverts(self):
        return self.names.diverts

    def label_text(self, index: int) -> str:
        return self.names.label_texts[index]

    def dial_plan(self, trunk: int):
        return self.names.dial_plans[self.names.trunk_plans[trunk]]


cdef int map_sections(memory, ImageView* view) except -1:
    """Points the view into the memory, whose owner must keep it: nothing else holds it."""
    cdef Py_buffer pages
    cdef const uint8_t* base
    cdef uint64_t offset[SECTION_COUNT]
    cdef uint64_t size[SECTION_COUNT]
    for i in range(SECTION_COUNT):
        offset[i], size[i] = SECTION.unpack_from(memory, TABLE_AT + i * SECTION.size)
        if offset[i] + size[i] > <uint64_t>len(memory):
            raise ImageError(f"section {i} ends behind the image")
    PyObject_GetBuffer(memory, &pages, PyBUF_SIMPLE)
    base = <const uint8_t*>pages.buf
    view.settings = <const ImageSettings*>(base + offset[SECTION_SETTINGS])
    view.trunks = <const ImageTrunk*>(base + offset[SECTION_TRUNKS])
    view.rules = <const ImageRule*>(base + offset[SECTION_RULES])
    view.in_force = <const uint64_t*>(base + offset[SECTION_IN_FORCE])
    view.limits = <const ImageLimit*>(base + offset[SECTION_LIMITS])
    view.records = <const ImageRecord*>(base + offset[SECTION_RECORDS])
    view.hits = <const ImageHit*>(base + offset[SECTION_HITS])
    view.callers = trie_view(base + offset[SECTION_CALLERS])
    view.callers_short = trie_view(base + offset[SECTION_CALLERS_SHORT])
    view.callees = trie_view(base + offset[SECTION_CALLEES])
    view.callees_short = trie_view(base + offset[SECTION_CALLEES_SHORT])
    view.origins = <const ImageOrigin*>(base + offset[SECTION_ORIGINS])
    view.offsets = <const ImageOffset*>(base + offset[SECTION_OFFSETS])
    view.zones = <const ImageZone*>(base + offset[SECTION_ZONES])
    view.hours = <const ImageHours*>(base + offset[SECTION_HOURS])
    view.conditional = <const uint16_t*>(base + offset[SECTION_CONDITIONAL])
    view.holidays = <const int32_t*>(base + offset[SECTION_HOLIDAYS])
    view.trunks_count = <uint32_t>(size[SECTION_TRUNKS] // sizeof(ImageTrunk))
    view.rules_count = <uint32_t>(size[SECTION_RULES] // sizeof(ImageRule))
    view.records_count = <uint32_t>(size[SECTION_RECORDS] // sizeof(ImageRecord))
    view.classes_count = (
        <uint32_t>(size[SECTION_ORIGINS] // sizeof(ImageOrigin) // view.trunks_count) if view.trunks_count else 0
    )
    PyBuffer_Release(&pages)
    return 0
