# Shares of limits that hold for a whole fleet: which part of such a limit this node may use, for one subject or for all
# that nothing was lent for. 16-byte records under a keyed hash, read by every process, written by one.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine._cuckoo cimport Nest, nest_find, nest_of, paired_key
from engine._table cimport Table, TableView

cdef enum:
    WHOLE_SHARE = 1 << 20    # parts of a limit; no part is less than one of so many

cdef enum ShareRole:
    SHARE_LENT = 1           # of one subject, until it ends
    SHARE_UNLENT = 2         # of every subject for which nothing is lent

cdef struct Share:
    uint32_t parts           # of WHOLE_SHARE
    bint lent

# What may be used of a limit. subject: the limit's key of whom it counts; limit: its name's hash.
cdef inline Share share_of(const TableView* view, uint64_t subject, uint64_t limit, int64_t now_us) noexcept nogil:
    cdef Share share
    share.lent = read_share(view, subject, SHARE_LENT, now_us, &share.parts)
    if not share.lent and not read_share(view, limit, SHARE_UNLENT, now_us, &share.parts):
        share.parts = WHOLE_SHARE
    return share

cdef bint read_share(
    const TableView* view, uint64_t word, uint64_t role, int64_t now_us, uint32_t* parts
) noexcept nogil

# A window's GCRA times for such a part of its rate. The calls that may come at once shrink with the rate. Who has been
# lent nothing may call once a window all the same: a rare caller is no matter for the fleet.
cdef inline void scale_times(const Share* share, int64_t* increment_us, int64_t* tolerance_us) noexcept nogil:
    cdef int64_t window_us = increment_us[0] + tolerance_us[0]
    if share.parts >= WHOLE_SHARE:
        return
    increment_us[0] = <int64_t>(<double>increment_us[0] * WHOLE_SHARE / share.parts)
    if not share.lent and increment_us[0] > window_us:
        increment_us[0] = window_us
    tolerance_us[0] = window_us - increment_us[0] if window_us > increment_us[0] else 0

cdef class ShareTable:
    cdef readonly Table table
