"""Benchmark of the parser: one line for each kind of message, as long as they are in the field."""

from __future__ import annotations

from tests.bench._parse_clock import parse_ns

ROUNDS = 20_000
VIA = "Via: SIP/2.0/UDP 192.0.2.{}:5060;branch=z9hG4bK-524287-1---{:x};rport\r\n"
PARTIES = (
    'From: "Zhang Wei" <sip:+8613800138000@carrier.example.net;user=phone>;tag=9fxced76sl{0}\r\n'
    "To: <sip:+862088886666@gateway.example.net;user=phone>{1}\r\n"
    "Call-ID: 3848276298220188511{0}@carrier.example.net\r\n"
)
ROUTE = "Record-Route: <sip:203.0.113.5:5060;lr;cs=00a67956b74126d66a>\r\n"
MEDIA = (
    "v=0\r\no=- 20518 0 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    "m=audio 54609 RTP/AVP 8 0 18 101\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:18 G729/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-15\r\na=sendrecv\r\na=ptime:20\r\n"
)


def invite(number: int) -> bytes:
    head = (
        "INVITE sip:+862088886666@203.0.113.5:5060;user=phone SIP/2.0\r\n"
        + VIA.format(10, number)
        + "Max-Forwards: 70\r\nContact: <sip:+8613800138000@192.0.2.10:5060;transport=udp>\r\n"
        + PARTIES.format(number, "")
        + "CSeq: 1 INVITE\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\r\n"
        + "Supported: 100rel, timer, replaces\r\nUser-Agent: gateway 7.2\r\n"
        + "P-Asserted-Identity: <sip:+8613800138000@carrier.example.net>\r\nContent-Type: application/sdp\r\n"
        + f"Content-Length: {len(MEDIA)}\r\n\r\n{MEDIA}"
    )
    return head.encode()


def ringing(number: int) -> bytes:
    head = (
        "SIP/2.0 180 Ringing\r\n"
        + VIA.format(5, number)
        + VIA.format(10, number)
        + ROUTE
        + PARTIES.format(number, ";tag=as58f4201b")
        + "CSeq: 1 INVITE\r\nContact: <sip:softswitch@198.51.100.20:5060>\r\nContent-Length: 0\r\n\r\n"
    )
    return head.encode()


def main() -> None:
    for name, make in (("INVITE with SDP", invite), ("180", ringing)):
        messages = [make(number) for number in range(16)]
        parse_ns(messages, ROUNDS // 10)
        taken = sorted(parse_ns(messages, ROUNDS))
        what = f"parse, {name}, {len(messages[0])} bytes"
        print(f"{what:<44} p50 {taken[ROUNDS // 2]:>6} ns   p99 {taken[ROUNDS * 99 // 100]:>6} ns")


if __name__ == "__main__":
    main()
