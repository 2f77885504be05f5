def read_via_overload(via: bytes) -> tuple[bool, int, int, int, set[str]] | None:
    """(offered, value, validity_ms, sequence, algorithms) of a Via value (RFC 7339 section 4), None if unreadable.

    -1 stands for an absent value, 0 for an absent sequence; for tests.
    """

def without_overload(values: bytes) -> bytes:
    """Via values without their overload control parameters; for tests."""
