"""[complaints] and [[complaint_source]]: who may report unwanted calls, and what a report is worth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from engine.config_errors import ConfigFinding, error
from engine.rules import Struct
from proxy.admin_token import read_token

if TYPE_CHECKING:
    from proxy.config import Configuration

_OWN_NAMES = ("operator", "sip-607")  # what reports of our own are kept under


class ComplaintSource(Struct, frozen=True, kw_only=True):
    """Who may report unwanted calls for others. token_file: holds the token that its reports must show.

    weight: what one of its reports is worth. per_day: reports taken of it in a day.
    """

    name: str
    token_file: str
    weight: Annotated[float, Meta(ge=0, le=1)] = 1.0
    per_day: Annotated[int, Meta(ge=1, le=100_000_000)] = 100_000


class Complaints(Struct, frozen=True, kw_only=True):
    """How reports of unwanted calls count, and the clocks of their cases, in working days."""

    per_reporter_per_day: Annotated[int, Meta(ge=1, le=10_000)] = 20  # further ones are kept and count nothing
    unbound_weight: Annotated[float, Meta(ge=0, le=1)] = 0.25  # of one about no call that this node knows
    refused_weight: Annotated[float, Meta(ge=0, le=1)] = 0.5  # of a 607 by the callee
    remembered_calls: Annotated[int, Meta(ge=1024, le=1 << 28)] = 262_144  # 32 bytes each
    forward_days: Annotated[int, Meta(ge=1, le=100)] = 3  # to the operator of the caller
    answer_days: Annotated[int, Meta(ge=1, le=365)] = 15  # from there
    holidays: tuple[str, ...] = ()  # dates that are no working days, beside Saturday and Sunday


def check_complaints(configuration: Configuration) -> Iterator[ConfigFinding]:
    for index, holiday in enumerate(configuration.complaints.holidays):
        try:
            date.fromisoformat(holiday)
        except ValueError:
            yield error(f"complaints.holidays[{index}]", f"{holiday!r} is no date: write 2027-01-01")
    tokens: dict[str, str] = {}
    for source in configuration.complaint_sources:
        key = f"complaint_source[{source.name}]"
        if source.name in _OWN_NAMES:
            yield error(f"{key}.name", f"{source.name!r} is taken")
        try:
            token = read_token(source.token_file)
        except ValueError as why:
            yield error(f"{key}.token_file", str(why))
            continue
        if token in tokens:
            yield error(f"{key}.token_file", f"holds the token of {tokens[token]}")
        tokens[token] = source.name
