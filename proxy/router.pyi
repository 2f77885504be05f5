"""Where requests go."""

from typing import NamedTuple

class ListenerAddress(NamedTuple):
    """Where a listener is bound (numeric), and what Via and Record-Route say of it. transport: as in a URI."""

    ip: str
    port: int
    advertised_host: str
    advertised_port: int
    transport: str = ...
