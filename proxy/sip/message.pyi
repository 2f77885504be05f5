"""The head of a SIP message, parsed in one pass (RFC 3261 sections 7, 25.1)."""

class SipMessage:
    """A parsed message, for tests and tools. Texts are as written; bytes that are no UTF-8 come as surrogates.

    status: 0 = well formed, 400-599 = what to answer, -1 = not SIP at all. fault: what is wrong, "" = nothing.
    Properties of what could not be read are empty.
    """

    status: int
    fault: str
    def __init__(self, data: bytes) -> None: ...
    @property
    def is_request(self) -> bool: ...
    @property
    def method(self) -> str:
        """Of the start line; in a response of CSeq."""
    @property
    def response_status(self) -> int: ...
    @property
    def request_uri(self) -> str: ...
    @property
    def uri_parts(self) -> tuple[str, str, str, int, str]:
        """Scheme, user, host, port (-1 = none) and parameters of the Request-URI; "" for a scheme not understood."""
    @property
    def call_id(self) -> str: ...
    @property
    def cseq(self) -> int: ...
    @property
    def max_forwards(self) -> int:
        """-1 = absent, or above 255."""
    @property
    def from_display(self) -> str:
        """Display name with its quotes."""
    @property
    def from_uri(self) -> str: ...
    @property
    def from_tag(self) -> str: ...
    @property
    def to_uri(self) -> str: ...
    @property
    def to_tag(self) -> str: ...
    @property
    def branch(self) -> str: ...
    @property
    def transport(self) -> str:
        """Of the top Via."""
    @property
    def sent_by(self) -> tuple[str, int]:
        """Host and port (-1 = none) of the top Via."""
    @property
    def wants_rport(self) -> bool:
        """The top Via carries `rport` without a value (RFC 3581)."""
    @property
    def wants_alias(self) -> bool:
        """The top Via carries `alias` (RFC 5923 section 6)."""
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Names as written and raw values, folds included."""
