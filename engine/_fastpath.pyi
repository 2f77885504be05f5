"""FastPath: the order of decision, compiled."""

from engine._image import PolicyImage
from engine.tables import Tables

class FastPath:
    """Decides on call attempts by one policy image, on the tables of a node; `engine.Screener` is how Python calls it.

    node_key: 16 secret bytes for redress ids and table keys, the same in all processes of a node. One thread at a time.
    """

    image: PolicyImage
    tables: Tables

    def __init__(self, image: PolicyImage, tables: Tables, node_key: bytes) -> None: ...
