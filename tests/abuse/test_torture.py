"""P1: the torture messages of RFC 4475 and RFC 5118, end to end through the core."""

from __future__ import annotations

import pytest

from proxy.sip.framing import StreamFramer
from proxy.sip.message import SipMessage
from tests.abuse import torture
from tests.abuse.torture import OPENED, RFC4475, RFC5118, ROWS, STREAM, TRUSTED, message
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, Datagram, Play

FORWARDED = [name for name, outcome in ROWS.items() if outcome == "forward"]
REFUSED = [name for name, outcome in ROWS.items() if isinstance(outcome, int)]
CLOSED_METHOD = [name for name, outcome in ROWS.items() if outcome == "open"]
DROPPED = [name for name, outcome in ROWS.items() if outcome == "drop"]
TCP, FLOW = 2, 7  # the listener in TRUSTED, and a connection to it
OWN_HEADERS = ("via", "max-forwards", "max-breadth", "record-route")


def play_of(name: str, text: str = TRUSTED) -> tuple[Play, list[Datagram]]:
    """What a message leads to where no name of it is known to the resolver."""
    play = Play(text)
    return play, play.receive(message(name)) + unknown_names(play)


def unknown_names(play: Play) -> list[Datagram]:
    """What becomes of requests that wait for a name, once nobody knows it."""
    return [sent for question, *_ in play.questions() for sent in play.resolve(question)]


def test_p1_every_message_of_the_archives_has_its_row() -> None:
    assert sorted(RFC4475) == sorted(path.stem for path in (torture.DATA / "rfc4475").iterdir())
    assert sorted(RFC5118) == sorted(path.name for path in (torture.DATA / "rfc5118").iterdir())
    assert (len(RFC4475), len(RFC5118)) == (50, 12)


@pytest.mark.parametrize("name", sorted({*FORWARDED, *CLOSED_METHOD} - {"mpart01"}))
def test_p1_forwarded_with_every_foreign_byte_as_it_came(name: str) -> None:
    _, (sent,) = play_of(name, OPENED)
    received, forwarded = SipMessage(message(name)), SipMessage(sent.data)
    assert (forwarded.status, forwarded.body) == (0, received.body)
    assert (forwarded.method, forwarded.request_uri) == (received.method, received.request_uri)
    with_length = any(row[0].lower() in ("content-length", "l") for row in received.headers)
    added = [] if with_length else [("Content-Length", b"%d" % len(received.body))]
    assert foreign_headers(forwarded) == added + foreign_headers(received)
    assert forwarded.max_forwards == (received.max_forwards - 1 if received.max_forwards > 0 else 70)
    assert lower_vias(forwarded, 1) == lower_vias(received, 0)


def foreign_headers(parsed: SipMessage) -> list[tuple[str, bytes]]:
    return [row for row in parsed.headers if row[0].lower() not in OWN_HEADERS]


def lower_vias(parsed: SipMessage, own: int) -> list[bytes]:
    """What nobody may change: every Via row but our own and that of the peer, which gets `received`."""
    return [value for name, value in parsed.headers if name.lower() in ("via", "v")][own + 1 :]


@pytest.mark.parametrize("name", REFUSED)
def test_p1_refused(name: str) -> None:
    play, (sent,) = play_of(name)
    assert (sent.status, sent.to[0]) == (ROWS[name], CARRIER[0])
    assert play.counters["screened"] == play.counters["unscreened"] == 0


@pytest.mark.parametrize("name", CLOSED_METHOD)
def test_p1_closed_method_of_a_trunk_that_does_not_open_it(name: str) -> None:
    _, (sent,) = play_of(name)
    assert sent.first_line == "SIP/2.0 403 Forbidden"


@pytest.mark.parametrize("name", DROPPED)
def test_p1_dropped(name: str) -> None:
    assert play_of(name)[1] == []


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("text", [CONFIGURATION, TRUSTED], ids=["screened", "unscreened"])
def test_p1_nothing_is_left_behind(name: str, text: str) -> None:
    play = Play(text)
    for _ in range(3):
        play.receive(message(name))
    assert play.counters["screened"] <= 1
    assert play.counters["internal_errors"] == 0
    play.wait(300)
    assert (play.core.open_transactions, play.core.open_calls, play.core.next_deadline()) == (0, 0, 0)


def over_tcp(play: Play, data: bytes) -> tuple[list[Datagram], bool]:
    """What is sent when `data` comes byte by byte, and whether its connection is then closed."""
    framer = StreamFramer()
    sent: list[Datagram] = []
    for at in range(len(data)):
        framer.feed(data[at : at + 1])
        while (whole := framer.next_message()) is not None:
            sent += play.receive_stream(whole, CARRIER, listener=TCP, flow=FLOW)
        if framer.status:
            play.core.receive_stream(framer.refused, CARRIER, TCP, FLOW, play.now_us, play.out, refusal=framer.status)
            return sent + play.sent(), True
    return sent + unknown_names(play), False


@pytest.mark.parametrize("name", ROWS)
def test_p1_over_tcp_in_single_bytes_as_over_udp(name: str) -> None:
    by_datagram = play_of(name)[1]
    play = Play(TRUSTED)
    sent, closed = over_tcp(play, message(name))
    if name in STREAM:
        assert (tuple(one.status for one in sent), closed) == STREAM[name]
    else:
        assert not closed
        assert [essence(one) for one in sent] == [essence(one) for one in by_datagram]
    assert all(one.flow == FLOW for one in sent if one.status)
    assert play.counters["internal_errors"] == 0


def essence(sent: Datagram) -> tuple[object, ...]:
    """What is the same by whatever transport a message came."""
    if sent.status:
        return (sent.status,)
    return sent.to, sent.first_line, foreign_headers(SipMessage(sent.data)), SipMessage(sent.data).body


@pytest.mark.parametrize("name", RFC5118)
def test_p1_bare_lf_ends_a_stream(name: str) -> None:
    assert over_tcp(Play(TRUSTED), torture.rfc5118_as_stored(name)) == ([], True)


# RFC 4475


def test_p1_baddn_is_refused_for_its_commas() -> None:
    """In the archive it has no empty line either."""
    (refused,) = Play(TRUSTED).receive(message("baddn") + b"\r\n")
    assert refused.first_line == "SIP/2.0 400 Bad From or To"


def test_p1_wsinv_unfolds_numbers_and_leaves_the_rest() -> None:
    _, (sent,) = play_of("wsinv")
    forwarded = SipMessage(sent.data)
    assert (sent.to, forwarded.max_forwards) == (SOFTSWITCH, 67)
    assert dict(forwarded.headers)["UnknownHeaderWithUnusualValue"] == b";;,,;;,;"


def test_p1_wsinv_does_not_pass_the_screening_by_its_to_tag() -> None:
    """An INVITE within a dialog that nobody here knows: from a trusted trunk it is a new call, and screened as one."""
    play, sent = play_of("wsinv", TRUSTED.replace("screen = false", "screen = true"))
    assert ([reply.status for reply in sent], play.counters["screened"]) == ([403], 1)
    play, sent = play_of("wsinv", CONFIGURATION)
    assert ([reply.status for reply in sent], play.counters["screened"]) == ([481], 0)


def test_p1_mpart01_goes_to_its_route_which_is_a_strict_router() -> None:
    """RFC 3261 section 16.6 step 6: what was the Request-URI becomes the last Route."""
    _, (sent,) = play_of("mpart01", OPENED)
    assert (sent.to, sent.uri) == (("127.0.0.1", 5080), "sip:127.0.0.1:5080")
    assert sent.all("Route") == ["<sip:kumiko@example.org>"]
    received, forwarded = SipMessage(message("mpart01")), SipMessage(sent.data)
    assert forwarded.body == received.body
    assert foreign_headers(forwarded)[1:] == foreign_headers(received)[1:]


def test_p1_dblreq_what_stands_behind_an_empty_body_is_not_seen() -> None:
    play, _ = play_of("dblreq")
    assert (play.counters["invites"], play.counters["received"]) == (0, 1)


def test_p1_bext01_names_what_proxy_require_asked_for() -> None:
    _, (sent,) = play_of("bext01")
    assert sent.one("Unsupported") == "noProxiesSupportThis, norDoAnyProxiesSupportThis"


def test_p1_badbranch_two_clients_never_share_a_transaction() -> None:
    """A branch that is the cookie alone identifies nothing: they are told apart as RFC 2543 does (section 17.2.3)."""
    play, (first,) = play_of("badbranch")
    other = message("badbranch").replace(b"badbranch.sadonfo23i420jv0as0derf3j3n", b"another-call")
    assert other != message("badbranch")
    (second,) = play.receive(other)
    assert second.branch != first.branch


# Responses: as strays above, here as answers to a request of ours


def answered_with(name: str) -> tuple[Play, list[Datagram]]:
    """The response below a Via of ours, as the softswitch's answer to a live transaction."""
    play = Play(TRUSTED)
    data = message(name)
    method = SipMessage(data).method or "INVITE"
    (sent,) = play.receive(request(method) if method == "INVITE" else request(method, headers=["X: y"]))
    own = f"Via: {sent.all('Via')[0]}\r\n".encode()
    if name == "bcast":  # of its two Vias the first becomes ours
        lines = data.split(b"\r\n")
        place = next(i for i, line in enumerate(lines) if line.startswith(b"Via:"))
        lines[place] = own.rstrip()
        return play, play.receive(b"\r\n".join(lines), SOFTSWITCH)
    start_line, rest = data.split(b"\r\n", 1)
    return play, play.receive(start_line + b"\r\n" + own + rest, SOFTSWITCH)


def test_p1_unreason_passes_with_its_phrase_as_it_came() -> None:
    _, (sent,) = answered_with("unreason")
    assert (sent.to, sent.data) == (CARRIER, message("unreason"))


def test_p1_noreason_stops_timer_a() -> None:
    play, sent = answered_with("noreason")
    assert sent == []
    assert [datagram.method for datagram in play.wait(30) if datagram.method] == []


@pytest.mark.parametrize("name", ["bigcode", "scalarlg"])
def test_p1_response_that_is_none_is_dropped(name: str) -> None:
    play, sent = answered_with(name)
    assert sent == []
    assert play.counters["bad_messages"] + play.counters["not_sip"] == 1


def test_p1_bcast_is_dropped_although_its_transaction_lives() -> None:
    play, sent = answered_with("bcast")
    assert sent == []
    assert play.counters["stray_responses"] == 1


# RFC 5118


@pytest.mark.parametrize("name", RFC5118)
def test_p1_bare_lf_is_no_line_end(name: str) -> None:
    """As the archive stores them: nothing that a reader of LF would take for a message is passed on or answered."""
    play = Play(TRUSTED)
    assert play.receive(torture.rfc5118_as_stored(name)) == []
    assert play.counters["not_sip"] == 1


@pytest.mark.parametrize(
    ("name", "outcome"), [("ipv6-in-sdp", 400), ("mult-ip-in-sdp", 181), ("ipv4-mapped-ipv6", 236)]
)
def test_p1_body_is_what_content_length_says(name: str, outcome: int) -> None:
    """The archive's Content-Length of these three is wrong: one claims more than came, two cut the body."""
    (sent,) = Play(TRUSTED).receive(torture.rfc5118_converted(name))
    assert (sent.status or len(SipMessage(sent.data).body)) == outcome


@pytest.mark.parametrize(("name", "port"), [("port-ambiguous", 5060), ("port-unambiguous", 5070)])
def test_p1_port_within_the_brackets_is_part_of_the_address(name: str, port: int) -> None:
    uri = SipMessage(message(name)).request_uri
    (sent,) = Play(TRUSTED).receive(request("BYE", uri=uri, to_tag="to1"))
    address = "2001:db8::10:5070" if port == 5060 else "2001:db8::10"
    assert (sent.to, sent.uri) == ((address, port), uri)


@pytest.mark.parametrize("name", ["via-received-param-with-delim", "via-received-param-no-delim"])
def test_p1_received_is_replaced_by_the_true_source(name: str) -> None:
    _, (sent,) = play_of(name)
    assert "2001:db8::9:255" not in sent.all("Via")[1]
    assert sent.all("Via")[1].count(";received=192.0.2.10") == 1


def test_p1_own_received_has_no_brackets() -> None:
    play = Play(TRUSTED.replace("192.0.2.0/24", "2001:db8::/32"))
    (sent,) = play.receive(message("ipv6-correct-abnf-2-colons"), ("2001:db8::9:1", 5060))
    assert sent.all("Via")[1].endswith(";received=2001:db8::9:1")


def test_p1_mapped_address_is_the_ipv4_address() -> None:
    """The trunk is known by its IPv4 network, and a sent-by spelled as IPv6 needs no `received`."""
    play = Play(TRUSTED)
    (sent,) = play.receive(message("ipv4-mapped-ipv6"), ("::ffff:192.0.2.10", 19823))
    assert sent.to == SOFTSWITCH
    assert "received" not in sent.all("Via")[1]
