# The engine as Python calls it: attempts and outcomes become C structs, verdicts and explanations objects.

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

from engine._decision cimport (
    ATTEMPT_EMERGENCY,
    ATTEMPT_IDENTITY_MISMATCH,
    ATTEMPT_PRIVACY,
    NO_DIVERT,
    NO_LABEL,
    NO_RULE,
    Attempt,
    Verdict,
)
from engine._decision_notes cimport Decision, Trace
from engine._fastpath cimport ask, decide, narrow, prepare
from engine._image cimport NO_CLASS, PolicyImage
from engine._dial_plan cimport DialPlan
from engine._outcomes cimport CallOutcome, observe_outcome

from hashlib import blake2b

from engine import explain as explanations
from engine._fastpath import NODE_KEY
from engine.decision import Action, Basis
from engine.decision import Verdict as PythonVerdict
from engine.packs import CLASSES


@cython.final
cdef class Screener(FastPath):
    def __init__(self, PolicyImage image, tables, bytes node_key):
        FastPath.__init__(self, image, tables, node_key)
        self.trunk_indices = {name: index for index, name in enumerate(image.trunks)}
        self.plans = [DialPlan(image.dial_plan(index)) for index in range(len(image.trunks))]

    def screen(self, attempt, int64_t now_us):
        cdef Attempt native
        cdef Verdict verdict
        read_attempt(self, attempt, &native)
        self.screen_attempt(&native, now_us, &verdict)
        return verdict_object(self, &verdict)

    def explain(self, attempt, int64_t now_us):
        cdef Attempt native
        cdef Verdict verdict
        cdef Decision decision
        cdef Trace seen
        read_attempt(self, attempt, &native)
        seen.count = 0
        prepare(self, &decision, &native, now_us, &verdict)
        ask(&decision)
        narrow(&decision)
        decision.count = False
        decision.trace = &seen
        decide(self, &decision)
        entries = [
            (seen.entries[i].rule, seen.entries[i].seen, seen.entries[i].value, seen.entries[i].asked)
            for i in range(seen.count)
        ]
        return explanations.explanation(
            verdict_object(self, &verdict), native.caller, native.callee, self.image.rules, entries
        )

    def screen_batch(self, attempts, int64_t now_us):
        """Any number of C attempts, decided in order while the memory of the next ones is on its way."""
        cdef Py_buffer buffer
        cdef Py_ssize_t count
        cdef bytes out
        cdef Verdict* verdicts
        PyObject_GetBuffer(attempts, &buffer, PyBUF_SIMPLE)
        try:
            count = buffer.len // <Py_ssize_t>sizeof(Attempt)
            if buffer.len != count * <Py_ssize_t>sizeof(Attempt):
                raise ValueError(f"{buffer.len} bytes are no array of attempts of {sizeof(Attempt)} bytes")
            out = PyBytes_FromStringAndSize(NULL, count * <Py_ssize_t>sizeof(Verdict))
            verdicts = <Verdict*>PyBytes_AS_STRING(out)
            with nogil:
                self.screen_group(<const Attempt*>buffer.buf, count, now_us, verdicts)
        finally:
            PyBuffer_Release(&buffer)
        return out

    def observe(self, outcome, int64_t now_us):
        cdef CallOutcome native
        cdef DialPlan plan = plan_of(self, outcome.trunk)
        memset(&native, 0, sizeof(CallOutcome))
        native.caller = plan.normalize(outcome.caller)
        native.callee = plan.normalize(outcome.callee)
        native.trunk = self.trunk_indices[outcome.trunk]
        native.kind = outcome.kind
        native.status = outcome.status
        native.released_by = outcome.released_by
        native.category = outcome.category
        native.setup_ms = outcome.setup_ms
        native.ring_ms = outcome.ring_ms
        native.talk_ms = outcome.talk_ms
        observe_outcome(self, &native, now_us)

    def pack(self, attempt) -> bytes:
        """The C form of an attempt, for `screen_batch`."""
        cdef Attempt native
        read_attempt(self, attempt, &native)
        return PyBytes_FromStringAndSize(<char*>&native, sizeof(Attempt))

    def unpack(self, const uint8_t[::1] verdicts):
        """Verdicts from their C form."""
        cdef Py_ssize_t i
        if verdicts.shape[0] % <Py_ssize_t>sizeof(Verdict):
            raise ValueError(f"{verdicts.shape[0]} bytes are no array of verdicts of {sizeof(Verdict)} bytes")
        return [
            verdict_object(self, <const Verdict*>&verdicts[i]) for i in range(0, verdicts.shape[0], sizeof(Verdict))
        ]


# --- to and from Python ----------------------------------------------------------------------------------------------

cdef DialPlan plan_of(Screener screener, str trunk):
    index = screener.trunk_indices.get(trunk)
    if index is None:
        raise ValueError(f"no trunk is called {trunk!r}")
    return screener.plans[index]


cdef int read_attempt(Screener screener, attempt, Attempt* native) except -1:
    cdef DialPlan plan = plan_of(screener, attempt.trunk)
    memset(native, 0, sizeof(Attempt))
    native.caller = plan.normalize(attempt.caller)
    native.callee = plan.normalize(attempt.callee)
    native.trunk = screener.trunk_indices[attempt.trunk]
    native.source = keyed_word(screener, attempt.source)
    native.fingerprint = keyed_word(screener, attempt.fingerprint)
    native.flags = (
        ATTEMPT_EMERGENCY * <bint>attempt.emergency
        | ATTEMPT_PRIVACY * <bint>attempt.privacy
        | ATTEMPT_IDENTITY_MISMATCH * <bint>attempt.mismatch
    )
    return 0


cdef uint64_t keyed_word(Screener screener, text) except? 0:
    if isinstance(text, int):
        return text
    if not text:
        return 0
    digest = blake2b(text.encode(), digest_size=8, key=NODE_KEY.pack(screener.key.low, screener.key.high)).digest()
    return int.from_bytes(digest, "little")


cdef object verdict_object(Screener screener, const Verdict* verdict):
    names = screener.image.rules
    return PythonVerdict(
        Action(verdict.action),
        Basis(verdict.basis),
        verdict.status,
        None if verdict.rule == NO_RULE else names[verdict.rule],
        verdict.score,
        None if verdict.label == NO_LABEL else screener.image.labels[verdict.label],
        tuple([
            explanations.reason(names[verdict.reasons[i].name], verdict.reasons[i].points, verdict.asked[i])
            for i in range(verdict.reasons_count)
        ]),
        explanations.redress_text(verdict.redress) if verdict.redress else None,
        Action(verdict.observed),
        None if verdict.number_class == NO_CLASS else CLASSES[verdict.number_class].value,
        None if verdict.observed_rule == NO_RULE else names[verdict.observed_rule],
        None if verdict.divert == NO_DIVERT else screener.image.diverts[verdict.divert],
    )
