"""What `callsieve check` says of conditions, classes, hours, diverts, windows and thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import lint_policy, rules

POLICY: dict[str, Any] = {
    "trunk": [{"name": "carrier", "policy": "default", "dial_plan": "cn"}],
    "policy": [{"name": "default"}],
}
RESALE = {"name": "resale", "classes": ["mvno"], "outcome": "tag"}
IVR = [{"name": "ivr", "route": "ivr"}]


def findings(tmp_path: Path, **tables: object) -> dict[str, str]:
    """Why, by "severity key"."""
    policy = msgspec.convert(POLICY | tables, rules.PolicySet)
    return {f"{found.severity} {found.key}": found.why for found in lint_policy(policy, tmp_path)}


def trunk(**more: object) -> list[dict[str, object]]:
    return [POLICY["trunk"][0] | more]


def default(**more: object) -> list[dict[str, object]]:
    return [{"name": "default"} | more]


@pytest.mark.parametrize(
    "tables",
    [
        {"rule": [RESALE]},
        {"rule": [RESALE | {"outside_hours": "calling-hours"}]},
        {"rule": [RESALE | {"hours": "day"}], "hours": [{"name": "day", "open": ["daily 09:00-18:00"]}]},
        {"rule": [{"name": "all", "trunks": ["carrier"], "outcome": "score", "points": 50}]},
        {"rule": [RESALE | {"outcome": "divert"}], "divert": IVR, "policy": default(divert="ivr")},
        {"limit": [{"name": "l", "key": "caller", "windows": [{"calls": 1, "period_s": 1}]}]},
        {"rule": [{"name": "fakes", "classes": ["svc95"], "outcome": "reject"}], "trunk": trunk(**{"class": "intl"})},
    ],
)
def test_nothing_is_wrong(tmp_path: Path, tables: dict[str, object]) -> None:
    assert findings(tmp_path, **tables) == {}


@pytest.mark.parametrize(
    ("tables", "key", "why"),
    [
        # Conditions
        ({"rule": [RESALE | {"classes": ["mvnos"]}]}, "error rule[resale].classes", "no class of numbers"),
        ({"rule": [RESALE | {"callee_classes": ["anonymous"]}]}, "error rule[resale].callee_classes", "no class"),
        ({"rule": [{"name": "all", "outcome": "tag"}]}, "error rule[all]", "has no condition"),
        ({"rule": [RESALE | {"hours": "day"}]}, "error rule[resale].hours", "no hours is called 'day'"),
        (
            {"rule": [RESALE | {"hours": "calling-hours", "outside_hours": "calling-hours"}]},
            "error rule[resale].outside_hours",
            "can never fire",
        ),
        ({"rule": [RESALE], "trunk": trunk(dial_plan="generic")}, "warning rule[resale].classes", "set trunk.pack"),
        (
            {"rule": [RESALE | {"hours": "calling-hours"}], "trunk": trunk(dial_plan="uk")},
            "warning rule[resale].hours",
            "known of",
        ),
        # Hours
        ({"hours": [{"name": "day", "open": ["9 to 5"]}]}, "error hours[day].open", "'9 to 5': expected"),
        ({"hours": [{"name": "day", "open": []}]}, "error hours[day].open", "is empty"),
        (
            {"hours": [{"name": "day", "open": ["daily 09:00-10:00"], "time_zone": "Mars"}]},
            "error hours[day].time_zone",
            "no time zone is called 'Mars'",
        ),
        ({"hours": [{"name": "day", "open": ["daily 09:00-10:00"]}]}, "warning hours[day]", "no rule asks for it"),
        ({"hours": [{"name": "calling-hours", "open": ["daily 09:00-10:00"]}]}, "error hours[calling-hours].name", ""),
        # Diverts
        ({"rule": [RESALE | {"outcome": "divert"}]}, "error rule[resale].divert", "is missing here and in"),
        ({"rule": [RESALE | {"divert": "ivr"}]}, "error rule[resale].divert", "no divert is called 'ivr'"),
        ({"rule": [RESALE | {"divert": "ivr"}], "divert": IVR}, "warning rule[resale].divert", "does not divert"),
        ({"divert": IVR}, "warning divert[ivr]", "nothing diverts to it"),
        ({"policy": default(anonymous="divert")}, "error policy[default].divert", 'anonymous = "divert"'),
        ({"policy": default(thresholds={"divert": 600})}, "error policy[default].divert", "thresholds.divert"),
        (
            {"origin": [{"class": "mvno", "carrier": "divert"}], "policy": default(origin="enforce")},
            "error policy[default].divert",
            "[[origin]]",
        ),
        # Windows
        ({"limit": [{"name": "l", "key": "caller"}]}, "error limit[l].calls", "are missing"),
        (
            {"limit": [{"name": "l", "key": "caller", "calls": 1, "windows": [{"calls": 1, "period_s": 1}]}]},
            "error limit[l].windows",
            "not beside them",
        ),
        (
            {"limit": [{"name": "l", "key": "caller", "windows": [{"calls": n, "period_s": 1} for n in (1, 2)]}]},
            "error limit[l].windows",
            "same period_s",
        ),
        (
            {"limit": [{"name": "l", "key": "caller", "windows": [{"calls": 0, "period_s": 1}]}]},
            "error limit[l].windows[0].calls",
            "expected at least 1",
        ),
        # Thresholds and weights
        ({"policy": default(thresholds={"divert": 900})}, "error policy[default].thresholds.divert", "not between"),
        ({"trunk": trunk(thresholds={"tag": 900})}, "error trunk[carrier].thresholds.tag", "not below reject"),
        ({"policy": default(weights={"reputation": -1})}, "error policy[default].weights.reputation", "expected 0"),
        (
            {"policy": default(weights={"reputation": 0, "block_reputation": 0.6})},
            "warning policy[default].thresholds.reject",
            "800 can never be reached on trunk carrier: all weights together give 600",
        ),
        (
            {
                "policy": default(weights={"reputation": 0, "block_reputation": 0}),
                "trunk": trunk(thresholds={"tag": 300, "reject": 301}),
                "prefix_rule": [{"name": "p", "prefixes": ["+86170"], "points": 200}],
                "rule": [
                    RESALE | {"outcome": "score", "points": 100},
                    {"name": "less", "classes": ["iot"], "points": -9},
                ],
            },
            "warning trunk[carrier].thresholds.reject",
            "301 can never be reached",
        ),
        # Services
        (
            {"rule": [{"name": "95", "classes": ["cc95x", "svc95"], "outcome": "reject"}]},
            "error rule[95].classes",
            "svc95 is too wide: it hits banks",
        ),
        ({"rule": [{"name": "96", "classes": ["svc96"], "outcome": "drop"}]}, "error rule[96].classes", "it hits"),
        ({"origin": [{"class": "svc95", "carrier": "reject"}]}, "warning origin[#1].carrier", "all calls from banks"),
        (
            {"list": [{"name": "95", "action": "drop", "numbers": ["CN:955*"]}]},
            "error list[95].numbers",
            "CN:95588 (ICBC)",
        ),
        # Shadows
        (
            {
                "rule": [{"name": "ports", "classes": ["sms106"], "outcome": "tag"}],
                "policy": default(origin="enforce"),
            },
            "warning rule[ports].classes",
            "origin rules reject these",
        ),
        (
            {
                "rule": [
                    {"name": "first", "classes": ["mvno", "iot"], "outcome": "reject"},
                    {"name": "second", "classes": ["iot"], "hours": "calling-hours", "outcome": "tag"},
                ]
            },
            "warning rule[second]",
            "rule[first] decides on all its calls",
        ),
        (
            {
                "rule": [{"name": "first", "classes": ["mvno"], "outcome": "reject"}],
                "limit": [{"name": "l", "key": "caller", "calls": 1, "period_s": 1, "classes": ["mvno"]}],
            },
            "warning limit[l]",
            "rule[first] decides on all its calls",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, tables: dict[str, object], key: str, why: str) -> None:
    found = findings(tmp_path, **tables)
    assert why in found.get(key, ""), found


@pytest.mark.parametrize(
    "more",
    [{"observe": True}, {"classes": ["mvno"]}, {"hours": "calling-hours"}, {"trunks": ["other"]}, {"outcome": "tag"}],
)
def test_what_leaves_a_later_rule_its_turn_is_no_shadow(tmp_path: Path, more: dict[str, object]) -> None:
    first = {"name": "first", "classes": ["mvno", "iot"], "outcome": "reject"} | more
    second = {"name": "second", "classes": ["iot"], "outcome": "reject"}
    trunks = [POLICY["trunk"][0], {"name": "other", "policy": "default", "dial_plan": "cn"}]
    assert findings(tmp_path, rule=[first, second], trunk=trunks) == {}
