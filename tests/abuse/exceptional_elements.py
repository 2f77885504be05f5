"""Invalid INVITEs in the manner of the PROTOS c07-sip suite: each field of a message, one at a time, takes each of a
list of exceptional elements.

The suite itself (University of Oulu, 2003, 4,527 cases) is not to be had any more. This generator is our own: its
classes of elements are those that the suite's description names (overflows, separators, line ends, integers at their
limits, format strings, UTF-8 that is none, addresses, URIs, control bytes), its bytes are not the suite's.
"""

from __future__ import annotations

from collections.abc import Iterator

# One message with a name for everything that a parser reads a value from.
TEMPLATE = b"""\
{method} {scheme}:{user}@{host}:{port};{parameter}={value} {version}
Via: {via-protocol}/{via-version}/{via-transport} {sent-by}:{sent-by-port};branch={branch};rport
Max-Forwards: {max-forwards}
From: {from-name} <{from-scheme}:{from-user}@{from-host}>;tag={from-tag}
To: {to-name} <sip:{to-user}@{to-host}>{to-parameters}
Call-ID: {call-id}@{call-id-host}
CSeq: {cseq} {cseq-method}
Contact: {contact-name} <sip:{contact-user}@{contact-host}>;expires={expires}
{header-name}: {header-value}
Route: {route}
P-Asserted-Identity: {asserted}
Content-Type: {content-type}
Content-Length: {content-length}

v={sdp}
o={origin}
s=-
c={connection}
t=0 0
m={media}
""".replace(b"\n", b"\r\n")

GOOD = {
    b"method": b"INVITE",
    b"scheme": b"sip",
    b"user": b"+862088886666",
    b"host": b"127.0.0.1",
    b"port": b"5060",
    b"parameter": b"user",
    b"value": b"phone",
    b"version": b"SIP/2.0",
    b"via-protocol": b"SIP",
    b"via-version": b"2.0",
    b"via-transport": b"UDP",
    b"sent-by": b"127.0.0.1",
    b"sent-by-port": b"5060",
    b"branch": b"z9hG4bK-case",
    b"max-forwards": b"70",
    b"from-name": b'"Caller"',
    b"from-scheme": b"sip",
    b"from-user": b"+8613800138000",
    b"from-host": b"127.0.0.1",
    b"from-tag": b"from1",
    b"to-name": b"Callee",
    b"to-user": b"+862088886666",
    b"to-host": b"127.0.0.1",
    b"to-parameters": b"",
    b"call-id": b"case",
    b"call-id-host": b"carrier",
    b"cseq": b"1",
    b"cseq-method": b"INVITE",
    b"contact-name": b"",
    b"contact-user": b"caller",
    b"contact-host": b"127.0.0.1",
    b"expires": b"60",
    b"header-name": b"Subject",
    b"header-value": b"a call",
    b"route": b"<sip:127.0.0.1;lr>",
    b"asserted": b"<tel:+8613800138000>",
    b"content-type": b"application/sdp",
    b"sdp": b"0",
    b"origin": b"- 1 1 IN IP4 127.0.0.1",
    b"connection": b"IN IP4 127.0.0.1",
    b"media": b"audio 6000 RTP/AVP 8",
}

LENGTHS = (1, 15, 16, 17, 127, 128, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 16_384, 32_768, 60_000)
SEPARATORS = (b" ", b"\t", b":", b";", b"/", b",", b"<", b">", b'"', b"\\", b"@", b"=", b"%", b"?", b"&", b"[", b"]")
LINE_ENDS = (b"\r", b"\n", b"\r\n", b"\r\n ", b"\n\n", b"\r\n\r\n", b"\0")
INTEGERS = (
    b"-1", b"+1", b"00000000000000000001", b"255", b"256", b"65535", b"65536", b"2147483647", b"2147483648",
    b"4294967295", b"4294967296", b"4294967328", b"18446744073709551616", b"-2147483648", b"0x10", b"1e9", b"1.5",
)  # fmt: skip
FORMATS = (b"%s%s%s%s", b"%n%n%n%n", b"%.2147483647d", b"%", b"%0", b"%00", b"%zz", b"%0d%0aVia:%20x")
NOT_UTF8 = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xef\xbb\xbf", b"\x80", b"\xe2\x82")
ADDRESSES = (b"0.0.0.0", b"255.255.255.255", b"999.1.1.1", b"1.2.3", b"[::]", b"[::1", b"[1:::2]", b"[]", b"::1")
URIS = (b"sip:", b"sip:@", b"sip:a@b?X=y", b"tel:", b"<<sip:a@b>>", b"<>", b"*", b'"open <sip:a@b>', b"a, b")
CONTROLS = (b"\x1b[2J", b"\x7f", b"\x01", b"")

ELEMENTS = (
    *(b"a" * length for length in LENGTHS),
    *(separator * length for separator in SEPARATORS for length in (1, 200)),
    *LINE_ENDS,
    *INTEGERS,
    *FORMATS,
    *NOT_UTF8,
    *ADDRESSES,
    *URIS,
    *CONTROLS,
)  # fmt: skip


def cases() -> Iterator[bytes]:
    """Every field with every element, 4,704 in all; Content-Length is true unless it is the field."""
    for field in (*GOOD, b"content-length"):
        for element in ELEMENTS:
            yield case(field, element)


def case(field: bytes, element: bytes) -> bytes:
    data = TEMPLATE
    for name, value in (GOOD | {field: element}).items():
        data = data.replace(b"{" + name + b"}", value)
    body = data.split(b"\r\n\r\n", 1)[1] if field != b"content-length" else b""
    return data.replace(b"{content-length}", str(len(body)).encode())
