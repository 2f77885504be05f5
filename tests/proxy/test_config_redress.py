"""What a configuration must say where a country's law wants it, and where diverted calls may go."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config_load import policy_set
from tests.proxy.test_config_load import GOOD, findings_of, load_configuration, write

NORTH_AMERICAN = GOOD.replace('dial_plan = "cn"', 'dial_plan = "nanp"')
PLAIN = 'dial_plan = "nanp"\nanalytics = "603"'
CONTACT = 'url = "https://redress.example.net/r"'
DIVERT = '\n[[divert]]\nname = "captcha"\nroute = "softswitch"\nuri = "sip:captcha@ivr.example.net"\n'
ANONYMOUS = GOOD.replace('name = "default"', 'name = "default"\nanonymous = "divert"\ndivert = "captcha"') + DIVERT


def found(tmp_path: Path, text: str) -> dict[str, str]:
    return {f"{each.severity} {each.key}": each.why for each in findings_of(write(tmp_path, text))}


@pytest.mark.parametrize("text", [GOOD, NORTH_AMERICAN, GOOD.replace('"cn"', '"cn"\nanalytics = "603"'), ANONYMOUS])
def test_nothing_is_missing(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == {}


def test_a_north_american_trunk_needs_a_contact_in_whatever_form_it_rejects(tmp_path: Path) -> None:
    text = NORTH_AMERICAN.replace('dial_plan = "nanp"', PLAIN).replace(CONTACT, "")
    assert found(tmp_path, text) == {
        "warning redress.url": "no contact is set, and trunk[carrier] needs it: "
        "47 CFR 64.1200 (FCC 20-96, 85 FR 56530) wants one contact that is free of charge",
        "warning trunk[carrier].analytics": 'is "603": '
        "47 CFR 64.1200 (FCC 25-15, 90 FR 13416) wants 603+ and nothing else as of 25 March 2026",
    }


def test_a_trunk_from_abroad_follows_its_pack(tmp_path: Path) -> None:
    text = GOOD.replace('"cn"', '"generic"\npack = "nanp"\nanalytics = "603"')
    assert list(found(tmp_path, text)) == ["warning trunk[carrier].analytics"]


def test_unscreened_trunks_reject_nobody(tmp_path: Path) -> None:
    text = NORTH_AMERICAN.replace('dial_plan = "nanp"', f"{PLAIN}\nscreen = false").replace(CONTACT, "")
    assert found(tmp_path, text) == {}


@pytest.mark.parametrize(
    ("old", "new", "key", "why"),
    [
        ('route = "softswitch"\nuri', 'route = "ivr"\nuri', "error divert[captcha].route", "no [[gateway]] is named"),
        ('route = "softswitch"\nuri', "uri", "error divert[captcha].route", "is empty"),
        ("sip:captcha", "captcha", "error divert[captcha].uri", "write a SIP URI"),
        ("sip:captcha", "sip:cap tcha", "error divert[captcha].uri", "write a SIP URI"),
        ("sip:captcha", "sip:a>\\r\\nX: ", "error divert[captcha].uri", "write a SIP URI"),
        ('name = "captcha"', 'name = "cap tcha"', "error divert[cap tcha].name", "use 1 to 64"),
    ],
)
def test_a_divert_leads_somewhere(tmp_path: Path, old: str, new: str, key: str, why: str) -> None:
    assert ANONYMOUS.count(old) == 1
    assert why in found(tmp_path, ANONYMOUS.replace(old, new)).get(key, "")


def test_a_trunks_thresholds_reach_the_engine(tmp_path: Path) -> None:
    text = GOOD.replace('"cn"', '"cn"\nthresholds = { tag = 300 }')
    (trunk,) = policy_set(load_configuration(write(tmp_path, text)).configuration).trunks
    assert trunk.thresholds is not None
    assert (trunk.thresholds.tag, trunk.thresholds.divert, trunk.thresholds.reject) == (300, None, 800)
