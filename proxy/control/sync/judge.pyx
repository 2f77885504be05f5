"""Judging: from evidence, or from what the regions say of it, to a score, a band and a verdict.

The F largest contributions of all regions are subtracted, bad and good evidence alike; what is left gives the lower
bound of Wilson's interval (JASA 1927) for the share of the bad. All of it is a function of the state and of the tick,
in integers and in operations that IEEE 754 rounds in one way, so that every node comes to the same score.
"""

cimport cython
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from proxy.control.sync.evidence cimport EvidenceTable
from proxy.control.sync.evidence_runs cimport METRICS, Run, count_bits, read_run, run_at
from proxy.control.sync.key_place cimport place_of
from proxy.control.sync.key_set cimport KeySet
from proxy.control.sync.log_sums cimport difference_of, q_of_events, sum_of, worth_of
from proxy.control.sync.reduction cimport (
    INDEX_BITS,
    MOST_LARGEST,
    Contribution,
    Largest,
    RegionSum,
    Share,
    keep_share,
    sort_contributions,
    sum_region,
)
from proxy.control.sync.verdict_entries cimport VerdictEntries, VerdictRecord

from proxy.control.sync.decay import DAY_MS, UNIT
from proxy.control.sync.metrics import BAD_WEIGHTS, GOOD_WEIGHTS, steps_now
from proxy.control.sync.records import Region
from proxy.control.sync.records import Verdict as ToldVerdict
from proxy.control.sync.score import HYSTERESIS, WHY, Band, Judgement, Why
from proxy.control.sync.verdicts import LANDMARK_S, TTL_S

BAND_HOLD_MS = 5000              # a band stays at least so long
SCORE_STEP = 20                  # smaller changes within a band are not told

cdef enum:
    BANDS = 4
    BAND_NONE = 0                # as `score.Band`
    BAND_TAG = 1
    BAND_BLOCK = 3
    NO_PLACE = -1                # of who is no member

cdef double Z = 1.96             # 95 %, two-sided
cdef double UNITS_OF_WEIGHT = 100 * UNIT     # weights are in hundredths
cdef int64_t hysteresis = HYSTERESIS
cdef int64_t ttl_s = TTL_S
cdef int64_t renew_s = TTL_S // 2
cdef int64_t landmark_s = LANDMARK_S
cdef int64_t band_hold_ms = BAND_HOLD_MS
cdef int64_t score_step = SCORE_STEP
cdef uint32_t few_origins = Why.FEW_ORIGINS
cdef uint64_t weights[METRICS]   # 0: has no say
cdef bint is_bad[METRICS]
cdef uint32_t why_of[METRICS]
for _metric in range(METRICS):
    weights[_metric] = (BAD_WEIGHTS | GOOD_WEIGHTS).get(_metric, 0)
    is_bad[_metric] = _metric in BAD_WEIGHTS
    why_of[_metric] = WHY.get(_metric, 0)

cdef struct Word:                # a judgement
    int64_t score
    int64_t band
    uint32_t why


# The lower bound of the share of `bad` in `whole`, 0 to 1000.
cdef int64_t wilson(uint64_t bad, uint64_t whole) noexcept nogil:
    cdef double n, p, lower, z2 = Z * Z
    if bad == 0:
        return 0
    n = <double>whole / UNITS_OF_WEIGHT
    p = <double>bad / <double>whole
    lower = (p + z2 / (2 * n) - Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(<int64_t>0, min(<int64_t>1000, <int64_t>(1000 * lower)))


@cython.final
cdef class Judge:
    cdef EvidenceTable evidence
    cdef VerdictEntries verdicts
    cdef uint32_t own
    cdef object trust
    cdef uint32_t version
    cdef uint32_t f
    cdef uint32_t cap
    cdef int64_t thresholds[BANDS]
    cdef uint32_t origins_to_block
    cdef list regions                # names, sorted: a region's number is its index
    cdef dict place_of_origin
    cdef int32_t* places             # by number of the source
    cdef uint32_t places_known
    cdef Contribution* contributions
    cdef uint32_t* words             # as many as there is room for contributions or sums
    cdef uint64_t room
    cdef RegionSum* sums             # what regions say of a key, those of a region together
    cdef uint64_t sum_count
    cdef uint64_t sum_room
    cdef int64_t tick_ms
    cdef int64_t steps[METRICS]
    cdef uint32_t cap_q[METRICS]

    def __init__(self, uint32_t own, EvidenceTable evidence not None, VerdictEntries verdicts not None, trust):
        self.own = own
        self.evidence = evidence
        self.verdicts = verdicts
        self.use(trust)

    def __dealloc__(self):
        free(self.places)
        free(self.contributions)
        free(self.words)
        free(self.sums)

    def use(self, trust):
        parameters = trust.parameters
        self.trust = trust
        self.version = trust.version
        self.f = parameters.f
        self.cap = parameters.cap
        self.thresholds = [0, parameters.tag, parameters.challenge, parameters.block]
        self.origins_to_block = parameters.origins_to_block
        self.regions = sorted({member.region for member in trust.members})
        number = {name: at for at, name in enumerate(self.regions)}
        self.place_of_origin = {
            member.origin: number[member.region] << INDEX_BITS | member.index for member in trust.members
        }
        self.places_known = 0
        self.tick_ms = -1

    def reduce(self, uint64_t key, int64_t tick_ms):
        cdef uint64_t i
        cdef const RegionSum* said
        gen = self.evidence.generation(key)
        self.set_tick(tick_ms)
        self.sum_up(key, False)
        told = {}
        for i in range(self.sum_count):
            said = &self.sums[i]
            largest = [(said.largest.shares[at].index, said.largest.shares[at].q) for at in range(said.largest.count)]
            record = Region(key, gen, said.metric, said.q, tick_ms // DAY_MS, said.origins, largest)
            told.setdefault(self.regions[said.region], []).append(record)
        return told

    def weigh(self, regions, int64_t tick_ms, int64_t before):
        self.set_tick(tick_ms)
        self.read_regions(regions)
        return judgement_of(self.word(before))

    def weigh_evidence(self, uint64_t key, int64_t tick_ms, int64_t before):
        self.set_tick(tick_ms)
        self.sum_up(key, True)
        return judgement_of(self.word(before))

    def judge(
        self,
        keys,
        regions,
        int64_t tick_ms,
        int64_t now_ms,
        uint64_t hlc,
        KeySet changed not None,
        KeySet again not None,
    ):
        cdef uint64_t key
        cdef list told = []
        self.set_tick(tick_ms)
        for key in keys:
            if regions is None:
                self.sum_up(key, True)
            else:
                self.read_regions(regions.read(key, self.trust))
            self.settle(key, now_ms, hlc, changed, again, told)
        return told

    # --- What the regions say of a key --------------------------------------------------------------------------------

    # From the evidence. judged: only of metrics that have a say in the score.
    cdef int sum_up(self, uint64_t key, bint judged) except -1:
        cdef uint64_t count = self.read_contributions(key), start = 0, end
        cdef int metric
        self.sum_count = 0
        while start < count:
            end = start + 1
            while end < count and self.region_at(end) == self.region_at(start):
                end += 1
            self.make_room_for_sums(METRICS)
            for metric in range(METRICS):
                if judged and not weights[metric]:
                    continue
                self.sums[self.sum_count] = sum_region(
                    self.contributions + start, end - start, metric, self.cap_q[metric], self.f, self.words
                )
                self.sum_count += self.sums[self.sum_count].origins != 0
            start = end
        return 0

    cdef inline uint32_t region_at(self, uint64_t at) noexcept nogil:
        return self.contributions[at].place >> INDEX_BITS

    # How many: the slots of members, by region and origin.
    cdef int64_t read_contributions(self, uint64_t key) except -1:
        cdef uint32_t words = 0, at = 0
        cdef const uint32_t* runs = self.evidence.runs_of(key, &words)
        cdef uint64_t count = 0
        cdef int32_t place
        cdef Run run
        while at < words:
            run = run_at(runs + at)
            place = self.place_of_source(run.source)
            if place != NO_PLACE:
                self.make_room(count + 1)
                self.contributions[count].place = place
                read_run(runs + at, &run, &self.contributions[count].slots)
                count += 1
            at += run.words
        sort_contributions(self.contributions, count)
        return count

    cdef int32_t place_of_source(self, uint32_t source) except? -2:
        cdef uint32_t number
        cdef int32_t* grown
        if source >= self.places_known:
            grown = <int32_t*>realloc(self.places, self.evidence.source_count * sizeof(int32_t))
            if grown == NULL:
                raise MemoryError
            self.places = grown
            for number in range(self.evidence.source_count):
                self.places[number] = self.place_of_origin.get(self.evidence.sources[number].origin, NO_PLACE)
            self.places_known = self.evidence.source_count
        return self.places[source]

    cdef int read_regions(self, regions) except -1:
        cdef uint32_t number = 0
        cdef RegionSum* said
        cdef Share share
        self.sum_count = 0
        for records in regions.values():
            for record in records:
                self.make_room_for_sums(1)
                said = &self.sums[self.sum_count]
                memset(said, 0, sizeof(RegionSum))
                said.region = number
                said.metric, said.q, said.origins = record.metric, record.q, record.origins
                for share.index, share.q in record.largest:
                    keep_share(&said.largest, share, MOST_LARGEST)
                self.sum_count += 1
            number += 1
        self.make_room(self.sum_count)
        return 0

    # --- Its judgement ------------------------------------------------------------------------------------------------

    cdef Word word(self, int64_t before) noexcept nogil:
        cdef uint64_t bad = 0, good = 0, left
        cdef uint32_t why = 0
        cdef Word word
        cdef int metric
        for metric in range(METRICS):
            left = weights[metric] * self.trimmed(metric) if weights[metric] else 0
            if is_bad[metric]:
                bad += left
                why |= why_of[metric] if left else 0
            else:
                good += left
        word.score = wilson(bad, bad + good)
        word.band = self.band_of(word.score, before)
        word.why = why
        if word.band == BAND_BLOCK and self.origins() < self.origins_to_block:
            word.band = BAND_TAG
            word.why |= few_origins
        return word

    # Events, in units of 1/65,536, without the F largest contributions of all regions.
    cdef uint64_t trimmed(self, uint32_t metric) noexcept nogil:
        cdef Largest largest
        cdef uint32_t trimmed[MOST_LARGEST]
        cdef uint64_t i, count = 0
        cdef uint32_t at
        largest.count = 0
        for i in range(self.sum_count):
            if self.sums[i].metric == metric:
                self.words[count] = self.sums[i].q
                count += 1
                for at in range(self.sums[i].largest.count):
                    keep_share(&largest, self.sums[i].largest.shares[at], self.f)
        for at in range(largest.count):
            trimmed[at] = largest.shares[at].q
        return worth_of(difference_of(sum_of(self.words, count), trimmed, largest.count), self.steps[metric])

    cdef int64_t band_of(self, int64_t score, int64_t before) noexcept nogil:
        cdef int64_t band, threshold
        for band in range(BAND_BLOCK, BAND_NONE, -1):
            threshold = self.thresholds[band]
            if score >= (threshold - threshold // hysteresis if band <= before else threshold):
                return band
        return BAND_NONE

    # How many distinct ones have seen anything bad.
    cdef uint32_t origins(self) noexcept nogil:
        cdef uint32_t seen = 0, count = 0
        cdef uint64_t i
        for i in range(self.sum_count):
            if i and self.sums[i].region != self.sums[i - 1].region:
                count += count_bits(seen)
                seen = 0
            if is_bad[self.sums[i].metric]:
                seen |= self.sums[i].origins
        return count + count_bits(seen)

    # --- Its verdict --------------------------------------------------------------------------------------------------

    cdef int settle(
        self, uint64_t key, int64_t now_ms, uint64_t hlc, KeySet changed, KeySet again, list told
    ) except -1:
        cdef const VerdictRecord* standing = self.verdicts.find(key)
        cdef uint64_t entry = 0 if standing == NULL else standing.entry
        cdef int64_t before = entry >> 51 & 7, score = entry >> 54, now_s = now_ms // 1000
        cdef int64_t given_ms = 0 if standing == NULL else standing.hlc >> 16
        cdef int64_t left_s = landmark_s + <int64_t>(entry >> 3 & 0xFFFFFFFFu) - now_s
        cdef Word word = self.word(before)
        cdef VerdictRecord record
        if word.band != before and now_ms - given_ms < band_hold_ms:
            again.put(key)
            return 0
        if word.band == before and abs(word.score - score) < score_step:
            if word.band == BAND_NONE or left_s > renew_s:
                return 0
        record = VerdictRecord(
            key=key,
            entry=<uint64_t>word.score << 54 | <uint64_t>word.band << 51 | <uint64_t>word.why << 35
            | <uint64_t>min(max(now_s + ttl_s - landmark_s, <int64_t>0), <int64_t>0xFFFFFFFFu) << 3,
            hlc=hlc,
            trust=self.version,
            reducer=self.own,
        )
        if self.verdicts.put(&record, place_of(key)):
            changed.put(key)
        told.append(ToldVerdict(key, self.evidence.gen_at(key), word.score, word.band, word.why, ttl_s))
        return 0

    # --- Room ---------------------------------------------------------------------------------------------------------

    cdef int set_tick(self, int64_t tick_ms) except -1:
        cdef int metric
        if tick_ms == self.tick_ms:
            return 0
        self.tick_ms = tick_ms
        for metric, steps in enumerate(steps_now(tick_ms)):
            self.steps[metric] = steps
            self.cap_q[metric] = q_of_events(self.cap * <uint64_t>UNIT, steps)
        return 0

    cdef int make_room(self, uint64_t count) except -1:
        cdef uint64_t room = max(2 * count, <uint64_t>64)
        cdef void* grown
        if count <= self.room:
            return 0
        grown = realloc(self.contributions, room * sizeof(Contribution))
        if grown == NULL:
            raise MemoryError
        self.contributions = <Contribution*>grown
        grown = realloc(self.words, room * sizeof(uint32_t))
        if grown == NULL:
            raise MemoryError
        self.words = <uint32_t*>grown
        self.room = room
        return 0

    cdef int make_room_for_sums(self, uint64_t more) except -1:
        cdef uint64_t room = 2 * (self.sum_count + more)
        cdef void* grown
        if self.sum_count + more > self.sum_room:
            grown = realloc(self.sums, room * sizeof(RegionSum))
            if grown == NULL:
                raise MemoryError
            self.sums = <RegionSum*>grown
            self.sum_room = room
        return self.make_room(self.sum_count + more)


cdef object judgement_of(Word word):
    return Judgement(word.score, Band(word.band), Why(word.why))
