"""A complaint as sources send it: JSON over HTTP or MQTT, read and checked. Free text is not taken."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from engine.decision import Category
from engine.number_words import number

OLDEST_S = 90 * 86_400.0  # a call further back is nobody's fresh memory
_AHEAD_S = 300.0

_CATEGORIES = {category.name.lower(): category for category in Category if category is not Category.NONE}

_Text = Annotated[str, Meta(max_length=256)]


class Complaint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """time: Unix seconds, of the call. caller: whom it is about. reporter: opaque. id: the source's own, for repeats.

    consented: the reporter had agreed to be called. text_hash: of a text that stays with the source.
    """

    v: int = 1
    time: float
    caller: _Text
    call_id: _Text = ""
    reporter: _Text = ""
    category: _Text = "other"
    source: _Text = ""
    consented: bool = False
    text_hash: _Text = ""
    id: _Text = ""

    @property
    def number(self) -> int:
        return number(self.caller)

    @property
    def kind(self) -> Category:
        return _CATEGORIES[self.category]


def read_complaint(body: bytes, now_s: float) -> Complaint:
    """ValueError, in words, for what is none."""
    try:
        complaint = msgspec.json.decode(body, type=Complaint)
    except msgspec.DecodeError as why:
        raise ValueError(f"the complaint is not understood: {why}") from None
    if complaint.v != 1:
        raise ValueError(f"v {complaint.v}: expected 1")
    if complaint.category not in _CATEGORIES:
        raise ValueError(f"category {complaint.category!r}: expected {', '.join(_CATEGORIES)}")
    if not now_s - OLDEST_S <= complaint.time <= now_s + _AHEAD_S:
        raise ValueError(f"time {complaint.time:g}: expected Unix seconds of the last 90 days")
    try:
        number(complaint.caller)
    except ValueError:
        raise ValueError(f"caller {complaint.caller!r}: expected +8613800138000 or CN:95588") from None
    for name in ("call_id", "reporter", "text_hash", "id"):
        if not getattr(complaint, name).isprintable():
            raise ValueError(f"{name}: expected one line of text")
    return complaint
