"""Times the parser from native code."""

from array import array

def parse_ns(messages: list[bytes], rounds: int) -> array[int]:
    """Nanoseconds of a parse, the mean of each round of 16; messages must parse."""
