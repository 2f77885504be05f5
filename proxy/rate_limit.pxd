# A rate as the generic cell rate algorithm keeps it (ITU-T I.371, virtual scheduling): one time per source and limit.

from libc.stdint cimport int64_t

cdef struct RateLimit:
    int64_t interval_ns      # between two events at the full rate; 0 = no limit
    int64_t tolerance_ns     # how far ahead of its schedule a burst may run


# A burst may be as large as what comes in `burst_s` at the full rate, and is at least one event.
cdef inline RateLimit rate_limit(double per_s, double burst_s) noexcept nogil:
    cdef RateLimit limit
    limit.interval_ns = <int64_t>(1e9 / per_s) if per_s > 0 else 0
    limit.tolerance_ns = <int64_t>(burst_s * 1e9)
    return limit


# Counts an event if it conforms. `next_ns` is when the next one is due by schedule; a time in the past means idle.
cdef inline bint conforms(const RateLimit* limit, int64_t* next_ns, int64_t now_us) noexcept nogil:
    cdef int64_t now_ns = now_us * 1000
    cdef int64_t due_ns = next_ns[0] if next_ns[0] > now_ns else now_ns
    if limit.interval_ns == 0:
        return True
    if due_ns - now_ns > limit.tolerance_ns:
        return False
    next_ns[0] = due_ns + limit.interval_ns
    return True


# Whether an event would conform now.
cdef inline bint is_within(const RateLimit* limit, int64_t next_ns, int64_t now_us) noexcept nogil:
    return limit.interval_ns == 0 or next_ns - now_us * 1000 <= limit.tolerance_ns
