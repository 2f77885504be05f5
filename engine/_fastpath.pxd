# The order of decision, for other native modules.

from libc.stdint cimport int64_t, uint64_t

from engine._decision cimport Attempt, Verdict
from engine._decision_notes cimport Decision
from engine._image cimport ImageView, PolicyImage
from engine._orders cimport OrderTable
from engine._siphash cimport SipKey
from engine._subscriber_will cimport SubscriberWill
from engine._table cimport Table

cdef class FastPath:
    cdef readonly PolicyImage image
    cdef readonly object tables
    cdef ImageView policy
    cdef Table reputation
    cdef Table limiter
    cdef OrderTable orders
    cdef Table shares
    cdef SubscriberWill wills
    cdef SipKey key
    cdef uint64_t sequence

    # Decides and counts. Never raises, allocates nothing, takes no lock.
    cdef void screen_attempt(self, const Attempt* attempt, int64_t now_us, Verdict* verdict) noexcept nogil
    # Any number of attempts, decided in order, each while the memory of the next ones is on its way.
    cdef void screen_group(
        self, const Attempt* attempts, Py_ssize_t count, int64_t now_us, Verdict* verdicts
    ) noexcept nogil

# The four parts of `screen_attempt`. Cleared `count` and a `trace` before the last make an explanation of a decision.
cdef void prepare(
    FastPath path, Decision* decision, const Attempt* attempt, int64_t now_us, Verdict* verdict
) noexcept nogil
cdef void ask(Decision* decision) noexcept nogil
cdef void narrow(Decision* decision) noexcept nogil
cdef void decide(FastPath path, Decision* decision) noexcept nogil
