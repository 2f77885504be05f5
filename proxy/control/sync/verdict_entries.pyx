"""Verdicts as words, of which the larger by (trust, hlc, reducer, entry) stands. `verdicts` says what they mean.

    entry (64 bits) = score 10 | band 3 | why 16 | expiry 32 (s since 2026-01-01) | flags 3

A frame's records are read twice: once to see whether all of them are sound, once to take them in. No object is made.
"""

from array import array

from libc.stdint cimport int64_t, uint8_t

from proxy.control.sync.blake2b cimport big_endian_32, big_endian_64, blake2b_64_of_words
from proxy.control.sync.digest cimport toggle_hash
from proxy.control.sync.key_place cimport Place, is_key, keys_of, place_of
from proxy.control.sync.key_set cimport KeySet
from proxy.control.sync.key_table cimport (
    bytes_of_table,
    close_key_table,
    find_key,
    is_free,
    next_record,
    open_key_table,
    part_of_place,
    place_of_part,
    put_key,
    remove_record,
)
from proxy.control.sync.msgpack_cursor cimport DEPTH, Cursor, cursor_of, pass_over, read_array, read_unsigned
from proxy.control.sync.msgpack_writer cimport NUMBER_BYTES, write_array, write_unsigned

from os import urandom

from proxy.control.sync.records import MAX_RECORDS, Refused

cdef enum:
    FIELDS = 6                       # [key, gen, score, band, why, ttl_s]
    MAX_SCORE = 1000
    BAND_NONE = 0                    # as `score.Band`
    BAND_TAG = 1
    BAND_BLOCK = 3

cdef extern from *:
    """
    #define CALLSIEVE_EXPIRY_MASK 0xFFFFFFFFULL
    """
    const uint64_t MASK32 "CALLSIEVE_EXPIRY_MASK"

cdef struct Row:                     # a V record as it came
    uint64_t key
    uint64_t gen
    uint64_t score
    uint64_t band
    uint64_t why
    uint64_t ttl_s

cdef enum Fault:
    SOUND = 0
    NOT_MSGPACK = 1
    NO_KEY = 2


# --- On the wire ------------------------------------------------------------------------------------------------------

# row.key: that of the record before, 0 at the first.
cdef Fault read_row(Cursor* cursor, Row* row) noexcept nogil:
    cdef uint32_t fields = read_array(cursor)
    cdef uint64_t before = row.key
    cdef uint32_t _
    if fields < FIELDS:
        return NOT_MSGPACK
    row.key += read_unsigned(cursor)
    row.gen = read_unsigned(cursor)
    row.score = read_unsigned(cursor)
    row.band = read_unsigned(cursor)
    row.why = read_unsigned(cursor)
    row.ttl_s = read_unsigned(cursor)
    for _ in range(FIELDS, fields):
        pass_over(cursor, DEPTH)
    if cursor.bad or row.gen > MASK32 or row.score > MAX_SCORE or row.band > BAND_BLOCK or row.why > 0xFFFF:
        return NOT_MSGPACK
    if row.ttl_s > MASK32:
        return NOT_MSGPACK
    return NO_KEY if row.key < before or not is_key(row.key) else SOUND


cdef Fault check_rows(Cursor cursor, uint32_t most, uint32_t* count) noexcept nogil:
    cdef Row row
    cdef Fault fault
    cdef uint32_t _
    row.key = 0
    count[0] = read_array(&cursor)
    if count[0] > most:
        return NOT_MSGPACK
    for _ in range(count[0]):
        fault = read_row(&cursor, &row)
        if fault != SOUND:
            return fault
    return NOT_MSGPACK if cursor.bad or cursor.at != cursor.end else SOUND


# --- Entries ----------------------------------------------------------------------------------------------------------

cdef inline uint64_t entry_of(const Row* row, int64_t now_s, uint64_t longest_ttl_s) noexcept nogil:
    cdef int64_t expiry = min(max(now_s + <int64_t>min(row.ttl_s, longest_ttl_s), <int64_t>0), <int64_t>MASK32)
    return row.score << 54 | row.band << 51 | row.why << 35 | <uint64_t>expiry << 3


# What a verdict is worth: nothing is blocked for ever because nobody took it back.
cdef inline uint8_t band_now(uint64_t entry, int64_t now_s, int64_t forgotten_s) noexcept nogil:
    cdef uint8_t band = <uint8_t>(entry >> 51 & 7)
    cdef int64_t ended_s = now_s - <int64_t>(entry >> 3 & MASK32)
    if ended_s < 0:
        return band
    return min(band, <uint8_t>BAND_TAG) if ended_s < forgotten_s else BAND_NONE


cdef inline bint is_larger(const VerdictRecord* a, const VerdictRecord* b) noexcept nogil:
    if a.trust != b.trust:
        return a.trust > b.trust
    if a.hlc != b.hlc:
        return a.hlc > b.hlc
    if a.reducer != b.reducer:
        return a.reducer > b.reducer
    return a.entry > b.entry


# Without the time at which it ends: that is renewed.
cdef inline uint64_t canonical_hash(const VerdictRecord* record) noexcept nogil:
    return blake2b_64_of_words(big_endian_64(record.key), big_endian_32(<uint32_t>(record.entry >> 35)), 12)


cdef class VerdictEntries:
    def __cinit__(self):
        cdef int shard
        secrets = urandom(16)
        self.digest = Digest()
        for shard in range(SHARDS):
            open_key_table(&self.shards[shard], sizeof(VerdictRecord), secrets)

    def __dealloc__(self):
        cdef int shard
        for shard in range(SHARDS):
            close_key_table(&self.shards[shard])

    def __len__(self):
        cdef int shard
        return sum(self.shards[shard].count for shard in range(SHARDS))

    def merge_entry(self, uint64_t key, uint64_t entry, uint32_t trust, uint64_t hlc, uint32_t reducer):
        cdef VerdictRecord record = VerdictRecord(key=key, entry=entry, hlc=hlc, trust=trust, reducer=reducer)
        return self.put(&record, place_of(key))

    def merge_records(
        self,
        const uint8_t[::1] records not None,
        int64_t now_s,
        uint64_t longest_ttl_s,
        uint32_t trust,
        uint64_t hlc,
        uint32_t reducer,
        KeySet changed not None,
        list standing=None,
    ):
        cdef Cursor cursor = cursor_of(&records[0] if records.shape[0] else NULL, records.shape[0])
        cdef VerdictRecord record = VerdictRecord(key=0, entry=0, hlc=hlc, trust=trust, reducer=reducer)
        cdef Row row
        cdef Place place
        cdef VerdictRecord* ours
        cdef uint32_t _, count = 0
        cdef Fault fault = check_rows(cursor, MAX_RECORDS, &count)
        if fault != SOUND:
            raise Refused("key" if fault == NO_KEY else "msgpack")
        read_array(&cursor)
        row.key = 0
        for _ in range(count):
            read_row(&cursor, &row)
            record.key = row.key
            record.entry = entry_of(&row, now_s, longest_ttl_s)
            place = place_of(row.key)
            ours = <VerdictRecord*>find_key(&self.shards[place.shard], row.key) if standing is not None else NULL
            if ours != NULL and ours.entry >> 51 & 7 != row.band:
                standing.append(row.key)
            elif self.put(&record, place):
                changed.put(row.key)
        return count

    def entry(self, uint64_t key):
        cdef VerdictRecord* record = self.find(key)
        return None if record == NULL else record.entry

    def stamp(self, uint64_t key):
        cdef VerdictRecord* record = self.find(key)
        return 0 if record == NULL else record.hlc

    def keys(self, int shard, buckets=None):
        return keys_of(&self.shards[shard & (SHARDS - 1)], buckets)

    def write_records(self, keys, generations, uint32_t ttl_s):
        cdef VerdictRecord* record
        cdef uint64_t key, before = 0
        present = [(key, gen) for key, gen in zip(keys, generations, strict=True) if self.find(key) != NULL]
        written = bytearray((1 + FIELDS * len(present)) * (NUMBER_BYTES + 1))
        cdef uint8_t* start = written
        cdef uint8_t* at = write_array(start, len(present))
        for key, gen in present:
            record = self.find(key)
            at = write_array(at, FIELDS)
            at = write_unsigned(at, key - before)
            at = write_unsigned(at, gen)
            at = write_unsigned(at, record.entry >> 54)
            at = write_unsigned(at, record.entry >> 51 & 7)
            at = write_unsigned(at, record.entry >> 35 & 0xFFFF)
            at = write_unsigned(at, ttl_s)
            before = key
        return bytes(written[: at - start])

    def fade(
        self, int shard, int64_t now_s, int64_t forgotten_s, KeySet changed not None, uint64_t start, uint64_t places
    ):
        cdef KeyTable* table = &self.shards[shard & (SHARDS - 1)]
        cdef uint64_t at = place_of_part(table, start), end = at + places, reached
        cdef uint8_t now
        cdef VerdictRecord* record
        met, gone = [], []
        while at < end or not is_free(table, at):
            record = <VerdictRecord*>next_record(table, &at)
            if record == NULL:
                break
            met.append(record.key)
            now = band_now(record.entry, now_s, forgotten_s)
            if now == record.entry >> 51 & 7:
                continue
            changed.put(record.key)
            if now == BAND_NONE:
                gone.append(record.key)
        reached = part_of_place(table, at)
        for key in gone:
            self.remove(key)
        return met, reached

    def take_bands(self, KeySet changed not None, uint64_t limit, int64_t now_s, int64_t forgotten_s):
        cdef uint64_t count = min(limit, changed.count), i
        keys, bands = array("Q", bytes(8 * count)), bytearray(count)
        cdef uint64_t[::1] key_at = keys
        cdef uint8_t[::1] band_at = bands
        cdef VerdictRecord* record
        for i in range(count):
            key_at[i] = changed.pop()
            record = self.find(key_at[i])
            band_at[i] = 0 if record == NULL else band_now(record.entry, now_s, forgotten_s)
        return keys, bands

    def forget(self, uint64_t key):
        self.remove(key)

    @property
    def octets(self):
        cdef int shard
        return sum(bytes_of_table(&self.shards[shard]) for shard in range(SHARDS))

    cdef bint put(self, const VerdictRecord* theirs, Place place) except -1:
        cdef KeyTable* table = &self.shards[place.shard]
        cdef uint64_t before = table.count
        cdef VerdictRecord* ours = <VerdictRecord*>put_key(table, theirs.key)
        cdef bint known = table.count == before
        if ours == NULL:
            raise MemoryError
        if known and not is_larger(theirs, ours):
            return False
        if known and ours.entry >> 35 == theirs.entry >> 35:
            ours[0] = theirs[0]
            return False
        if known:
            toggle_hash(self.digest, place, canonical_hash(ours))
        ours[0] = theirs[0]
        toggle_hash(self.digest, place, canonical_hash(ours))
        return True

    cdef VerdictRecord* find(self, uint64_t key) noexcept nogil:
        return <VerdictRecord*>find_key(&self.shards[place_of(key).shard], key)

    cdef void remove(self, uint64_t key) noexcept nogil:
        cdef Place place = place_of(key)
        cdef VerdictRecord* record = <VerdictRecord*>find_key(&self.shards[place.shard], key)
        if record != NULL:
            toggle_hash(self.digest, place, canonical_hash(record))
            remove_record(&self.shards[place.shard], record)
