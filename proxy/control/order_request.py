"""What an operator asks for with `callsieve block`, `allow` and `never-block`: read, checked, and shown again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from engine._numbers import SHORT_PREFIX, is_emergency, number_text, parse_entry
from engine._orders import ORDER_LAST_S
from engine.number_words import KIND_PREFIX, KIND_SHIFT, caller_word
from proxy.control.decisions import TEXT_BYTES, Act, Decision, Kind, Priority

LEAST_PREFIX_DIGITS = 3  # a shorter one is a country and more
MOST_NUMBERS = 1000

_ACTS = {"block": Act.BLOCK, "allow": Act.ALLOW, "never-block": Act.NEVER_BLOCK}
_ACT_NAMES = {act: name for name, act in _ACTS.items()}


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """numbers: as in lists. act: block, allow or never-block. namespace: whose order: tenant, operator or regulator.

    from_s, until_s: Unix seconds, 0 = at once and without end.
    """

    numbers: list[str]
    act: str
    namespace: str = "operator"
    reason: str = ""
    owner: str = ""
    from_s: int = 0
    until_s: int = 0


def read_order(body: bytes, now_s: float) -> list[Decision]:
    """The decisions that a request is about, without stamps (hlc 0); ValueError, in words, for one that cannot be."""
    try:
        request = msgspec.json.decode(body, type=OrderRequest)
    except msgspec.DecodeError as why:
        raise ValueError(f"the request is not understood: {why}") from None
    if not 1 <= len(request.numbers) <= MOST_NUMBERS:
        raise ValueError(f"numbers: {len(request.numbers)} of them, expected 1 to {MOST_NUMBERS}")
    act = _ACTS.get(request.act)
    if act is None:
        raise ValueError(f"act {request.act!r}: expected {', '.join(_ACTS)}")
    _check_span(request, act, now_s)
    priority = priority_of(request.namespace)
    return [
        Decision(
            ns=request.namespace,
            kind=kind,
            key=key,
            act=act,
            prio=priority,
            hlc=0,
            from_s=request.from_s,
            until_s=request.until_s,
            reason=_text("reason", request.reason),
            owner=_text("owner", request.owner),
        )
        for kind, key in (_subject(number, act) for number in request.numbers)
    ]


def priority_of(namespace: str) -> Priority:
    try:
        return Priority[namespace.upper()]
    except KeyError:
        raise ValueError(f"namespace {namespace!r}: expected tenant, operator or regulator") from None


def subject_of(text: str) -> tuple[Kind, int]:
    """(kind, key) of a number or prefix as it stands in lists; ValueError for anything else."""
    _, exact = parse_entry(text)
    key, _ = caller_word(text)
    return (Kind.EXACT if exact else Kind.PREFIX), key


def shown(decision: Decision, now_s: float) -> dict[str, Any]:
    """A decision in words, as the API and the commands show it."""
    return {
        "number": text_of(decision.key),
        "act": _ACT_NAMES[decision.act],
        "namespace": decision.ns,
        "owner": decision.owner,
        "reason": decision.reason,
        "from": _time_of(decision.from_s),
        "until": _time_of(decision.until_s),
        "in_force": decision.in_force(now_s),
        "given": _time_of(decision.hlc / 65_536_000),
    }


def text_of(key: int) -> str:
    """A key as an operator writes it."""
    if key >> KIND_SHIFT == KIND_PREFIX and key & SHORT_PREFIX:
        short = number_text(3 << KIND_SHIFT | key & (SHORT_PREFIX - 1))
        return f"{short}*"
    return number_text(key)


def _subject(text: str, act: Act) -> tuple[Kind, int]:
    kind, key = subject_of(text)
    digits = sum(character.isdigit() for character in text)
    if kind is Kind.PREFIX and act is Act.BLOCK and digits < LEAST_PREFIX_DIGITS:
        raise ValueError(f"{text!r} would block a country and more: write at least {LEAST_PREFIX_DIGITS} digits")
    if act is Act.BLOCK and is_emergency(key):
        raise ValueError(f"{text!r} is an emergency number: it cannot be blocked")
    return kind, key


def _check_span(request: OrderRequest, act: Act, now_s: float) -> None:
    for name, time_s in (("from_s", request.from_s), ("until_s", request.until_s)):
        if not 0 <= time_s <= ORDER_LAST_S:
            raise ValueError(f"{name} {time_s}: expected 0 or a time before 2060")
    if request.until_s and request.until_s <= max(now_s, request.from_s):
        raise ValueError("until_s: the order would be over before it begins")
    if act is Act.ALLOW and not (request.owner and request.until_s):
        raise ValueError("an allowance needs an owner and an end")


def _text(name: str, text: str) -> str:
    if not text.isprintable() or len(text.encode("utf-8", "replace")) > TEXT_BYTES:
        raise ValueError(f"{name}: expected one line of at most {TEXT_BYTES} bytes")
    return text


def _time_of(unix_s: float) -> str | None:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}" if unix_s else None
