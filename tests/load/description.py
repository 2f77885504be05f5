"""The session description that the endpoints offer and answer with: plain audio, as a carrier's gateway sends it."""


def session_description(address: str) -> str:
    """SDP (RFC 8866) for an endpoint at host:port; no media is ever sent to the port it names."""
    host = address.rpartition(":")[0].strip("[]")
    family = "IP6" if ":" in host else "IP4"
    lines = (
        "v=0",
        f"o=- 3972456123 3972456123 IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        "m=audio 40000 RTP/AVP 8 0 18 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:18 G729/8000",
        "a=fmtp:18 annexb=no",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=maxptime:40",
        "a=sendrecv",
    )
    return "".join(f"{line}\r\n" for line in lines)
