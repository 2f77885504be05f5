"""Transactions through the core: CANCEL, failover, the timers, responses that come late, twice or not at all."""

from __future__ import annotations

from proxy.config import Capacity
from proxy.outbox import Outbox
from tests.proxy.messages import request
from tests.proxy.playbook import CARRIER, CONFIGURATION, SOFTSWITCH, SPARE, Datagram, Play, response


def forwarded(play: Play) -> Datagram:
    (invite,) = play.receive(request())
    return invite


# CANCEL (RFC 3261 sections 9, 16.10)


def test_cancel_waits_for_a_provisional_response() -> None:
    play = Play()
    invite = forwarded(play)
    (ok,) = play.receive(request("CANCEL", headers=["Reason: SIP;cause=200"]))
    assert (ok.status, ok.one("CSeq")) == (200, "1 CANCEL")
    sent = play.receive(response(invite, 180), SOFTSWITCH)
    assert [(d.method, d.status) for d in sent] == [("CANCEL", 0), ("", 180)]
    cancel = sent[0]
    assert (cancel.uri, cancel.branch, cancel.to) == (invite.uri, invite.branch, SOFTSWITCH)
    assert cancel.one("CSeq") == "1 CANCEL"
    assert "tag" not in cancel.one("To")


def test_cancel_after_ringing_brings_a_487_up_and_an_ack_down() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    ok, cancel = play.receive(request("CANCEL", headers=["Reason: SIP;cause=600"]))
    assert (ok.status, cancel.method, cancel.one("Reason")) == (200, "CANCEL", "SIP;cause=600")
    assert play.receive(response(cancel, 200), SOFTSWITCH) == []
    sent = play.receive(response(invite, 487, "Request Terminated"), SOFTSWITCH)
    assert {(d.method, d.status, d.to) for d in sent} == {("ACK", 0, SOFTSWITCH), ("", 487, CARRIER)}
    assert [event.status for event in play.events()] == [0, 487]


def test_cancel_is_repeated_until_it_is_answered() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    cancel = play.receive(request("CANCEL"))[1]
    assert [d.data for d in play.wait(1.6)] == [cancel.data, cancel.data]
    play.receive(response(cancel, 200), SOFTSWITCH)
    assert play.wait(10) == []


def test_repeated_cancel_gets_the_same_200_and_no_second_cancel_goes_down() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    first = play.receive(request("CANCEL"))[0]
    (again,) = play.receive(request("CANCEL"))
    assert again.data == first.data


def test_cancel_after_the_final_response_changes_nothing() -> None:
    play = Play()
    play.receive(response(forwarded(play), 200), SOFTSWITCH)
    (ok,) = play.receive(request("CANCEL"))
    assert ok.status == 200


def test_cancel_without_a_match_is_forwarded_statelessly() -> None:
    play = Play()
    (cancel,) = play.receive(request("CANCEL", branch="z9hG4bK-unknown"))
    (again,) = play.receive(request("CANCEL", branch="z9hG4bK-unknown"))
    assert (cancel.method, cancel.to, again.branch) == ("CANCEL", SOFTSWITCH, cancel.branch)


def test_cancelled_call_that_never_answers_ends_with_487() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    play.receive(request("CANCEL"))
    finals = [d for d in play.wait(33) if d.status >= 200]
    assert {d.status for d in finals} == {487}


# Final responses (RFC 3261 section 16.7)


def test_failure_is_acknowledged_hop_by_hop_and_passed_up() -> None:
    play = Play()
    invite = forwarded(play)
    up, ack = play.receive(response(invite, 486, "Busy Here"), SOFTSWITCH)
    assert (up.status, up.to) == (486, CARRIER)
    assert (ack.method, ack.branch, ack.to, ack.tag("To")) == ("ACK", invite.branch, SOFTSWITCH, "to1")
    (again,) = play.receive(response(invite, 486, "Busy Here"), SOFTSWITCH)
    assert again.data == ack.data
    assert play.receive(request("ACK", to_tag="to1")) == []
    assert [event.status for event in play.events()] == [0, 486]


def test_downstream_603_plus_passes_unchanged() -> None:
    play = Play()
    reason = 'Reason: SIP;cause=603;text="v=analytics1;url=https://elsewhere.example";location=LN'
    data = response(forwarded(play), 603, "Network Blocked", headers=[reason])
    up = play.receive(data, SOFTSWITCH)[0]
    assert up.first_line == "SIP/2.0 603 Network Blocked"
    assert f"Reason: {up.one('Reason')}" == reason


def test_refusals_of_callees_count_against_the_caller() -> None:
    play = Play()
    for number in range(20):
        branch = {"branch": f"z9hG4bK-{number}", "call_id": f"c{number}", "callee": f"+86208888{number:04}"}
        play.now_us += 60_000_000
        sent = play.receive(request(**branch))  # type: ignore[arg-type]
        if sent[0].method != "INVITE":
            break
        play.receive(response(sent[0], 607, "Unwanted"), SOFTSWITCH)
    assert sent[0].first_line == "SIP/2.0 603 Network Blocked"


def test_lone_503_becomes_500() -> None:
    play = Play()
    first = forwarded(play)
    second = play.receive(response(first, 503), SOFTSWITCH)
    invite = next(d for d in second if d.method == "INVITE")
    sent = play.receive(response(invite, 503), SPARE)
    assert [d.status for d in sent if d.to == CARRIER] == [500]
    assert {d.method for d in sent if d.to == SPARE} == {"ACK"}


def test_every_2xx_passes_for_32_s_and_none_after() -> None:
    play = Play()
    invite = forwarded(play)
    data = response(invite, 200)
    assert len(play.receive(data, SOFTSWITCH)) == 1
    play.wait(31)
    assert len(play.receive(data, SOFTSWITCH)) == 1
    assert play.receive(request()) == []  # timer L absorbs the INVITE
    play.wait(2)
    assert play.receive(data, SOFTSWITCH) == []
    assert play.counters["answered"] == 1


def test_stray_responses_are_dropped() -> None:
    play = Play()
    invite = forwarded(play)
    good = response(invite, 200)
    for stray in (
        good.replace(invite.branch.encode(), b"z9hG4bKnobody"),
        good.replace(b"203.0.113.5:5060;rport", b"203.0.113.77:5060;rport"),
        good.replace(b"CSeq: 1 INVITE", b"CSeq: 1 OPTIONS"),
        good.replace(invite.branch.encode(), invite.branch[:-1].encode() + b"0" if invite.branch[-1] != "0" else b"1"),
    ):
        assert play.receive(stray, SOFTSWITCH) == []
    assert play.counters["stray_responses"] == 4


# Retransmission and time-outs (RFC 3261 section 17.1.1)


def test_invite_is_repeated_by_timer_a_and_given_up_by_timer_b() -> None:
    play = Play(_single())
    invite = forwarded(play)
    sent = play.wait(33)
    repeats = [d for d in sent if d.data == invite.data]
    assert len(repeats) == 6  # 7 sendings in 32 s
    finals = [d for d in sent if d.status >= 200]
    assert finals[0].status == 408
    assert [event.status for event in play.events()] == [0, 408]


def test_ringing_call_is_cancelled_by_timer_c() -> None:
    play = Play()
    play.receive(response(forwarded(play), 180), SOFTSWITCH)
    sent = play.wait(230)
    assert sent[0].method == "CANCEL"
    assert {d.status for d in sent if d.to == CARRIER} == {408}


def test_timer_c_starts_again_with_every_provisional_but_100() -> None:
    play = Play()
    invite = forwarded(play)
    play.receive(response(invite, 180), SOFTSWITCH)
    for _ in range(3):
        assert play.wait(120) == []
        play.receive(response(invite, 183), SOFTSWITCH)
    play.wait(120)
    play.receive(response(invite, 100), SOFTSWITCH)
    assert [d.method for d in play.wait(70)][:1] == ["CANCEL"]


# Failover (RFC 3263 section 4.3)


def test_silent_target_is_left_for_the_next_within_the_same_transaction() -> None:
    play = Play()
    first = forwarded(play)
    sent = [d for d in play.wait(4.1) if d.method == "INVITE" and d.to == SPARE]
    assert len(sent) == 1
    assert sent[0].branch != first.branch
    assert sent[0].uri == "sip:+862088886666@198.51.100.21"
    assert sent[0].data.split(b"\r\n", 2)[2] == first.data.split(b"\r\n", 2)[2]
    (ok,) = play.receive(response(sent[0], 200), SPARE)
    assert (ok.status, ok.to) == (200, CARRIER)
    assert play.counters["screened"] == 1


def test_target_given_up_that_rings_late_is_cancelled() -> None:
    play = Play()
    first = forwarded(play)
    play.wait(4.1)
    (cancel,) = play.receive(response(first, 180), SOFTSWITCH)
    assert (cancel.method, cancel.to) == ("CANCEL", SOFTSWITCH)


def test_call_that_rings_at_a_target_gone_down_rings_at_the_next() -> None:
    play = Play()
    first = forwarded(play)
    play.receive(response(first, 180), SOFTSWITCH)
    assert play.leave_target(0, 0) == 1
    sent = play.sent()
    assert {(d.method, d.to) for d in sent} == {("INVITE", SPARE), ("CANCEL", SOFTSWITCH)}
    assert play.leave_target(0, 0) == 0, "once"
    (second,) = (d for d in sent if d.method == "INVITE")
    (ack,) = play.receive(response(first, 487), SOFTSWITCH)
    assert (ack.method, ack.to) == ("ACK", SOFTSWITCH)
    play.receive(response(second, 180), SPARE)
    (ok,) = play.receive(response(second, 200), SPARE)
    assert (ok.status, ok.to) == (200, CARRIER)


def test_call_that_rings_at_the_last_target_rings_on() -> None:
    play = Play()
    first = forwarded(play)
    play.receive(response(first, 180), SOFTSWITCH)
    play.leave_target(0, 0)
    second = next(d for d in play.sent() if d.method == "INVITE")
    play.receive(response(second, 180), SPARE)
    assert play.leave_target(0, 1) == 0
    assert play.sent() == []
    (ok,) = play.receive(response(second, 200), SPARE)
    assert ok.status == 200


def test_leaving_a_target_looks_at_so_many_transactions_a_step() -> None:
    play = Play(capacity=Capacity(transactions=10_000, calls=64))
    play.receive(response(forwarded(play), 180), SOFTSWITCH)
    assert play.core.leave_target(0, 0, 1, play.now_us, play.out) == (1, 4097)
    assert play.core.leave_target(0, 0, 4097, play.now_us, play.out) == (0, 8193)
    assert play.core.leave_target(0, 0, 8193, play.now_us, play.out) == (0, 0)


def test_leaving_a_target_goes_on_when_there_is_room_to_send() -> None:
    play = Play()
    for number in range(20):
        fields = {"branch": f"z9hG4bK-{number}", "call_id": f"call-{number}", "caller": f"+86138000{number:05}"}
        (invite,) = play.receive(request(**fields))  # type: ignore[arg-type]
        play.receive(response(invite, 180), SOFTSWITCH)
    play.out = Outbox(limit=16)
    position, calls, sent = 1, [], 0
    while position:
        left, position = play.core.leave_target(0, 0, position, play.now_us, play.out)
        calls.append(left)
        sent += len(play.sent())
    assert (sum(calls), sent, play.out.overflows) == (20, 40, 0)  # an INVITE and a CANCEL each
    assert len(calls) > 4


def test_calls_answered_or_of_another_target_stay_where_they_are() -> None:
    play = Play()
    first = forwarded(play)
    play.receive(response(first, 180), SOFTSWITCH)
    assert play.leave_target(0, 1) == 0
    play.receive(response(first, 200), SOFTSWITCH)
    assert play.leave_target(0, 0) == 0
    assert play.sent() == []


def test_503_moves_the_call_to_the_next_target_at_once() -> None:
    play = Play()
    sent = play.receive(response(forwarded(play), 503), SOFTSWITCH)
    assert {(d.method, d.to) for d in sent} == {("INVITE", SPARE), ("ACK", SOFTSWITCH)}


def test_target_that_does_not_answer_probes_comes_last() -> None:
    play = Play()
    for _ in range(2):
        probe = play.core.probe(0, 0, play.now_us, play.out)
        assert play.core.probe_timeout(probe)
    (options, *_) = play.sent()
    assert (options.method, options.to) == ("OPTIONS", SOFTSWITCH)
    (invite,) = play.receive(request())
    assert invite.to == SPARE
    probe = play.core.probe(0, 0, play.now_us, play.out)
    (options,) = play.sent()
    play.receive(response(options, 404), SOFTSWITCH)  # any answer is a sign of life
    assert not play.core.probe_timeout(probe)
    assert play.core.target_health() == [(0, 0, True), (0, 1, True)]


def test_load_is_shared_by_weight() -> None:
    text = _single('[{ address = "198.51.100.20", weight = 3 }, { address = "198.51.100.21", weight = 1 }]')
    play = Play(text)
    to = [
        play.receive(request(caller=f"+86138001380{n:02}", branch=f"z9hG4bK-{n}", call_id=f"c{n}"))[0].to
        for n in range(40)
    ]
    assert (to.count(SOFTSWITCH), to.count(SPARE)) == (30, 10)


def test_reload_between_two_targets_does_not_send_the_call_elsewhere() -> None:
    play = Play()
    invite = forwarded(play)
    play.configure(CONFIGURATION.replace("198.51.100.21", "198.51.100.99"))
    sent = play.receive(response(invite, 503), SOFTSWITCH)
    assert [(d.method, d.status) for d in sent] == [("", 500), ("ACK", 0)]


# Non-INVITE (RFC 3261 section 17.2.2, RFC 4320)


def test_non_invite_is_repeated_and_its_answer_kept_for_repeats() -> None:
    play = Play()
    bye = request("BYE", uri="sip:gw@198.51.100.20", to_tag="to1")
    (sent,) = play.receive(bye)
    assert play.receive(bye) == []
    assert [d.data for d in play.wait(1.6)] == [sent.data, sent.data]  # timer E
    (ok,) = play.receive(response(sent, 200), SOFTSWITCH)
    (again,) = play.receive(bye)
    assert again.data == ok.data
    play.wait(33)
    assert play.core.open_transactions == 0


def test_non_invite_gets_100_at_3500_ms_and_never_a_408() -> None:
    play = Play()
    (sent,) = play.receive(request("BYE", uri="sip:gw@198.51.100.20", to_tag="to1"))
    assert [d for d in play.wait(3.4) if d.status] == []
    assert [d.status for d in play.wait(0.2) if d.status] == [100]
    assert [d for d in play.wait(40) if d.status] == []
    assert play.core.open_transactions == 0
    assert sent.method == "BYE"


# Room


def test_full_store_refuses_with_503_without_retry_after_and_recovers() -> None:
    play = Play(capacity=Capacity(transactions=64, calls=64))
    refused = []
    for number in range(80):
        caller = f"+8613800{number:06}"
        sent = play.receive(request(caller=caller, branch=f"z9hG4bK-{number}", call_id=f"c{number}"))
        refused += [d for d in sent if d.status == 503]
    assert len(refused) == 24  # an eighth of the room is not for new calls
    assert refused[0].all("Retry-After") == []
    play.wait(300)
    assert play.core.open_transactions == 0
    assert play.core.open_calls == 0


def _single(targets: str = '[{ address = "198.51.100.20" }]') -> str:
    before, after = CONFIGURATION.split("targets = ", 1)
    return f"{before}targets = {targets}\n" + after.split("\n", 1)[1]
