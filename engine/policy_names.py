"""What a compiled policy calls things: the part of an image that only Python and people read."""

from __future__ import annotations

import msgspec

from engine.rules import DialPlan

BUILTIN_RULES: tuple[str, ...] = (
    "emergency",
    "identity-mismatch",
    "anonymous",
    "invalid-number",
    "reputation",
    "block-reputation",
    "score",
    "foreign-number",
    "subscriber-allow",
    "subscriber-consent",
    "subscriber-deny",
    "subscriber-anonymous",
    "subscriber-category",
    "subscriber-segment",
    "subscriber-unknown",
    "subscriber-do-not-call",
    "subscriber-quiet-hours",
    "subscriber-high-frequency",
    "subscriber-pair",
    "regulator-order",
    "block-order",
    "allow-order",
    "never-block-order",
    "trunk-order",
)
"""Names of what is no operator's rule, in the order of `BuiltinRule` in _image.pxd."""


class Names(msgspec.Struct, frozen=True, array_like=True):
    """rules: index = what verdicts and reasons carry. trunk_plans: each trunk's index into dial_plans."""

    rules: tuple[str, ...]
    labels: tuple[str, ...]
    label_texts: tuple[str, ...]
    trunks: tuple[str, ...]
    diverts: tuple[str, ...]
    dial_plans: tuple[DialPlan, ...]
    trunk_plans: tuple[int, ...]
