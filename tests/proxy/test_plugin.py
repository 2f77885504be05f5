"""A process of another SIP server that screens with a node: what it is told, what control is told, what goes wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Action, Engine, Outcome, OutcomeKind
from engine.config_errors import ConfigError
from proxy.config_load import load_configuration
from proxy.control.compile import compile_generation
from proxy.event_channel import MESSAGE_BYTES, Beside, Frame, decode_message
from proxy.events import EventBatch, EventRecord
from proxy.plugin import FIRST_NUMBER, TICK_US, Plugin, record_text
from proxy.plugin_divert import DivertTarget
from proxy.state_directory import StateDirectory
from proxy.worker_tables import open_tables
from tests import policies

CARRIER = ("192.0.2.10", 5060)
CONFIGURATION = """
[node]
state_dir = "state"
on_internal_error = "{on_error}"
[capacity]
reputation = 1024
rate_limiter = 1024
[redress]
url = "https://redress.example.net/r"
[plugin.tags]
display_name = "[SPAM?]"
[[trunk]]
name = "carrier"
sources = ["192.0.2.0/24"]
trusted = true
dial_plan = "cn"
policy = "default"
[[trunk]]
name = "resale"
group = "resale"
context = "example.net"
dial_plan = "cn"
policy = "default"
""" + "".join(
    (
        policies.policy(),
        policies.deny_list(),
        policies.number_list("suspected", "tag", policies.SUSPECTED),
        policies.resale(900),
    )
)


def invite(caller: str = "+8613800138000", more: str = "", method: str = "INVITE", body: bytes = b"") -> bytes:
    head = (
        f"{method} sip:02088886666@203.0.113.5 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:{caller}@example.net>;tag=1\r\nTo: <sip:02088886666@203.0.113.5>\r\n"
        f"Call-ID: 1@example.net\r\nCSeq: 1 {method}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Clock:
    def __init__(self) -> None:
        self.now_us = 1_795_000_000_000_000

    def __call__(self) -> int:
        return self.now_us


class Setup:
    """A node's state, a plug-in on it, and what it has logged."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "callsieve.toml"
        self.state = StateDirectory(directory / "state")
        self.clock = Clock()
        self.log: list[str] = []
        self.plugin = Plugin(self.state.path, 3, "kamailio", self.log.append, self.clock)

    def put_into_force(self, generation: int, text: str = CONFIGURATION, on_error: str = "open") -> None:
        self.file.write_text(text.replace("{on_error}", on_error))
        self.state.create()
        assert not compile_generation(self.file, self.state, generation).errors
        open_tables(self.state, self.state.configuration(generation))
        self.state.activate(generation)

    def tick(self) -> None:
        self.clock.now_us += TICK_US


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    setup = Setup(tmp_path)
    setup.put_into_force(1)
    return setup


@pytest.fixture
def control(setup: Setup) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(setup.state.events_socket))
        listening.listen()
        yield listening


def told(end: socket.socket) -> list[EventRecord]:
    message = decode_message(end.recv(MESSAGE_BYTES))
    assert isinstance(message, Frame)
    return list(EventBatch(message.events))


def test_calls_are_judged_as_the_proxy_does(setup: Setup) -> None:
    good = setup.plugin.judge(invite(), CARRIER)
    assert good is not None
    assert (good.action, good.trunk, good.status, good.labels, good.identity) == (Action.ACCEPT, "carrier", 0, "", None)
    denied = setup.plugin.judge(invite("02066660000"), CARRIER)
    assert denied is not None
    assert (denied.action, denied.rule, denied.status, denied.reason) == (Action.REJECT, "deny", 403, "Forbidden")
    assert denied.reply_headers == ""
    loans = setup.plugin.judge(invite("+8617012345678"), CARRIER)
    assert loans is not None
    assert (loans.status, loans.reason) == (603, "Network Blocked")
    assert loans.reply_headers.startswith('Reason: SIP;cause=603;text="v=analytics1;url=https://redress.example.net/r;id=')
    assert setup.log == []


def test_a_label_stands_before_the_name_that_a_trusted_peer_asserts(setup: Setup) -> None:
    more = 'P-Asserted-Identity: "Wang" <sip:+8616512345678@example.net>\r\n'
    tagged = setup.plugin.judge(invite("+8616512345678", more), CARRIER)
    assert tagged is not None
    assert tagged.action is Action.TAG
    assert tagged.labels.startswith("X-Callsieve-Verdict: tag;score=0;basis=policy;rule=suspected;id=")
    assert tagged.identity == 'P-Asserted-Identity: "[SPAM?] Wang" <sip:+8616512345678@example.net>\r\n'


DIVERTING = """
[[gateway]]
name = "ivr"
targets = [
    { address = "ivr.example.net", transport = "tls", priority = 2 },
    { address = "192.0.2.41:5070", priority = 1, weight = 1 },
    { address = "[2001:db8::41]", priority = 1, weight = 9 },
    { address = "spare.example.net", ips = ["2001:db8::42", "192.0.2.42"], transport = "tcp", priority = 3 },
]
"""
DIVERTING += policies.divert("captcha", route="ivr")
DIVERTING += policies.divert("announcement", uri="sip:announcement@ivr.example.net")
DIVERTING += policies.number_list("robots", "divert", "+8616700000000", divert="captcha")
DIVERTING += policies.number_list("surveys", "divert", "+8616700000001", divert="announcement")
DIVERTING += policies.number_list("scanners", "drop", "+8616700000002")


def test_a_diverted_call_names_its_next_hops_and_a_dropped_one_nothing(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.put_into_force(1, CONFIGURATION + DIVERTING)
    robot = setup.plugin.judge(invite("+8616700000000"), CARRIER)
    assert robot is not None
    assert (robot.action, robot.status, robot.identity) == (Action.DIVERT, 0, None)
    assert robot.labels.startswith("X-Callsieve-Verdict: divert;score=0;basis=policy;rule=robots;id=")
    assert robot.divert == DivertTarget(
        "captcha",
        None,
        (
            "sip:[2001:db8::41]",
            "sip:192.0.2.41:5070",
            "sip:ivr.example.net;transport=tls",
            "sip:[2001:db8::42];transport=tcp",
            "sip:192.0.2.42;transport=tcp",
        ),
    )
    survey = setup.plugin.judge(invite("+8616700000001"), CARRIER)
    assert survey is not None
    announcement = "sip:announcement@ivr.example.net"
    assert survey.divert == DivertTarget("announcement", announcement, (announcement,))
    dropped = setup.plugin.judge(invite("+8616700000002"), CARRIER)
    assert dropped is not None
    assert (dropped.action, dropped.status, dropped.reply_headers, dropped.labels) == (Action.DROP, 0, "", "")
    assert (dropped.divert, setup.log) == (None, [])


def test_who_answers_a_diverted_call_is_not_the_callee(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.put_into_force(1, CONFIGURATION + DIVERTING)
    robot = setup.plugin.judge(invite("+8616700000000"), CARRIER)
    assert robot is not None
    setup.plugin.ended(record_text(robot), 603, 2)
    (record,) = EventBatch(robot.record)
    assert Engine.attach(setup.state.path).tables.reputation.read(record.caller, setup.clock.now_us) is None


@pytest.mark.parametrize(
    ("old", "new", "key", "why"),
    [
        ('name = "captcha"\nroute = "ivr"', 'name = "captcha"', "divert[captcha].route", "is empty"),
        ('route = "ivr"', 'route = "iv"', "divert[captcha].route", "no [[gateway]] is named 'iv'"),
        ('dial_plan = "cn"', 'route = "ivr"\ndial_plan = "cn"', "listener", "nothing would be received"),
    ],
)
def test_without_listeners_diverts_need_a_place_and_nothing_else_a_route(
    tmp_path: Path, old: str, new: str, key: str, why: str
) -> None:
    file = tmp_path / "callsieve.toml"
    file.write_text((CONFIGURATION + DIVERTING).replace("{on_error}", "open").replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_configuration(file)
    assert any(finding.key == key and why in finding.why for finding in caught.value.findings)


def test_a_body_need_not_be_text(setup: Setup) -> None:
    assert setup.plugin.judge(invite(body=b"\xff\x00\xfe"), CARRIER) is not None


def test_a_trusted_peer_brings_the_calls_of_another_trunk(setup: Setup) -> None:
    more = "Contact: <sip:+86138;tgrp=resale;trunk-context=example.net@192.0.2.10>\r\n"
    judged = setup.plugin.judge(invite(more=more), CARRIER)
    assert judged is not None
    assert judged.trunk == "resale"


@pytest.mark.parametrize(
    ("message", "source"),
    [
        (invite(), ("198.51.100.1", 5060)),
        (invite(method="OPTIONS"), CARRIER),
        (invite().replace(b"@203.0.113.5>\r\n", b"@203.0.113.5>;tag=2\r\n"), CARRIER),
        (b"SIP/2.0 200 OK\r\n\r\n", CARRIER),
        (b"nonsense", CARRIER),
        (b"", CARRIER),
    ],
)
def test_what_is_no_new_call_of_a_trunk_goes_on(setup: Setup, message: bytes, source: tuple[str, int]) -> None:
    assert setup.plugin.judge(message, source) is None
    assert setup.log == []


def test_control_is_told_of_each_call_and_its_end(setup: Setup, control: socket.socket) -> None:
    judged = setup.plugin.judge(invite(), CARRIER)
    assert judged is not None
    end, _ = control.accept()
    hello = decode_message(end.recv(MESSAGE_BYTES))
    assert isinstance(hello, Beside)
    assert (hello.program, hello.worker, hello.generation) == ("kamailio", FIRST_NUMBER + 3, 1)
    (screened,) = told(end)
    assert (screened.type, screened.call >> 48, screened.status) == (1, FIRST_NUMBER + 3, 0)
    setup.plugin.ringing(record_text(judged))
    setup.plugin.answered(record_text(judged))
    setup.clock.now_us += 5_000_000
    now_us = setup.clock.now_us
    setup.plugin.ended(record_text(judged), 200, 1, rang_us=now_us - 4_500_000, answered_us=now_us - 3_000_000)
    (ended,) = told(end)
    assert (ended.type, ended.call, ended.status, ended.released_by) == (2, screened.call, 200, 1)
    assert (ended.setup_ms, ended.ring_ms, ended.talk_ms) == (500, 2000, 3000)
    assert ended.time_us == setup.clock.now_us


def test_what_control_did_not_hear_it_hears_when_it_is_back(setup: Setup, control: socket.socket) -> None:
    setup.plugin.judge(invite(), CARRIER)
    end, _ = control.accept()
    end.close()
    setup.plugin.judge(invite(), CARRIER)
    setup.plugin.judge(invite(), CARRIER)
    setup.tick()
    setup.plugin.judge(invite(), CARRIER)
    end, _ = control.accept()
    assert isinstance(decode_message(end.recv(MESSAGE_BYTES)), Beside)
    assert sum(len(told(end)) for _ in range(3)) == 3


def test_refusals_are_learnt_from_and_seen_by_every_engine(setup: Setup) -> None:
    judged = setup.plugin.judge(invite(), CARRIER)
    assert judged is not None
    setup.plugin.ended(record_text(judged), 603, 2)
    setup.plugin.unwanted(record_text(judged))
    beside = Engine.attach(setup.state.path)
    (record,) = EventBatch(judged.record)
    known = beside.tables.reputation.read(record.caller, setup.clock.now_us)
    assert known is not None
    assert known.points == 120
    refused = Outcome("+8613800138000", "02088886666", "carrier", OutcomeKind.REFUSED)
    beside.observe(refused, setup.clock.now_us)
    again = setup.plugin.judge(invite(), CARRIER)
    assert again is not None
    assert (again.status, again.reason, again.rule) == (607, "Unwanted", "subscriber-pair")


def test_a_reload_is_taken_up_within_a_second(setup: Setup) -> None:
    assert setup.plugin.judge(invite(), CARRIER) is not None
    setup.put_into_force(2, CONFIGURATION.replace("+862066660000", "+8613800138000"))
    setup.tick()
    judged = setup.plugin.judge(invite(), CARRIER)
    assert judged is not None
    assert judged.rule == "deny"
    assert setup.log == []


def test_calls_go_on_until_a_node_has_run(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    setup.state.create()
    assert setup.plugin.judge(invite("+862066660000"), CARRIER) is None
    assert setup.plugin.judge(invite("+862066660000"), CARRIER) is None
    assert len(setup.log) == 1
    assert "calls go on unscreened" in setup.log[0]
    setup.put_into_force(1)
    setup.tick()
    judged = setup.plugin.judge(invite("+862066660000"), CARRIER)
    assert judged is not None
    assert judged.rule == "deny"


@pytest.mark.parametrize(("on_error", "status"), [("open", None), ("closed", 500)])
def test_a_fault_of_ours_is_logged_and_the_setting_says_what_becomes_of_the_call(
    tmp_path: Path, on_error: str, status: int | None
) -> None:
    setup = Setup(tmp_path)
    setup.put_into_force(1, on_error=on_error)
    assert setup.plugin.judge(invite(), CARRIER) is not None
    judged = setup.plugin.judge(invite(), ("no address", 5060))
    assert (judged and judged.status) == status
    assert len(setup.log) == 1
    assert "ValueError" in setup.log[0]


@pytest.mark.parametrize("record", ["", "AAAA", "no base64"])
def test_a_record_that_is_none_is_logged(setup: Setup, record: str) -> None:
    setup.plugin.ended(record, 200, 1)
    assert len(setup.log) == 1
