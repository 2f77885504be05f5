"""Requests as the tests' callers send them."""

from __future__ import annotations

from collections.abc import Sequence


def request(
    method: str = "INVITE",
    *,
    caller: str = "+8613800138000",
    callee: str = "+862088886666",
    uri: str | None = None,
    branch: str = "z9hG4bK-1",
    call_id: str = "call-1@carrier",
    cseq: int = 1,
    from_tag: str = "from1",
    to_tag: str = "",
    headers: Sequence[str] = (),
    body: bytes = b"",
    sent_by: str = "192.0.2.10:5060",
    transport: str = "UDP",
    max_forwards: int = 70,
) -> bytes:
    """A request as the carrier sends it."""
    to = f"<sip:{callee}@203.0.113.5>" + (f";tag={to_tag}" if to_tag else "")
    lines = [
        f"{method} {uri or f'sip:{callee}@203.0.113.5:5060'} SIP/2.0",
        f"Via: SIP/2.0/{transport} {sent_by};branch={branch};rport",
        f"Max-Forwards: {max_forwards}",
        f"From: <sip:{caller}@192.0.2.10>;tag={from_tag}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
