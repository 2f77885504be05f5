"""Which classes of numbers a subscriber means by the segments it can refuse."""

from __future__ import annotations

from enum import IntFlag

from engine.packs import CLASSES, NumberClass

MAX_CLASSES = 32  # as in _image.pxd


class Segment(IntFlag):
    """The same bits as in _subscribers.pxd."""

    CALL_CENTRE = 1
    SERVICE = 2
    INTERNATIONAL = 4
    RESALE = 8
    ANONYMOUS = 16
    UNKNOWN = 32


COMMERCIAL = 0x8000  # no segment: calls of such numbers sell, as far as "do not call" asks

OF_CLASS: dict[NumberClass, int] = {
    NumberClass.CC95X: Segment.CALL_CENTRE | COMMERCIAL,
    NumberClass.CC95X_UNASSIGNED: Segment.CALL_CENTRE,
    NumberClass.MARKETING: Segment.CALL_CENTRE | COMMERCIAL,
    NumberClass.SVC400: Segment.SERVICE,
    NumberClass.SVC800: Segment.SERVICE,
    NumberClass.FOREIGN: Segment.INTERNATIONAL,
    NumberClass.FOREIGN_PREMIUM: Segment.INTERNATIONAL,
    NumberClass.FOREIGN_UNALLOCATED: Segment.INTERNATIONAL,
    NumberClass.MVNO: Segment.RESALE,
    NumberClass.ANONYMOUS: Segment.ANONYMOUS,
    NumberClass.UNALLOCATED: Segment.UNKNOWN,
    NumberClass.INVALID: Segment.UNKNOWN,
}


def class_segments() -> list[int]:
    """The segments of each class, in the order of CLASSES, with room to spare."""
    return [int(OF_CLASS.get(each, 0)) for each in CLASSES] + [0] * (MAX_CLASSES - len(CLASSES))
