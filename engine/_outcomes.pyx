# What became of a call, and what the engine learns from it.

from libc.stdint cimport int64_t, uint32_t

from engine._decision cimport number_t
from engine._fastpath cimport FastPath
from engine._image cimport ImageSettings
from engine._numbers cimport has_digits, number_block_of
from engine._reputation cimport reputation_add
from engine._score cimport BLOCK_DIGITS


cdef void observe_outcome(FastPath path, const CallOutcome* outcome, int64_t now_us) noexcept nogil:
    cdef const ImageSettings* settings = path.policy.settings
    cdef bint complaint = outcome.kind == OUTCOME_COMPLAINT
    cdef uint32_t points
    cdef number_t block
    if not has_digits(outcome.caller) or not (complaint or outcome.kind == OUTCOME_REFUSED):
        return
    points = settings.complaint_points if complaint else settings.refused_points
    reputation_add(path.reputation, outcome.caller, now_us, points, complaint, outcome.category)
    if has_digits(outcome.callee):
        path.wills.remember(outcome.caller, outcome.callee, now_us, points)
    block = number_block_of(outcome.caller, BLOCK_DIGITS)
    if block:
        points = points * settings.block_permille // 1000
        reputation_add(path.reputation, block, now_us, points, complaint, outcome.category)
