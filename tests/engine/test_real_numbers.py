"""Numbers that exist, and fakes of them, under the shipped policy with origin rules enforced.

A row: the caller as a trunk shows it, who that is, its class, and what becomes of its call on trunks of the classes
subscriber, enterprise, carrier, transit, intl and callcentre. Sections are those of the numbering plans' digest,
numbering.md; the matrix is its section 5. A number is accepted on an `own` trunk only if that lists it;
here none does.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from engine import Screener
from engine.decision import Action, Attempt
from engine.policy_file import compile_draft, load_policy
from engine.tables import Tables

CONF = Path("conf")
NOW_US = 1_795_305_600_000_000
TRUNKS = ("subscriber", "enterprise", "carrier", "transit", "intl", "callcentre")
LETTERS = {"A": Action.ACCEPT, "T": Action.TAG, "R": Action.REJECT}
CALLEE = {
    "generic": "+8613800138001",
    "cn": "02088887777",
    "nanp": "+12125557000",
    "uk": "+442079460000",
    "fr": "+33142278186",
    "de": "+4930227670",
}


@pytest.fixture(scope="module")
def screeners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Screener]:
    tables = Tables.open(tmp_path_factory.mktemp("tables"), reputation=1024, rate_limiter=1024, half_life_days=14)
    return {pack: Screener(compile_draft(load_policy(shipped(pack), CONF), 1), tables, bytes(16)) for pack in CALLEE}


def shipped(pack: str) -> dict[str, object]:
    """conf/policy.toml without what speaks of the trunks of conf/trunks.toml, with a trunk of each class."""
    policy = tomllib.loads((CONF / "policy.toml").read_text("utf-8"))
    for name in ("test", "limit", "origin"):
        policy.pop(name)
    for table in ("list", "prefix_rule"):
        policy[table] = [row for row in policy[table] if not row.get("trunks")]
    policy["policy"] = [{**policy["policy"][0], "origin": "enforce"}]
    policy["trunk"] = [{"name": each, "policy": "standard", "dial_plan": pack, "class": each} for each in TRUNKS]
    return policy


CHINA = [
    # section 2.1: mobile numbers, the resale heads 162 165 167 170 171 exactly
    ("13800138000", "China Mobile, test number", "mobile", "RRAATR"),
    ("+8618612345678", "China Unicom", "mobile", "RRAATR"),
    ("008613312345678", "China Telecom, dialled from abroad", "mobile", "RRAATR"),
    ("19212345678", "China Broadnet", "mobile", "RRAATR"),
    ("16212345678", "resale of Telecom", "mvno", "RRAATR"),
    ("16512345679", "resale of China Mobile", "mvno", "RRAATR"),
    ("16712345678", "resale of Unicom", "mvno", "RRAATR"),
    ("17062345678", "resale of China Mobile, 1706", "mvno", "RRAATR"),
    ("17092345678", "resale of Unicom, 1709", "mvno", "RRAATR"),
    ("17012345678", "resale of Telecom", "mvno", "RRAATR"),
    ("17112345678", "resale of Unicom", "mvno", "RRAATR"),
    ("16112345678", "no resale head", "unallocated", "RRTTRR"),
    ("16312345678", "no resale head", "unallocated", "RRTTRR"),
    ("16412345678", "no resale head", "unallocated", "RRTTRR"),
    ("16812345678", "no resale head", "unallocated", "RRTTRR"),
    ("17212345678", "China Mobile, not resale", "mobile", "RRAATR"),
    ("13492123456", "satellite 1349(2)", "satellite", "RRATTR"),
    ("13491234567", "134(9) that is no satellite", "unallocated", "RRTTRR"),
    ("17405123456", "satellite 1740(5)", "satellite", "RRATTR"),
    ("17406123456", "1740(6)", "unallocated", "RRTTRR"),
    ("16191234567", "satellite 1619", "satellite", "RRATTR"),
    # section 2.2: 95, by the third digit
    ("95566", "Bank of China", "svc95", "RRATRR"),
    ("95599", "Agricultural Bank of China", "svc95", "RRATRR"),
    ("95533", "China Construction Bank", "svc95", "RRATRR"),
    ("95511", "Ping An", "svc95", "RRATRR"),
    ("95518", "PICC", "svc95", "RRATRR"),
    ("95598", "State Grid", "svc95", "RRATRR"),
    ("95300", "of 953", "svc95", "RRATRR"),
    ("95338", "SF Express", "svc95", "RRATRR"),
    ("95311", "YTO Express", "svc95", "RRATRR"),
    ("95543", "STO Express", "svc95", "RRATRR"),
    ("95546", "Yunda Express", "svc95", "RRATRR"),
    ("95555", "China Merchants Bank, on the shipped list of protected numbers", "svc95", "TTATTT"),
    ("95600", "of 956", "svc95", "RRATRR"),
    ("95588123", "a bank with extension digits", "svc95", "RRATRR"),
    ("+8695566", "the same, written with the country code", "svc95", "RRATRR"),
    ("95588", "ICBC, on the shipped list of protected numbers: at most tagged", "svc95", "TTATTT"),
    ("95071666", "call-centre access 950, eight digits seen", "cc95x", "RRTRRR"),
    ("95013000", "call-centre access 950", "cc95x", "RRTRRR"),
    ("95169696", "call-centre access 951", "cc95x", "RRTRRR"),
    ("95213", "call-centre access 952", "cc95x", "RRTRRR"),
    ("95401234", "call-centre access 954", "cc95x", "RRTRRR"),
    ("95701234", "call-centre access 957", "cc95x", "RRTRRR"),
    ("95800", "of 958", "cc95x-unassigned", "TTTTTT"),
    ("95900", "of 959", "cc95x-unassigned", "TTTTTT"),
    ("95110", "coast guard police", "public", "RRRRRR"),
    ("951101", "an extension of 951, not the coast guard", "cc95x", "RRTRRR"),
    ("9558", "too short", None, "RRRRRR"),
    ("955881234", "too long", None, "RRRRRR"),
    # section 2.3: other services
    ("96368", "a city's service", "svc96", "RRATRR"),
    ("962121", "a city's service, six digits", "svc96", "RRATRR"),
    ("02096368", "the same, behind its area code", "svc96", "RRATRR"),
    ("075596368", "the same, behind its area code", "svc96", "RRATRR"),
    ("96110", "anti-fraud police, on the shipped list of protected numbers", "public", "TTTTTT"),
    ("075596110", "anti-fraud police, behind its area code", "public", "RRRRRR"),
    ("4008123123", "KFC", "svc400", "RRTTRR"),
    ("4006700700", "Lenovo", "svc400", "RRTTRR"),
    ("8008100000", "a freephone number", "svc800", "RRTTRR"),
    ("10000", "China Telecom", "op100", "RRRRRR"),
    ("10010", "China Unicom", "op100", "RRRRRR"),
    ("10016", "China Unicom", "op100", "RRRRRR"),
    ("10086", "China Mobile", "op100", "RRRRRR"),
    ("10099", "China Broadnet", "op100", "RRRRRR"),
    ("10001", "of 100xx", "op100", "RRRRRR"),
    ("10101010", "a corporate service", "svc101", "RRATRR"),
    ("106900001", "an SMS port", "sms106", "RRRRRR"),
    ("10690000123", "an SMS port", "sms106", "RRRRRR"),
    ("1069000012345", "an SMS port", "sms106", "RRRRRR"),
    ("106900001234567890", "an SMS port", None, "RRRRRR"),
    ("1064812345678", "a machine", "iot", "RRTRRR"),
    ("117", "time", "info", "RRRRRR"),
    ("114", "directory", "info", "RRRRRR"),
    ("110", "police", "emergency", "RRRRRR"),
    ("119", "fire", "emergency", "RRRRRR"),
    ("120", "ambulance", "emergency", "RRRRRR"),
    ("122", "traffic police", "emergency", "RRRRRR"),
    ("112", "GSM emergency", "emergency", "RRRRRR"),
    ("12110", "police by message", "emergency", "RRRRRR"),
    ("12119", "forest fire", "emergency", "RRRRRR"),
    ("12395", "sea rescue", "emergency", "RRRRRR"),
    ("12321", "complaints about spam, on the shipped list of protected numbers", "public", "TTTTTT"),
    ("12381", "anti-fraud warnings", "public", "RRRRRR"),
    ("12306", "railways", "public", "RRRRRR"),
    ("12315", "consumers", "public", "RRRRRR"),
    ("12320", "health", "public", "RRRRRR"),
    ("12333", "labour and social security", "public", "RRRRRR"),
    ("12348", "legal aid", "public", "RRRRRR"),
    ("12368", "courts", "public", "RRRRRR"),
    ("12377", "reports of unlawful content", "public", "RRRRRR"),
    ("12388", "discipline", "public", "RRRRRR"),
    ("12389", "police, complaints", "public", "RRRRRR"),
    ("12345", "government", "public", "RRRRRR"),
    ("12366", "taxes", "public", "RRRRRR"),
    ("11183", "EMS", "svc101", "RRATRR"),
    ("11185", "post", "svc101", "RRATRR"),
    # section 2.4: fixed lines
    ("01065292114", "Beijing", "fixed", "RRAARR"),
    ("02123456789", "Shanghai", "fixed", "RRAARR"),
    ("075586688888", "Shenzhen, 4 + 8", "fixed", "RRAARR"),
    ("05738888666", "Jiaxing, 4 + 7", "fixed", "RRAARR"),
    ("02112345678", "no local number begins with 1", "unallocated", "RRTTRR"),
    ("02612345678", "026 is no area code", "unallocated", "RRTTRR"),
    ("092088886666", "92 is no area code", "unallocated", "RRTTRR"),
    # section 2.5: what an international gateway may bring
    ("+12125557001", "New York", "foreign", "RRTAAR"),
    ("+447400123456", "a British mobile", "foreign", "RRTAAR"),
    ("+85225223111", "Hong Kong", "foreign", "RRTAAR"),
    ("+8613800138", "a mobile number cut short", "invalid", "RRRRRR"),
    ("+2101234567", "a calling code that is nobody's", "invalid", "RRRRRR"),
    ("+12125550123", "a North American number for fiction", "invalid", "RRRRRR"),
    ("+449098790000", "a British premium number", "foreign-premium", "RRTTTR"),
    # section 6: dirt of real lists
    ("1111111111", "ten times the same", None, "RRRRRR"),
    ("812", "no number", None, "RRRRRR"),
    ("70444138193", "foreign, without plus", None, "RRRRRR"),
]

AMERICA = [
    # section 3; the origin of a number is a factor there, never by itself a reason to reject
    ("+12024561111", "the White House", "fixed-or-mobile", "RRAATR"),
    ("+18008291040", "IRS", "svc800", "RRTTRR"),
    ("+18004321000", "Bank of America", "svc800", "RRTTRR"),
    ("+18003225869", "UPS", "svc800", "RRTTRR"),
    ("+18332345678", "toll-free 833", "svc800", "RRTTRR"),
    ("+18442345678", "toll-free 844", "svc800", "RRTTRR"),
    ("+18552345678", "toll-free 855", "svc800", "RRTTRR"),
    ("+18662345678", "toll-free 866", "svc800", "RRTTRR"),
    ("+18772345678", "toll-free 877", "svc800", "RRTTRR"),
    ("+18882345678", "toll-free 888", "svc800", "RRTTRR"),
    ("+12125550100", "for fiction", "invalid", "RRRRRR"),
    ("+12125550199", "for fiction", "invalid", "RRRRRR"),
    ("+12125551212", "directory assistance of an area", "fixed-or-mobile", "RRAATR"),
    ("+19002345678", "900", "premium", "RRRRRR"),
    ("+12129761234", "976", "premium", "RRRRRR"),
    ("911", "emergency", "emergency", "RRRRRR"),
    ("988", "lifeline", "public", "RRRRRR"),
    ("411", "N11", "public", "RRRRRR"),
    ("+19112345678", "no NPA is N11", "invalid", "RRRRRR"),
    ("+12129112345", "no central office code is N11", "invalid", "RRRRRR"),
    ("+12121234567", "no central office code begins with 1", "invalid", "RRRRRR"),
    ("+13712345678", "37X is reserved", "unallocated", "RRTTTR"),
    ("+19612345678", "96X is reserved", "unallocated", "RRTTTR"),
    ("+12912345678", "N9X is for expansion", "unallocated", "RRTTTR"),
    ("+12212345678", "an NPA of no region", "unallocated", "RRTTTR"),
    ("+12222222222", "one digit ten times", "invalid", "RRRRRR"),
    ("+15555555555", "one digit ten times", "invalid", "RRRRRR"),
    ("+11111111111", "one digit ten times", None, "RRRRRR"),
    ("+18004633339", "FedEx", "svc800", "RRTTRR"),
    ("+442079460000", "London", "foreign", "RRTAAR"),
    ("+8695588", "a bank of China, from abroad", "foreign", "RRTAAR"),
    ("+882161234567", "a satellite or network number", "foreign", "RRTAAR"),
]

BRITAIN = [
    # section 4: Ofcom, no British number from abroad but roaming mobiles
    ("+442076014444", "Bank of England", "fixed", "RRAARR"),
    ("02076014444", "the same, as dialled", "fixed", "RRAARR"),
    ("+443456000723", "Royal Mail", "fixed", "RRAARR"),
    ("+443003033000", "Ofcom", "fixed", "RRAARR"),
    ("+447400123456", "mobile", "mobile", "RRAATR"),
    ("+447624123456", "Isle of Man", "mobile", "RRAATR"),
    ("+447640123456", "pager", "pager", "RRTTRR"),
    ("+447012345678", "personal number", "personal", "RRAARR"),
    ("+445612345678", "VoIP", "corporate", "RRAARR"),
    ("+448001111", "Childline", "svc800", "RRTTRR"),
    ("+448081570000", "freephone", "svc800", "RRTTRR"),
    ("+448457740740", "business rate", "svc400", "RRTTRR"),
    ("+448712345678", "business rate", "svc400", "RRTTRR"),
    ("+449098790000", "revenue sharing, never a caller", "premium", "RRRRRR"),
    ("999", "emergency", "emergency", "RRRRRR"),
    ("112", "emergency", "emergency", "RRRRRR"),
    ("159", "fraud line of the banks", "public", "RRRRRR"),
    ("101", "police", "public", "RRRRRR"),
    ("118500", "directory", "info", "RRRRRR"),
    ("+443457404404", "a bank's service, Lloyds 0345", "fixed", "RRAARR"),
    ("+442087654321", "a London number from abroad is no London caller", "fixed", "RRAARR"),
    ("+8613800138000", "China", "foreign", "RRTAAR"),
]

FRANCE = [
    # section 4: the heads of telemarketing platforms, each
    *((f"+33{head}123456"[:12], "telemarketing platform", "marketing", "RRTTRR") for head in
      ("162", "163", "270", "271", "377", "378", "424", "425", "568", "569", "948", "949")),
    *((f"+33947{digit}12345", "the same overseas", "marketing", "RRTTRR") for digit in "56789"),
    ("+33947412345", "09474 is no such head", "fixed", "RRAARR"),
    ("+33164123456", "0164 is no such head", "fixed", "RRAARR"),
    ("+33142278186", "ARCEP's city", "fixed", "RRAARR"),
    ("+33612345678", "mobile: no telemarketing", "mobile", "RRAATR"),
    ("+33756789012", "mobile", "mobile", "RRAATR"),
    ("+33801902902", "freephone", "svc800", "RRTTRR"),
    ("+33810123456", "shared cost", "svc400", "RRTTRR"),
    ("+33899123456", "premium", "premium", "RRRRRR"),
    ("3631", "La Poste", "svc101", "RRATRR"),
    ("3639", "La Banque postale", "svc101", "RRATRR"),
    ("0142278186", "ARCEP's city, as dialled", "fixed", "RRAARR"),
    ("+8613800138000", "China", "foreign", "RRTAAR"),
    ("15", "ambulance", "emergency", "RRRRRR"),
    ("17", "police", "emergency", "RRRRRR"),
    ("18", "fire", "emergency", "RRRRRR"),
    ("112", "emergency", "emergency", "RRRRRR"),
    ("119", "child in danger", "public", "RRRRRR"),
    ("118712", "directory", "info", "RRRRRR"),
]

GERMANY = [
    # section 4: foreign-origin fixed numbers are no caller's, nor are 110, 112, 0900 and 0137
    ("+4930227670", "the Bundestag", "fixed", "RRAARR"),
    ("03022730027", "the same, as dialled", "fixed", "RRAARR"),
    ("+4915112345678", "mobile", "mobile", "RRAATR"),
    ("+498003301000", "Telekom", "svc800", "RRTTRR"),
    ("+499001234567", "premium", "premium", "RRRRRR"),
    ("+491377123456", "televoting", "premium", "RRRRRR"),
    ("110", "police", "emergency", "RRRRRR"),
    ("112", "fire and ambulance", "emergency", "RRRRRR"),
    ("+8613800138000", "China", "foreign", "RRTAAR"),
]

GENERIC = [
    # section 1: a pack without a country knows no classes, only what a number is; nothing is held against its origin
    ("+8613800138000", "China", None, "AAAAAA"),
    ("008613800138000", "the same, with 00", None, "AAAAAA"),
    ("+442076014444", "Bank of England", None, "AAAAAA"),
    ("+18003225869", "UPS", None, "AAAAAA"),
    ("+8695588", "ICBC, by its spelling with the country code", None, "AAAAAA"),
    ("+8617012345678", "resale: known only where China is at home", None, "AAAAAA"),
    ("+8695071666", "call-centre access, likewise", None, "AAAAAA"),
    ("13800138000", "digits of that length are read as +1 380 ...", None, "AAAAAA"),
    ("95588", "no plan says whose number this is", None, "RRRRRR"),
    ("+0123456789", "no calling code begins with 0", None, "RRRRRR"),
    ("+861", "too short", None, "RRRRRR"),
    ("alice", "no number", None, "RRRRRR"),
]

TABLES = {"generic": GENERIC, "cn": CHINA, "nanp": AMERICA, "uk": BRITAIN, "fr": FRANCE, "de": GERMANY}
ROWS = [(pack, *row) for pack, rows in TABLES.items() for row in rows]


@pytest.mark.parametrize(
    ("pack", "caller", "number_class", "actions"),
    [(pack, caller, number_class, actions) for pack, caller, _, number_class, actions in ROWS],
)
def test_class_and_action(
    screeners: dict[str, Screener], pack: str, caller: str, number_class: str | None, actions: str
) -> None:
    screener = screeners[pack]
    verdicts = {trunk: screener.screen(Attempt(caller, CALLEE[pack], trunk), NOW_US) for trunk in TRUNKS}
    assert {verdict.number_class for verdict in verdicts.values()} == {number_class}
    assert {trunk: verdict.action for trunk, verdict in verdicts.items()} == {
        trunk: LETTERS[letter] for trunk, letter in zip(TRUNKS, actions, strict=True)
    }


@pytest.mark.parametrize("pack", TABLES)
def test_services_are_reached_by_whoever_calls(screeners: dict[str, Screener], pack: str) -> None:
    """Section 4, everywhere: an emergency number is never screened as callee; public services neither (section 2.3)."""
    for caller, _, number_class, _ in TABLES[pack]:
        if number_class in ("emergency", "public") and not (pack == "cn" and caller.startswith("0")):
            for spoof in ("110", "nonsense", "+2101234567"):
                assert screeners[pack].screen(Attempt(spoof, caller, "intl"), NOW_US).action is Action.ACCEPT, caller
