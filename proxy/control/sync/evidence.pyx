"""Evidence slots: for each key what every origin has seen of it. Joined by the larger value, however often.

A slot is (key, origin, epoch, generation, metric) -> q. Each shard has an index from keys to words in its arena, where
all slots of a key lie together (`evidence_runs`). A frame's records are read twice: once to see whether all of them are
sound, once to take them in. No object is made.
"""

cimport cython
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset

from proxy.control.sync.blake2b cimport blake2b_64, store_be32, store_be64
from proxy.control.sync.digest cimport toggle_hash
from proxy.control.sync.evidence_runs cimport (
    MAX_WORDS,
    METRICS,
    NOWHERE,
    Run,
    free_arena,
    join_slots,
    read_run,
    run_at,
    take_words,
    words_of,
    write_run,
)
from proxy.control.sync.evidence_wire cimport (
    EVIDENCE_KEY,
    EVIDENCE_MSGPACK,
    EVIDENCE_RANGE,
    EVIDENCE_SOUND,
    EvidenceFault,
    check_evidence,
    read_evidence_record,
)
from proxy.control.sync.key_place cimport keys_of, place_of
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
from proxy.control.sync.msgpack_cursor cimport Cursor, cursor_of, read_array

from os import urandom

from proxy.control.sync.metrics import least_kept
from proxy.control.sync.records import MAX_RECORDS, Refused

Slot = tuple[int, int, int, int]  # origin, epoch, metric, q

cdef enum:
    WORDS_BITS = 20                  # of `EvidenceRecord.runs`
    WASTED_SHARE = 8                 # an arena of which one in so many words is wasted is copied
    ENTRY_BYTES = 20 + 8 * METRICS

_WHY = {EVIDENCE_MSGPACK: "msgpack", EVIDENCE_RANGE: "range", EVIDENCE_KEY: "key"}


cdef inline uint64_t first_word(const EvidenceRecord* record) noexcept nogil:
    return record.runs >> WORDS_BITS


cdef inline uint32_t word_count(const EvidenceRecord* record) noexcept nogil:
    return <uint32_t>(record.runs & (MAX_WORDS - 1))


cdef inline void set_words(EvidenceRecord* record, uint64_t first, uint64_t count) noexcept nogil:
    record.runs = first << WORDS_BITS | count


@cython.final
cdef class EvidenceTable:
    def __cinit__(self):
        cdef int shard
        secrets = urandom(16)
        self.digest = Digest()
        self.numbers = {}
        for shard in range(SHARDS):
            open_key_table(&self.index[shard], sizeof(EvidenceRecord), secrets)
        open_key_table(&self.generation_of, sizeof(GenerationRecord), secrets)

    def __dealloc__(self):
        cdef int shard
        for shard in range(SHARDS):
            close_key_table(&self.index[shard])
            free_arena(&self.arenas[shard])
        close_key_table(&self.generation_of)
        free(self.sources)

    def __len__(self):
        cdef int shard
        return sum(self.index[shard].count for shard in range(SHARDS))

    def __contains__(self, uint64_t key):
        return find_key(&self.index[place_of(key).shard], key) != NULL

    # --- Joins --------------------------------------------------------------------------------------------------------

    def merge(self, uint64_t key, uint32_t origin, uint32_t epoch, uint64_t gen, pairs):
        cdef Slots slots
        cdef unsigned int metric
        cdef uint32_t q
        memset(&slots, 0, sizeof(Slots))
        for metric, q in zip(pairs[::2], pairs[1::2], strict=True):
            if metric >= METRICS:
                raise ValueError(f"metric {metric}: expected 0 to {METRICS - 1}")
            if q > slots.q[metric]:
                slots.q[metric] = q
                slots.present |= <unsigned short>(1 << metric)
        return self.put(key, gen, self.number_of(origin, epoch), &slots)

    def merge_records(
        self, const uint8_t[::1] records not None, uint32_t origin, uint32_t epoch, KeySet touched not None
    ):
        cdef Cursor cursor = cursor_of(&records[0] if records.shape[0] else NULL, records.shape[0])
        cdef uint32_t _, source, count = 0, news = 0
        cdef uint64_t key = 0, gen = 0
        cdef Slots slots
        cdef EvidenceFault fault = check_evidence(cursor, MAX_RECORDS, &count)
        if fault != EVIDENCE_SOUND:
            raise Refused(_WHY[fault])
        source = self.number_of(origin, epoch)
        read_array(&cursor)
        for _ in range(count):
            read_evidence_record(&cursor, &key, &gen, &slots)
            if self.put(key, gen, source, &slots):
                touched.put(key)
                news += 1
        return news

    cdef bint put(self, uint64_t key, uint64_t gen, uint32_t source, const Slots* theirs) except -1:
        cdef Place place
        cdef EvidenceRecord* record
        cdef const uint32_t* words
        cdef uint64_t standing = self.gen_at(key)
        cdef uint32_t at = 0, count = 0
        cdef Run run
        cdef Slots ours
        if gen != standing or theirs.present == 0:
            self.ahead += gen > standing
            return False
        place = place_of(key)
        record = <EvidenceRecord*>find_key(&self.index[place.shard], key)
        if record != NULL:
            words = self.arenas[place.shard].words + first_word(record)
            count = word_count(record)
            while at < count:
                run = run_at(words + at)
                if run.source == source:
                    read_run(words + at, &run, &ours)
                    if not join_slots(&ours, theirs):
                        return False
                    return self.set_runs(key, place, at, run.words, source, &ours)
                at += run.words
        return self.set_runs(key, place, at, 0, source, theirs)

    # In place of the run of `old_words` at `old_at` among those of the key.
    cdef bint set_runs(
        self, uint64_t key, Place place, uint32_t old_at, uint32_t old_words, uint32_t source, const Slots* slots
    ) except -1:
        cdef Arena* arena = &self.arenas[place.shard]
        cdef EvidenceRecord* record = <EvidenceRecord*>put_key(&self.index[place.shard], key)
        cdef uint64_t gen = self.gen_at(key), first, grown
        cdef uint32_t needed = words_of(source, slots.present), count
        cdef Slots before
        cdef Run run
        if record == NULL:
            raise MemoryError
        count = word_count(record)
        first = first_word(record)
        if old_words:
            run = run_at(arena.words + first + old_at)
            read_run(arena.words + first + old_at, &run, &before)
        if needed != old_words:
            if count + needed - old_words >= MAX_WORDS:
                return False
            grown = take_words(arena, count + needed - old_words)
            if grown == NOWHERE:
                if not count:
                    remove_record(&self.index[place.shard], record)
                raise MemoryError
            memcpy(arena.words + grown, arena.words + first, old_at * sizeof(uint32_t))
            memcpy(
                arena.words + grown + old_at + needed,
                arena.words + first + old_at + old_words,
                (count - old_at - old_words) * sizeof(uint32_t),
            )
            arena.wasted += count
            first = grown
            set_words(record, first, count + needed - old_words)
        write_run(arena.words + first + old_at, source, slots)
        if old_words:
            self.toggle(place, key, gen, source, &before)
        self.toggle(place, key, gen, source, slots)
        self.tidy(place.shard)
        return True

    # --- Reading ------------------------------------------------------------------------------------------------------

    def read(self, uint64_t key):
        cdef uint32_t at = 0, count = 0
        cdef const uint32_t* words = self.runs_of(key, &count)
        cdef int metric
        cdef Run run
        cdef Slots slots
        found = []
        while at < count:
            run = run_at(words + at)
            read_run(words + at, &run, &slots)
            source = self.sources[run.source]
            for metric in range(METRICS):
                if slots.present >> metric & 1:
                    found.append((source.origin, source.epoch, metric, slots.q[metric]))
            at += run.words
        return found

    cdef const uint32_t* runs_of(self, uint64_t key, uint32_t* count) noexcept nogil:
        cdef int shard = place_of(key).shard
        cdef EvidenceRecord* record = <EvidenceRecord*>find_key(&self.index[shard], key)
        count[0] = 0 if record == NULL else word_count(record)
        return NULL if record == NULL else self.arenas[shard].words + first_word(record)

    def keys(self, int shard, buckets=None):
        return keys_of(&self.index[shard & (SHARDS - 1)], buckets)

    @property
    def octets(self):
        cdef int shard
        tables = sum(bytes_of_table(&self.index[shard]) for shard in range(SHARDS))
        return tables + 4 * sum(self.arenas[shard].room for shard in range(SHARDS))

    # --- Generations --------------------------------------------------------------------------------------------------

    def generation(self, uint64_t key):
        return self.gen_at(key)

    def generations(self):
        cdef uint64_t at = 0
        cdef GenerationRecord* record
        found = []
        while True:
            record = <GenerationRecord*>next_record(&self.generation_of, &at)
            if record == NULL:
                return found
            found.append((record.key, record.gen))

    def raise_generation(self, uint64_t key, uint64_t gen):
        cdef GenerationRecord* record
        if gen <= self.gen_at(key):
            return False
        self.void_runs(key, 0, True)
        record = <GenerationRecord*>put_key(&self.generation_of, key)
        if record == NULL:
            raise MemoryError
        record.gen = gen
        return True

    cdef uint64_t gen_at(self, uint64_t key) noexcept nogil:
        cdef GenerationRecord* record = <GenerationRecord*>find_key(&self.generation_of, key)
        return 0 if record == NULL else record.gen

    # --- Voiding ------------------------------------------------------------------------------------------------------

    def drop_origin(self, uint32_t origin):
        cdef int shard
        touched = [
            key
            for shard in range(SHARDS)
            for key in keys_of(&self.index[shard], None)
            if self.void_runs(key, origin, False)
        ]
        for shard in range(SHARDS):
            self.tidy(shard)
        return touched

    def sweep(self, int shard, now_ms, uint64_t start, uint64_t places):
        cdef uint32_t least[METRICS]
        cdef KeyTable* table = &self.index[shard & (SHARDS - 1)]
        cdef uint64_t at = place_of_part(table, start), end = at + places, reached
        cdef EvidenceRecord* record
        cdef int metric
        gone, kept = [], []
        shard &= SHARDS - 1
        for metric, q in enumerate(least_kept(now_ms)):
            least[metric] = q
        while at < end or not is_free(table, at):
            record = <EvidenceRecord*>next_record(table, &at)
            if record == NULL:
                break
            (gone if self.is_vanishing(shard, record, least) else kept).append(record.key)
        reached = part_of_place(table, at)
        for key in gone:
            self.void_runs(key, 0, True)
        self.tidy(shard)
        return gone, kept, reached

    cdef bint is_vanishing(self, int shard, const EvidenceRecord* record, const uint32_t* least) noexcept nogil:
        cdef const uint32_t* words = self.arenas[shard].words + first_word(record)
        cdef uint32_t at = 0
        cdef int metric
        cdef Run run
        cdef Slots slots
        while at < word_count(record):
            run = run_at(words + at)
            read_run(words + at, &run, &slots)
            for metric in range(METRICS):
                if slots.present >> metric & 1 and slots.q[metric] >= least[metric]:
                    return False
            at += run.words
        return True

    # True: there was anything to void.
    cdef bint void_runs(self, uint64_t key, uint32_t origin, bint all_of) noexcept nogil:
        cdef Place place = place_of(key)
        cdef EvidenceRecord* record = <EvidenceRecord*>find_key(&self.index[place.shard], key)
        cdef Arena* arena = &self.arenas[place.shard]
        cdef uint64_t gen = self.gen_at(key)
        cdef uint32_t at = 0, kept = 0, count
        cdef uint32_t* words
        cdef Run run
        cdef Slots slots
        if record == NULL:
            return False
        words = arena.words + first_word(record)
        count = word_count(record)
        while at < count:
            run = run_at(words + at)
            if all_of or self.sources[run.source].origin == origin:
                read_run(words + at, &run, &slots)
                self.toggle(place, key, gen, run.source, &slots)
            else:
                memmove(words + kept, words + at, run.words * sizeof(uint32_t))
                kept += run.words
            at += run.words
        arena.wasted += count - kept
        if kept:
            set_words(record, first_word(record), kept)
        else:
            remove_record(&self.index[place.shard], record)
        return kept != count

    # Takes an entry into the digest, or out of it: the same on every node, whatever the order in which it came.
    cdef void toggle(self, Place place, uint64_t key, uint64_t gen, uint32_t source, const Slots* slots) noexcept nogil:
        cdef uint8_t entry[ENTRY_BYTES]
        cdef size_t size = 20
        cdef int metric
        store_be64(entry, key)
        store_be32(entry + 8, <uint32_t>gen)
        store_be32(entry + 12, self.sources[source].origin)
        store_be32(entry + 16, self.sources[source].epoch)
        for metric in range(METRICS):
            if slots.present >> metric & 1:
                store_be32(entry + size, metric)
                store_be32(entry + size + 4, slots.q[metric])
                size += 8
        toggle_hash(self.digest, place, blake2b_64(entry, size))

    # Copies a shard's runs into a new arena if too much of the old one is wasted.
    cdef int tidy(self, int shard) except -1:
        cdef Arena* arena = &self.arenas[shard]
        cdef Arena tidied
        cdef EvidenceRecord* record
        cdef uint64_t at = 0, first
        if arena.wasted * WASTED_SHARE <= arena.used:
            return 0
        memset(&tidied, 0, sizeof(Arena))
        if arena.used > arena.wasted and take_words(&tidied, arena.used - arena.wasted) == NOWHERE:
            raise MemoryError
        tidied.used = 0
        while True:
            record = <EvidenceRecord*>next_record(&self.index[shard], &at)
            if record == NULL:
                break
            first = take_words(&tidied, word_count(record))
            memcpy(tidied.words + first, arena.words + first_word(record), word_count(record) * sizeof(uint32_t))
            set_words(record, first, word_count(record))
        free_arena(arena)
        arena[0] = tidied
        return 0

    cdef uint32_t number_of(self, uint32_t origin, uint32_t epoch) except? 0:
        cdef Source* grown
        number = self.numbers.get((origin, epoch))
        if number is not None:
            return number
        if self.source_count == self.source_room:
            grown = <Source*>realloc(self.sources, (self.source_room + 64) * 2 * sizeof(Source))
            if grown == NULL:
                raise MemoryError
            self.sources = grown
            self.source_room = (self.source_room + 64) * 2
        self.sources[self.source_count] = Source(origin=origin, epoch=epoch)
        self.numbers[origin, epoch] = self.source_count
        self.source_count += 1
        return self.source_count - 1
