"""Loading a configuration: every mistake is found, with the file and key it stands at and why."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.config_errors import ConfigError, ConfigFinding
from engine.rules import StatusByBasis
from proxy.config import Configuration, TrunkClass
from proxy.config_load import load_configuration, policy_set

GOOD = """
[redress]
url = "https://redress.example.net/r"

[[listener]]
name = "udp"
address = "192.0.2.10:5060"

[[trunk]]
name = "carrier"
sources = ["203.0.113.0/24"]
dial_plan = "cn"
policy = "default"
route = "softswitch"

[[gateway]]
name = "softswitch"
targets = [{ address = "198.51.100.20" }]

[[policy]]
name = "default"
"""


def write(folder: Path, text: str, name: str = "callsieve.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def findings_of(path: Path) -> tuple[ConfigFinding, ...]:
    try:
        return load_configuration(path).warnings
    except ConfigError as refused:
        return refused.findings


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_a_good_file_has_no_findings(tmp_path: Path) -> None:
    loaded = load_configuration(write(tmp_path, GOOD))
    assert loaded.warnings == ()
    assert loaded.files == (tmp_path / "callsieve.toml",)
    assert loaded.configuration.trunks[0].trunk_class is TrunkClass.CARRIER


def test_a_loaded_configuration_survives_the_way_to_a_worker(tmp_path: Path) -> None:
    configuration = load_configuration(write(tmp_path, GOOD)).configuration
    packed = msgspec.msgpack.encode(configuration)
    assert msgspec.msgpack.decode(packed, type=Configuration) == configuration


ANOTHER_LISTENER = '[[listener]]\nname = "second"\naddress = "{}"\n'
ANOTHER_TRUNK = """
[[trunk]]
name = "second"
sources = {}
dial_plan = "cn"
policy = "default"
route = "softswitch"
"""

ERRORS = {
    # What a single table may hold.
    "syntax": (GOOD + "[node\n", "", "line 22"),
    "unknown table": (GOOD + "[noode]\n", "noode", "did you mean 'node'?"),
    "unknown key": (edited("sources =", "source ="), "trunk[carrier].source", "did you mean 'sources'?"),
    "unknown nested key": (edited("{ address", "{ adress"), "gateway[softswitch].targets[0].adress", "'address'"),
    "missing key": (edited('route = "softswitch"', ""), "trunk[carrier].route", "is required"),
    "wrong type": (GOOD + '[node]\nworkers = "two"\n', "node.workers", "expected int, got str"),
    "wrong value": (edited('name = "carrier"', 'name = "carrier"\nclass = "x"'), "trunk[carrier].class", "'carrier'"),
    "no array": (GOOD + '[label]\nname = "a"\ntext = "b"\n', "label", "write [[label]]"),
    "no table": (GOOD + '[[node]]\nname = "a"\n', "node", "write [node]"),
    "nameless": (GOOD + '[[label]]\ntext = "b"\n', "label[#1].name", "is required"),
    "capacity too small": (GOOD + "[capacity]\nreputation = 5\n", "capacity.reputation", "expected int >= 1024"),
    "capacity too large": (GOOD + "[capacity]\ntransactions = 999_999_999\n", "capacity.transactions", "<= 16777216"),
    "timer C too short": (GOOD + "[timers]\ntimer_c_s = 180\n", "timers.timer_c_s", "expected int >= 181"),
    "header injection": (GOOD + '[node]\nserver_header = "a\\r\\nX: b"\n', "node.server_header", "printable ASCII"),
    "retry after a challenge": (
        edited("targets =", "retry_on = [503, 407]\ntargets ="),
        "gateway[softswitch].retry_on",
        "credentials",
    ),
    "retry on 6xx": (edited("targets =", "retry_on = [603]\ntargets ="), "gateway[softswitch].retry_on[0]", "<= 599"),
    "weight 0": (edited('.20"', '.20", weight = 0'), "gateway[softswitch].targets[0].weight", ">= 1"),
    "probe": (
        edited("targets =", "probe = { interval_s = 1, timeout_s = 2 }\ntargets ="),
        "gateway[softswitch].probe.timeout_s",
        "longer than interval_s",
    ),
    # Names and references.
    "bad name": (edited('name = "carrier"', 'name = "our carrier"'), "trunk[our carrier].name", "letters, digits"),
    "duplicate name": (
        GOOD + ANOTHER_LISTENER.format("192.0.2.10:5080").replace("second", "udp"),
        "listener[udp].name",
        "taken",
    ),
    "unknown policy": (edited('policy = "default"', 'policy = "x"'), "trunk[carrier].policy", "is called 'x'"),
    "unknown gateway": (edited('route = "softswitch"', 'route = "x"'), "trunk[carrier].route", "[[gateway]]"),
    "unknown dial plan": (edited('"cn"', '"xx"'), "trunk[carrier].dial_plan", "is called 'xx'"),
    "unknown listener": (
        edited("targets =", 'listener = "x"\ntargets ='),
        "gateway[softswitch].listener",
        "known are udp",
    ),
    # Listeners and admin.
    "no listener": (
        edited('[[listener]]\nname = "udp"\naddress = "192.0.2.10:5060"\n', ""),
        "listener",
        "there is none",
    ),
    "too many listeners": (
        GOOD + "".join(ANOTHER_LISTENER.format(f"192.0.2.10:{n}").replace("second", f"l{n}") for n in range(1, 17)),
        "listener",
        "at most 16",
    ),
    "listener clash": (
        GOOD + ANOTHER_LISTENER.format("192.0.2.10:5060"),
        "listener[second].address",
        "is taken by listener[udp]",
    ),
    "wildcard clash": (
        GOOD + ANOTHER_LISTENER.format('0.0.0.0:5060"\nadvertise = "192.0.2.10'),
        "listener[second].address",
        "is taken by listener[udp]",
    ),
    "wildcard": (edited("192.0.2.10:5060", "0.0.0.0:5060"), "listener[udp].advertise", "is required"),
    "listener name": (edited("192.0.2.10:5060", "sip.example.net:5060"), "listener[udp].address", "is a name"),
    "listener port": (edited("192.0.2.10:5060", "192.0.2.10:65536"), "listener[udp].address", "65535"),
    "no port": (edited("192.0.2.10:5060", "192.0.2.10"), "listener[udp].address", "has no port"),
    "no address": (edited("192.0.2.10:5060", "192.0.2.300:5060"), "listener[udp].address", "neither an address"),
    "bare IPv6": (edited("192.0.2.10:5060", "2001:db8::1"), "listener[udp].address", "in brackets"),
    "advertise": (
        edited("[[trunk]]", 'advertise = "sip example"\n[[trunk]]'),
        "listener[udp].advertise",
        "nor a host name",
    ),
    "open admin": (GOOD + '[admin]\naddress = "0.0.0.0:9060"\n', "admin.token_file", "is required"),
    "admin token": (GOOD + '[admin]\ntoken_file = "nowhere"\n', "admin.token_file", "cannot be read"),
    "admin host": (GOOD + '[admin]\nhosts = ["a.example:80"]\n', "admin.hosts[0]", "without a port"),
    "admin address": (GOOD + '[admin]\naddress = "localhost:9060"\n', "admin.address", "is a name"),
    "long state_dir": (GOOD + f'[node]\nstate_dir = "/{"d" * 94}"\n', "node.state_dir", "longer than 94"),
    # Trunks.
    "no trunk": (edited(GOOD[GOOD.index("[[trunk]]") : GOOD.index("[[gateway]]")], ""), "trunk", "there is none"),
    "no sources": (edited('["203.0.113.0/24"]', "[]"), "trunk[carrier].sources", "is empty"),
    "bad network": (edited("203.0.113.0/24", "203.0.113.1/24"), "trunk[carrier].sources[0]", "host bits set"),
    "same network": (
        GOOD + ANOTHER_TRUNK.format('["192.0.2.1", "203.0.113.0/24"]'),
        "trunk[second].sources[1]",
        "source of trunk[carrier] already",
    ),
    # The policy, checked by the engine.
    "no list file": (
        GOOD + '[[list]]\nname = "deny"\naction = "deny"\nfile = "none.txt"\n',
        "list[deny].file",
        "No such file",
    ),
    "no entry": (
        GOOD + '[[list]]\nname = "deny"\naction = "deny"\nnumbers = ["hello"]\n',
        "list[deny].numbers",
        "is no entry",
    ),
    "allow without an end": (
        GOOD + '[[list]]\nname = "a"\naction = "allow"\nowner = "x"\nnumbers = ["+8620"]\n',
        "list[a].until",
        "end date",
    ),
    "unknown label": (
        GOOD + '[[list]]\nname = "t"\naction = "tag"\nlabel = "x"\nnumbers = ["+8620"]\n',
        "list[t].label",
        "is called 'x'",
    ),
    "thresholds": (GOOD + "thresholds = { tag = 800 }\n", "policy[default].thresholds.tag", "not below reject"),
    "endless limit": (
        GOOD + '[[limit]]\nname = "l"\nkey = "caller"\ncalls = 0\nperiod_s = 1\n',
        "limit[l].calls",
        "at least 1",
    ),
    # Gateways.
    "no targets": (edited('[{ address = "198.51.100.20" }]', "[]"), "gateway[softswitch].targets", "is empty"),
    "target address": (edited("198.51.100.20", "198.51.100"), "gateway[softswitch].targets[0].address", "neither"),
    "target twice": (
        edited('.20" }', '.20" }, { address = "198.51.100.20" }'),
        "gateway[softswitch].targets[1].address",
        "already",
    ),
    "loop": (edited("198.51.100.20", "192.0.2.10"), "gateway[softswitch].targets[0].address", "own listener"),
    "ips of an address": (
        edited('.20"', '.20", ips = ["192.0.2.7"]'),
        "gateway[softswitch].targets[0].ips",
        "a name",
    ),
    "bad ips": (
        edited('198.51.100.20"', 'a.example", ips = ["b"]'),
        "gateway[softswitch].targets[0].ips[0]",
        "does not appear",
    ),
    "other IP version": (
        edited("198.51.100.20", "[2001:db8::20]"),
        "gateway[softswitch].targets[0].transport",
        "of that IP version",
    ),
    # Answers.
    "603+ without contact": (
        edited('url = "https://redress.example.net/r"', ""),
        "trunk[carrier].analytics",
        "[redress]",
    ),
    "608 without a card": (
        edited('"cn"', '"cn"\nanalytics = "608"'),
        "trunk[carrier].analytics",
        "set card_url",
    ),
    "plain http": (edited("https:", "http:"), "redress.url", "https://"),
    "contact injection": (edited("net/r", "net/r;id=7"), "redress.url", "without blanks"),
    "bad card": (edited("url =", 'card_url = "http://a"\nurl ='), "redress.card_url", "https://"),
    "label url injection": (
        edited("targets =", 'tags = { call_info_url = "https://a>,<b" }\ntargets ='),
        "gateway[softswitch].tags.call_info_url",
        "https://",
    ),
    "bad tel": (edited("url =", 'tel = "020 8888"\nurl ='), "redress.tel", "3 to 15 digits"),
    "bad email": (edited("url =", 'email = "nobody"\nurl ='), "redress.email", "name@domain"),
    "bad location": (edited("url =", 'location = "XX"\nurl ='), "redress.location", "RFC 8606"),
    "503 for a caller": (
        edited('"cn"', '"cn"\nstatus = { policy = 503 }'),
        "trunk[carrier].status.policy",
        "out of service",
    ),
    "484": (edited('"cn"', '"cn"\nstatus = { invalid = 484 }'), "trunk[carrier].status.invalid", "overlap dialling"),
    "607 by a machine": (
        edited('"cn"', '"cn"\nstatus = { dno = 607 }'),
        "trunk[carrier].status.dno",
        "called person's own vote",
    ),
    "no rejection": (edited('"cn"', '"cn"\nstatus = { dno = 200 }'), "trunk[carrier].status.dno", "is none of"),
    "two forms": (
        edited('"cn"', '"cn"\nstatus = { analytics = 486 }'),
        "trunk[carrier].status.analytics",
        'needs analytics = "603"',
    ),
}


@pytest.mark.parametrize(("text", "key", "why"), ERRORS.values(), ids=ERRORS.keys())
def test_errors(tmp_path: Path, text: str, key: str, why: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_configuration(path)
    assert [(f.file, f.key) for f in refused.value.errors] == [(str(path), key)]
    assert why in refused.value.errors[0].why


WARNINGS = {
    "expired list": (
        GOOD + '[[list]]\nname = "d"\naction = "deny"\nuntil = "2026-01-01"\nnumbers = ["+8620"]\n',
        "list[d].until",
        "expired",
    ),
    "nested networks": (
        GOOD + ANOTHER_TRUNK.format('["203.0.113.64/26"]'),
        "trunk[second].sources[0]",
        "203.0.113.64/26 lies within 203.0.113.0/24: its calls belong to trunk[second]",
    ),
    "network within a trunk": (
        edited("203.0.113.0/24", '203.0.113.0/24", "203.0.113.7'),
        "trunk[carrier].sources[1]",
        "which this trunk has already",
    ),
    "everybody": (edited("203.0.113.0/24", "0.0.0.0/0"), "trunk[carrier].sources[0]", "any address"),
    "unused gateway": (
        GOOD + '[[gateway]]\nname = "spare"\ntargets = [{ address = "192.0.2.99" }]\n',
        "gateway[spare]",
        "no trunk's route",
    ),
    "false not found": (
        edited('"cn"', '"cn"\nstatus = { invalid = 404 }'),
        "trunk[carrier].status.invalid",
        "does not exist",
    ),
    "replaced dial plan": (
        GOOD + '[[dial_plan]]\nname = "cn"\ncountry_code = "86"\n',
        "dial_plan[cn]",
        "replaces the built-in",
    ),
    "unresolvable": (
        edited("198.51.100.20", "callsieve-test.invalid"),
        "gateway[softswitch].targets[0].address",
        "does not resolve yet",
    ),
    "pattern without a file": ('include = ["nothing.d/*.toml"]\n' + GOOD, "include", "no file matches"),
}


@pytest.mark.parametrize(("text", "key", "why"), WARNINGS.values(), ids=WARNINGS.keys())
def test_warnings(tmp_path: Path, text: str, key: str, why: str) -> None:
    path = write(tmp_path, text)
    (finding,) = load_configuration(path).warnings
    assert (finding.file, finding.key, finding.severity) == (str(path), key, "warning")
    assert why in finding.why


def test_all_findings_are_told_at_once_errors_first(tmp_path: Path) -> None:
    text = edited('"cn"', '"xx"').replace("203.0.113.0/24", "0.0.0.0/0").replace('policy = "default"', 'policy = "x"')
    found = findings_of(write(tmp_path, text))
    assert [f.severity for f in found] == ["error", "error", "warning"]


def test_a_missing_file_is_the_operators_mistake(tmp_path: Path) -> None:
    (finding,) = findings_of(tmp_path / "none.toml")
    assert finding.file == str(tmp_path / "none.toml")
    assert "No such file" in finding.why


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "callsieve.toml"
    path.write_bytes(b"[node]\nname = '\xff'\n")
    (finding,) = findings_of(path)
    assert "not UTF-8" in finding.why


class TestIncludes:
    def test_tables_of_all_files_are_joined_in_order(self, tmp_path: Path) -> None:
        labels = '[[label]]\nname = "{}"\ntext = "x"\n'
        write(tmp_path, labels.format("b1"), "labels.d/1.toml")
        write(tmp_path, labels.format("b2"), "labels.d/2.toml")
        loaded = load_configuration(write(tmp_path, 'include = ["labels.d/*.toml"]\n' + GOOD + labels.format("a")))
        assert [label.name for label in loaded.configuration.labels] == ["a", "b1", "b2"]
        assert [file.name for file in loaded.files] == ["callsieve.toml", "1.toml", "2.toml"]

    def test_a_finding_names_the_included_file(self, tmp_path: Path) -> None:
        included = write(tmp_path, ANOTHER_TRUNK.format("[]"), "sub/trunks.toml")
        (finding,) = findings_of(write(tmp_path, 'include = ["sub/trunks.toml"]\n' + GOOD))
        assert (finding.file, finding.key) == (str(included), "trunk[second].sources")

    def test_a_single_table_may_stand_in_one_file_only(self, tmp_path: Path) -> None:
        included = write(tmp_path, '[redress]\ntel = "+862088880000"\n', "more.toml")
        (finding,) = findings_of(write(tmp_path, 'include = ["more.toml"]\n' + GOOD))
        assert (finding.file, finding.key) == (str(included), "redress")
        assert "callsieve.toml too" in finding.why

    def test_a_name_may_stand_in_one_file_only(self, tmp_path: Path) -> None:
        included = write(tmp_path, ANOTHER_TRUNK.format('["192.0.2.1"]').replace("second", "carrier"), "more.toml")
        (finding,) = findings_of(write(tmp_path, 'include = ["more.toml"]\n' + GOOD))
        assert (finding.file, finding.key) == (str(included), "trunk[carrier].name")

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        (finding,) = findings_of(write(tmp_path, 'include = ["none.toml"]\n' + GOOD))
        assert (finding.key, finding.severity) == ("include", "error")

    def test_a_circle_is_an_error(self, tmp_path: Path) -> None:
        included = write(tmp_path, 'include = ["callsieve.toml"]\n', "more.toml")
        (finding,) = findings_of(write(tmp_path, 'include = ["more.toml"]\n' + GOOD))
        assert (finding.file, finding.key) == (str(included), "include")
        assert "read twice" in finding.why

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "more.toml").mkdir()
        (finding,) = findings_of(write(tmp_path, 'include = ["more.toml"]\n' + GOOD))
        assert "Is a directory" in finding.why

    def test_include_must_be_an_array(self, tmp_path: Path) -> None:
        (finding,) = findings_of(write(tmp_path, 'include = "more.toml"\n' + GOOD))
        assert (finding.key, finding.why) == ("include", "expected an array of file names")

    def test_paths_are_relative_to_the_file_they_stand_in(self, tmp_path: Path) -> None:
        write(tmp_path, "+862066660000\n", "policy/lists/deny.txt")
        write(tmp_path, '[[list]]\nname = "deny"\naction = "deny"\nfile = "lists/deny.txt"\n', "policy/lists.toml")
        main = write(tmp_path, 'include = ["policy/lists.toml"]\n' + GOOD + '[node]\nstate_dir = "../state"\n')
        configuration = load_configuration(main).configuration
        assert configuration.lists[0].file == str(tmp_path / "policy/lists/deny.txt")
        assert configuration.node.state_dir == str(tmp_path.parent / "state")


class TestPolicySet:
    def test_trunks_keep_their_order(self, tmp_path: Path) -> None:
        path = write(tmp_path, GOOD + ANOTHER_TRUNK.format('["192.0.2.1"]').replace("second", "a-first"))
        rules = policy_set(load_configuration(path).configuration)
        assert [trunk.name for trunk in rules.trunks] == ["carrier", "a-first"]

    def test_608_is_the_status_of_analytics_where_the_trunk_wants_it(self, tmp_path: Path) -> None:
        path = write(tmp_path, edited('"cn"', '"cn"\nanalytics = "608"').replace("url =", "card_url ="))
        (trunk,) = policy_set(load_configuration(path).configuration).trunks
        assert trunk.status == StatusByBasis(analytics=608)

    def test_own_dial_plans_win_over_built_in_ones(self, tmp_path: Path) -> None:
        path = write(tmp_path, GOOD + '[[dial_plan]]\nname = "cn"\ncountry_code = "86"\nnational_prefix = "9"\n')
        plans = {plan.name: plan for plan in policy_set(load_configuration(path).configuration).dial_plans}
        assert plans["cn"].national_prefix == "9"
        assert plans["nanp"].country_code == "1"
