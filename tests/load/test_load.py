"""The load harness against itself: what it counts is what took place. No proxy between, loopback only."""

import csv
import json
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.load._histogram import Histogram
from tests.load.cli import EXIT_COMPLETE, EXIT_INTERRUPTED, EXIT_USAGE, main
from tests.load.mix import DEFAULT_MIX, Family, InPrefix, Listed, Mix, MixError, Rotation, Withheld, draw_deck, read_mix
from tests.load.report import COLUMNS, Report
from tests.load.run import Answering, LoadRun, Plan

CALLEES = InPrefix(prefixes=("+86208888",), digits=4)


def one_family(**changes: Any) -> Mix:
    values: dict[str, Any] = {
        "name": "clean",
        "label": "legit:residential",
        "weight": 1,
        "callers": CALLEES,
        "callees": CALLEES,
    }
    return Mix(families=(Family(**{**values, **changes}),))


def place(**changes: Any) -> Report:
    values: dict[str, Any] = {"target": None, "rate_per_s": 2000.0, "calls": 200, "drain_s": 10.0}
    run = LoadRun(Plan(**{**values, **changes}))
    run.start()
    assert run.wait(15.0)
    return Report(run, run.close())


def test_200_calls_complete() -> None:
    report = place()
    assert report.counts["answered"] == 200
    assert report.lost == 0
    for one_a_call in ("invites", "answered", "acks", "byes"):
        assert report.answering[one_a_call] == 200
    assert not any(report.retransmissions.values())
    assert not any(report.datagram_loss.values())


def test_a_call_without_talk_is_three_datagrams_each_way() -> None:
    report = place()
    assert report.counts["sent"] == report.answering["received"] == 600
    assert report.counts["received"] == report.answering["sent"] == 600


def test_closed_loop_keeps_to_its_number_of_calls() -> None:
    report = place(rate_per_s=0.0, in_flight=7, calls=500)
    assert report.counts["answered"] == report.counts["placed"] == 500


def test_open_loop_keeps_the_rate() -> None:
    report = place(rate_per_s=400.0, calls=200)
    assert report.elapsed_s == pytest.approx(0.5, abs=0.2)


def test_several_callers_share_the_calls() -> None:
    report = place(callers=3)
    assert report.counts["answered"] == 200


def test_spinning_places_the_same_calls() -> None:
    assert place(spinning=True).counts["answered"] == 200


def test_ipv6() -> None:
    assert place(bind=("::1", 0), answering=Answering(address=("::1", 0))).counts["answered"] == 200


@pytest.mark.parametrize("status", [302, 404, 486, 503, 603, 607, 608])
def test_rejections_are_counted_by_status_and_acknowledged(status: int) -> None:
    report = place(answering=Answering(reject_status=status))
    assert sum(family["rejected"].get(str(status), 0) for family in report.families) == 200
    assert report.answering["acks"] == 200
    assert report.answering["retransmissions"] == 0
    assert report.counts["rejected"] == 200


def test_every_second_call_rejected() -> None:
    report = place(answering=Answering(reject_status=486, reject_every=2))
    assert (report.counts["answered"], report.counts["rejected"]) == (100, 100)


# A loss of one in N takes all seven INVITEs of a call once in N**7 calls: N is chosen so that no run ever sees that.
@pytest.mark.parametrize("drop_every", [11, 13])
def test_loss_is_made_good_by_retransmission(drop_every: int) -> None:
    report = place(t1_ms=20.0, talk_ms=100.0, answering=Answering(drop_every=drop_every))
    assert report.counts["answered"] == 200
    assert report.lost == 0
    assert report.answering["dropped"] > 0
    assert report.retransmissions["INVITE"] > 0
    assert report.retransmissions["BYE"] > 0
    assert report.retransmissions["final responses sent"] > 0


def test_rejections_survive_the_loss_of_their_ack() -> None:
    report = place(t1_ms=20.0, answering=Answering(reject_status=603, drop_every=11))
    assert report.counts["rejected"] == 200
    assert report.retransmissions["final responses received"] > 0
    assert report.answering["unacknowledged"] == 0


def test_silence_is_a_lost_call() -> None:
    report = place(t1_ms=5.0, calls=20, answering=Answering(drop_every=1))
    assert report.lost == 20
    assert sum(family["lost"] for family in report.families) == 20
    # Timer A doubles from T1 until 64 * T1 are over: after 1, 3, 7, 15, 31 and 63 T1.
    assert report.retransmissions["INVITE"] == 20 * 6


def test_the_caller_cancels_what_only_rings() -> None:
    report = place(mix=one_family(cancel_ms=30.0), answering=Answering(ring_ms=5000.0))
    assert report.families[0]["rejected"] == {"487": 200}
    assert report.answering["cancelled"] == report.answering["acks"] == 200


class Peer:
    """The far end of calls that come one a second, played by hand on a socket."""

    def __init__(self, calls: int = 1) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5.0)
        self.port = self._socket.getsockname()[1]
        self._run = LoadRun(Plan(target=("127.0.0.1", self.port), rate_per_s=1.0, calls=calls, answering=None))
        self._run.start()

    def receive(self) -> tuple[str, dict[str, str], int]:
        """Request line, headers, size."""
        datagram, self._caller = self._socket.recvfrom(65535)
        head, _, body = datagram.decode().partition("\r\n\r\n")
        line, *lines = head.split("\r\n")
        headers = dict(text.split(": ", 1) for text in lines)
        assert int(headers["Content-Length"]) == len(body)
        return line, headers, len(datagram)

    def respond(self, status: str, request: dict[str, str], *more: str) -> None:
        copied = [f"{name}: {request[name]}" for name in ("Via", "From", "Call-ID", "CSeq")]
        to = request["To"] if ";tag=" in request["To"] else f"{request['To']};tag=far"
        lines = [f"SIP/2.0 {status}", *copied, f"To: {to}", *more, "Content-Length: 0"]
        self._socket.sendto("\r\n".join([*lines, "", ""]).encode(), self._caller)

    def close(self) -> Report:
        assert self._run.wait(5.0)
        self._socket.close()
        return Report(self._run, self._run.close())


def test_the_route_set_is_the_record_route_reversed() -> None:
    peer = Peer()
    line, invite, size = peer.receive()
    assert line.startswith("INVITE sip:+86208888")
    assert 800 <= size <= 1000
    peer.respond("100 Trying", invite)
    peer.respond(
        "200 OK",
        invite,
        'Record-Route: <sip:c.example:5062;lr>, "b, the second" <sip:b.example;lr;x="a,b">',
        f"Record-Route: <sip:127.0.0.1:{peer.port};lr>",
        "Contact: <sip:far@192.0.2.9:5090;ob>;expires=60",
    )
    routes = f'<sip:127.0.0.1:{peer.port};lr>, "b, the second" <sip:b.example;lr;x="a,b">, <sip:c.example:5062;lr>'
    for expected in ("ACK", "BYE"):
        line, request, _ = peer.receive()
        assert line == f"{expected} sip:far@192.0.2.9:5090;ob SIP/2.0"
        assert request["Route"] == routes
        assert request["To"] == invite["To"] + ";tag=far"
        assert (request["From"], request["Call-ID"]) == (invite["From"], invite["Call-ID"])
        assert request["CSeq"] == {"ACK": "1 ACK", "BYE": "2 BYE"}[expected]
        assert request["Via"] != invite["Via"]
    peer.respond("200 OK", request)
    assert peer.close().counts["answered"] == 1


def test_the_ack_of_a_rejection_belongs_to_the_invite() -> None:
    peer = Peer(calls=2)
    line, invite, _ = peer.receive()
    for _ in range(2):  # the second time the call is over
        peer.respond("603 Decline", invite)
        ack_line, ack, _ = peer.receive()
        assert ack_line == line.replace("INVITE", "ACK")
        assert ack["Via"] == invite["Via"]
        assert ack["To"] == invite["To"] + ";tag=far"
        assert ack["CSeq"] == "1 ACK"
    _, invite, _ = peer.receive()
    peer.respond("486 Busy Here", invite)
    report = peer.close()
    assert report.counts["rejected"] == 2
    assert report.retransmissions["final responses received"] == 1


def test_nothing_is_sent_beyond_the_loopback_network() -> None:
    peer = Peer()
    _, invite, _ = peer.receive()
    peer.respond("200 OK", invite, "Contact: <sip:far@192.0.2.9:5090>")
    assert peer.close().lost == 1


def test_latencies_tell_ringing_from_the_answer() -> None:
    report = place(answering=Answering(ring_ms=50.0))
    assert report.latencies["first_response"].percentile(50) < 40_000
    assert 49_000 < report.latencies["final_response"].percentile(50) < 90_000


@pytest.mark.parametrize("share", [1, 50, 90, 99, 99.9, 100])
def test_percentiles_are_those_of_the_sorted_list(share: float) -> None:
    draws = random.Random(3)
    values = sorted(draws.randrange(4096) for _ in range(5000))
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    assert histogram.percentile(share) == values[-(-round(share * 10) * len(values) // 1000) - 1]
    assert histogram.highest == values[-1]


def test_long_latencies_are_within_a_two_thousandth() -> None:
    for value in (4095, 4096, 4097, 8191, 8192, 123_456, 10**7, 2**32 - 1):
        histogram = Histogram()
        histogram.record(value)
        assert 0 <= value - histogram.percentile(50) <= value / 2048


def test_merged_histograms_hold_both() -> None:
    left, right = Histogram(), Histogram()
    left.record(10)
    right.record(20)
    left.merge(right)
    assert (len(left), left.percentile(50), left.percentile(100)) == (2, 10, 20)


def test_the_mix_keeps_its_weights() -> None:
    deck = draw_deck(DEFAULT_MIX, 20_000, seed=5)
    counted = Counter(deck.entry(i)[0].name for i in range(len(deck)))
    total = sum(family.weight for family in DEFAULT_MIX.families)
    for family in DEFAULT_MIX.families:
        assert counted[family.name] / len(deck) == pytest.approx(family.weight / total, abs=0.012)


def test_the_same_seed_draws_the_same_calls() -> None:
    assert draw_deck(DEFAULT_MIX, 500, 7).packed == draw_deck(DEFAULT_MIX, 500, 7).packed
    assert draw_deck(DEFAULT_MIX, 500, 7).packed != draw_deck(DEFAULT_MIX, 500, 8).packed


def test_a_rotation_uses_its_numbers_in_turn() -> None:
    deck = draw_deck(one_family(callers=Rotation(prefix="+861700", digits=7, size=5)), 15, 1)
    callers = [deck.entry(i)[1] for i in range(15)]
    assert callers[:5] == callers[5:10] == callers[10:]
    assert len(set(callers)) == 5


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"weight": 0}, "more than 0"),
        ({"callers": Listed(numbers=())}, "at least one number"),
        ({"callers": Listed(numbers=("12 34",))}, "user part"),
        ({"callers": InPrefix(prefixes=("+86",), digits=40)}, "1 to 30"),
        ({"callees": Withheld()}, "anonymous"),
    ],
)
def test_a_mix_that_cannot_be_drawn_says_why(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(MixError, match=why):
        draw_deck(one_family(**changes), 1, 1)


def test_a_mix_is_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "mix.toml"
    file.write_text(
        '[[family]]\nname = "bulk"\nlabel = "nuisance:bulk"\nweight = 1\n'
        'callers = { kind = "list", numbers = ["+862155550001"] }\n'
        'callees = { kind = "prefix", prefixes = ["+86208888"], digits = 4 }\n'
    )
    assert read_mix(file).families[0].callers == Listed(numbers=("+862155550001",))
    file.write_text(file.read_text() + "colour = 1\n")
    with pytest.raises(MixError, match="colour"):
        read_mix(file)


def test_the_calls_file_holds_every_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "calls.csv"
    arguments = ["127.0.0.1:9", "--answer", "127.0.0.1:0", "--rate", "500", "--count", "40", "--drain", "0.3"]
    status = main([*arguments, "--json", "--calls", str(file)])
    figures = json.loads(capsys.readouterr().out)
    with file.open(newline="") as rows:
        calls = list(csv.DictReader(rows))
    assert status == 1 and figures["lost"] == 40  # the discard port answers nothing
    assert tuple(calls[0]) == COLUMNS
    assert len({call["call_id"] for call in calls}) == 40
    assert {call["status"] for call in calls} == {"408"}
    assert Counter(call["label"] for call in calls) == {
        family["label"]: family["calls"] for family in figures["families"] if family["calls"]
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["192.0.2.1:5060"],
        ["[2001:db8::1]:5060"],
        ["proxy.example.net:5060"],
        ["127.0.0.1"],
        ["127.0.0.1:0"],
        ["127.0.0.1:5060", "--rate", "0"],
        ["127.0.0.1:5060", "--duration", "1e9"],
        ["127.0.0.1:5060", "--bind", "192.0.2.1:0"],
        ["127.0.0.1:5060", "--mix", "/nonexistent.toml"],
    ],
)
def test_wrong_use_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--answer", "127.0.0.1:0"] if "--answer" not in arguments else arguments) == EXIT_USAGE
    assert "callsieve load: " in capsys.readouterr().err


def test_an_interrupt_prints_the_table_so_far() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(10.0)
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.load", target, "--answer", "127.0.0.1:0", "--rate", "50", "--drain", "0.1"],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        silent.recv(65535)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == EXIT_INTERRUPTED
    assert "calls by family" in output


def test_a_run_with_every_call_answered_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    run = LoadRun(Plan(target=None, rate_per_s=1.0, calls=1))
    host, port = run.answering_address
    run.close()
    arguments = [f"{host}:{port}", "--answer", f"{host}:{port}", "--rate", "500", "--count", "50"]
    assert main(arguments) == EXIT_COMPLETE
    assert "50 calls" in capsys.readouterr().out
