"""The words under which workers count senders and shapes of requests, for people who ask what has been counted."""

def source_subject(secret: bytes, address: str) -> int:
    """Of limits by source. secret: 16 bytes, as the workers screen with. ValueError for what is no address."""

def request_subject(secret: bytes, request: bytes) -> int:
    """Of limits by fingerprint. request: a SIP request, whole or only its head. ValueError for what is none."""
