# Local time on the call path: zones and hours of the policy image.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from engine._image cimport CALLEES_ZONE, ImageHours, ImageOffset, ImageView, ImageZone

cdef enum:
    SUBSCRIBERS_ZONE = 0
    HALF_HOUR_US = 1_800_000_000
    DAY_HALF_HOURS = 48
    WEEK_HALF_HOURS = 336
    EPOCH_WEEKDAY = 3        # 1 January 1970 was a Thursday


# Half hours of local time since 1970.
cdef inline int64_t local_half_hours(const ImageView* policy, uint8_t zone, int64_t now_us) noexcept nogil:
    cdef const ImageOffset* offsets = &policy.offsets[policy.zones[zone].start]
    cdef uint32_t first = 0, after = policy.zones[zone].count, middle
    while after - first > 1:
        middle = (first + after) >> 1
        if offsets[middle].from_us <= now_us:
            first = middle
        else:
            after = middle
    return (now_us + offsets[first].offset_us) // HALF_HOUR_US


# Half hours since midnight of the subscribers' local time, 0 to 47.
cdef inline uint8_t local_half_hour(const ImageView* policy, int64_t now_us) noexcept nogil:
    return <uint8_t>(local_half_hours(policy, SUBSCRIBERS_ZONE, now_us) % DAY_HALF_HOURS)


# callees_zone: for hours that are the callee's own.
cdef inline bint is_open(
    const ImageView* policy, const ImageHours* hours, uint8_t callees_zone, int64_t now_us
) noexcept nogil:
    cdef uint8_t zone = hours.zone if hours.zone != CALLEES_ZONE else callees_zone
    cdef int64_t local = local_half_hours(policy, zone, now_us)
    cdef int64_t half = (local + EPOCH_WEEKDAY * DAY_HALF_HOURS) % WEEK_HALF_HOURS
    if not hours.open[half >> 6] >> (half & 63) & 1:
        return False
    return not is_holiday(policy, hours, local // DAY_HALF_HOURS)


# day: local, since 1970.
cdef inline bint is_holiday(const ImageView* policy, const ImageHours* hours, int64_t day) noexcept nogil:
    cdef const int32_t* holidays = &policy.holidays[hours.holidays_start]
    cdef uint16_t i
    for i in range(hours.holidays_count):
        if holidays[i] == day:
            return True
    return False
