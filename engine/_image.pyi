"""The policy image: assembled, written whole, opened by mapping it into memory."""

import struct
from collections.abc import Sequence
from os import PathLike
from typing import final

from engine.rules import DialPlan

LAYOUT: int
SECTIONS: int
SETTINGS_ROW: struct.Struct
TRUNK_ROW: struct.Struct
RULE_ROW: struct.Struct
RECORD_ROW: struct.Struct
HIT_ROW: struct.Struct
ORIGIN_ROW: struct.Struct
OFFSET_ROW: struct.Struct
LIMIT_ROW: struct.Struct
ZONE_ROW: struct.Struct
HOURS_ROW: struct.Struct
HOLIDAY_ROW: struct.Struct

class ImageError(ValueError):
    """The file is no policy image that this build can use; the text says why."""

@final
class PolicyImage:
    """A compiled policy, immutable. Indices of rules, labels, trunks and diverts are those that verdicts carry."""

    generation: int
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    labels: tuple[str, ...]
    trunks: tuple[str, ...]
    diverts: tuple[str, ...]

    @classmethod
    def open(cls, path: str | PathLike[str]) -> PolicyImage:
        """Maps the file at `path`. ImageError if it is torn or of another layout, OSError if it cannot be read."""
    def write(self, path: str | PathLike[str]) -> None:
        """Writes the image to `path` whole or not at all."""
    def label_text(self, index: int) -> str: ...
    def dial_plan(self, trunk: int) -> DialPlan: ...
    def __len__(self) -> int:
        """Bytes."""

def assemble(sections: Sequence[bytes], generation: int) -> PolicyImage: ...
