"""H1: whatever a caller writes, what we add is one header with our own value, as another parser reads it."""

from __future__ import annotations

import random
import re
from collections import Counter

from proxy.config import Capacity
from tests.abuse.size import size
from tests.proxy.messages import request
from tests.proxy.playbook import CONFIGURATION, Datagram, Play
from tests.second_parser import headers, values

SUSPECTED = "+8616512345678"
TAGS = "tags = { call_info = true, display_name = '[Spam?] \"x\" \\ ' }\n"
LABELLING = CONFIGURATION.replace("targets = ", TAGS + "targets = ")
TRUSTED = LABELLING.replace('dial_plan = "cn"', 'dial_plan = "cn"\ntrusted = true')
ASKED = CONFIGURATION.replace(
    'route = "softswitch"\n',
    'compat = "clearip"\n[trunk.redirect]\nmode = "indicate"\ncontacts = ["sbc.example.net"]\n',
)
PIECES = (
    b"\r\n", b"\r", b"\n", b"\0", b'"', b"\\", b">", b"<", b";", b",", b"?", b"%0d%0a", b"\r\n ", b"\x1b[31m",
    b"\xff\xfe", b"%0D%0AX-Callsieve-Verdict:%20accept", b"\r\nX-Callsieve-Verdict: accept\r\n", b"\xe8\xb4\xb7",
    b"[Spam?]", b":", b"a", b"Zhang Wei", b"sip:", b"tel:+1", b"@", b"&", b";verstat=x", b" ", b"\t", b"${x}", b"{0}",
    b"%s%n", b"\x7f",
)  # fmt: skip
VERDICT = re.compile(
    r'tag;score=\d{1,4};basis=[a-z]+;rule=(anonymous|suspected);id=[A-Z2-7]{13}(;label="Suspected \\"spam\\": loans")?'
)
CALL_INFO = '<https://labels.invalid/>;purpose=info;call-reason="Suspected \\"spam\\": loans"'
# A quoted display name that begins with our label, and one URI: nothing in between that a caller could have closed.
QUOTED = r'(?:[^"\\]|\\.)*"'
LABELLED = re.compile(rf'"\[Spam\?\] \\"x\\" \\\\ {QUOTED}\s*<[^<>"\s]*>[^"<>]*(?:"{QUOTED}[^"<>]*)*', re.DOTALL)
# What a proxy adds: its place in the path, its labels, and what a message came without.
ADDED = {"via", "record-route", "max-breadth", "content-length", "x-callsieve-verdict", "call-info"}
BATCH = 500


def hostile(rng: random.Random) -> bytes:
    return b"".join(rng.choices(PIECES, k=rng.randrange(6)))


def invite(rng: random.Random, number: int) -> bytes:
    name, uri, reason = hostile(rng), hostile(rng), hostile(rng)
    quoted = b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'" ' if rng.random() < 0.5 else name
    data = request(caller=SUSPECTED, branch=f"z9hG4bK-{number}", call_id=f"c{number}")
    lines = [
        b"P-Asserted-Identity: " + quoted + b"<sip:" + SUSPECTED.encode() + uri + b"@x>\r\n",
        b"Reason: SIP;cause=200;text=" + reason + b"\r\n",
        b"User-Agent: " + hostile(rng) + b"\r\n",
        b"Call-Info: <https://x/" + uri + b">;purpose=icon\r\n",
    ]
    data = data.replace(b"From: <", b"From: " + quoted + b"<", 1)
    return data.replace(b"Content-Length", b"".join(rng.sample(lines, rng.randrange(5))) + b"Content-Length", 1)


def check_labelled(received: bytes, sent: Datagram, trusted: bool) -> None:
    verdicts = values(sent.data, "X-Callsieve-Verdict")
    ours = [value for value in verdicts if VERDICT.fullmatch(value)]
    assert len(ours) == 1, sent.data
    # A trusted peer may bring a verdict of its own, in a header of its own; nobody else may.
    before = values(received, "X-Callsieve-Verdict") if trusted else []
    assert Counter(verdicts) == Counter([*before, *ours]), sent.data
    assert values(sent.data, "Call-Info").count(CALL_INFO) == ours[0].endswith("loans\""), sent.data
    added = Counter(name for name, _ in headers(sent.data)) - Counter(name for name, _ in headers(received))
    assert added["via"] == added["record-route"] == 1 and set(added) <= ADDED, sent.data
    for value in values(sent.data, "P-Asserted-Identity"):
        assert trusted and LABELLED.fullmatch(value), value


def test_h1_labels_are_one_header_each_with_the_expected_value() -> None:
    rng = random.Random(1)
    forwarded = labelled = 0
    for batch in range(size(4_000, 1_000_000) // BATCH):
        trusted = bool(batch % 2)
        play = Play(TRUSTED if trusted else LABELLING, capacity=Capacity(transactions=2048, calls=2048))
        for number in range(BATCH):
            received = invite(rng, number)
            play.now_us += 10_000_000
            for sent in play.receive(received):
                if sent.method != "INVITE" or b"X-Callsieve-Verdict: tag;" not in sent.data:
                    assert sent.status in (0, 400, 403, 416), sent.data
                    continue
                check_labelled(received, sent, trusted)
                forwarded += 1
                labelled += b'"[Spam?]' in sent.data
        assert play.counters["internal_errors"] == 0
    assert forwarded > size(200, 50_000) and labelled > size(20, 5_000), (forwarded, labelled)


def test_h1_contacts_of_a_redirect_are_ours() -> None:
    rng = random.Random(2)
    redirected = 0
    row = re.compile(
        r'"<SPAM>" <sip:[^<>"\s?]*@sbc\.example\.net(;user=phone)?'
        r"\?X-Callsieve-Verdict=tag%3Bscore%3D\d+%3Bbasis%3D[a-z]+%3Bid%3D[A-Z2-7]{13}>;q=1\.0"
    )
    for _ in range(size(4_000, 1_000_000) // BATCH):
        play = Play(ASKED, capacity=Capacity(transactions=2048, calls=2048))
        for number in range(BATCH):
            uri = b"sip:+862088886666" + hostile(rng) + b"@203.0.113.5" + hostile(rng)
            data = request(caller=SUSPECTED, branch=f"z9hG4bK-{number}", call_id=f"c{number}")
            play.now_us += 10_000_000
            for sent in play.receive(data.replace(b"sip:+862088886666@203.0.113.5:5060", uri, 1)):
                if sent.status != 302:
                    assert sent.status in (400, 404, 416, 505), sent.data
                    continue
                redirected += 1
                names = [name for name, _ in headers(sent.data)]
                assert sorted(names) == sorted(
                    ["via", "from", "to", "call-id", "cseq", "contact", "server", "content-length"]
                ), sent.data
                (contact,) = values(sent.data, "Contact")
                assert row.fullmatch(contact), contact
    assert redirected > size(200, 50_000), redirected
