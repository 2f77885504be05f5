"""Numbers as one word (`number_t`): kind in the top 4 bits, below it the decimal of "1" + digits."""

SHORT_PREFIX: int
"""In the word of a prefix: of short codes, so that +86* does not hold CN:95588."""

def number_text(number: int) -> str:
    """Canonical text: "+8613800138000", "CN:95588", "+86138001380*", "anonymous", "invalid", "" for nothing."""

def kind_of(number: int) -> int: ...
def block_of(number: int, dropped: int) -> int:
    """The block of 10 ** dropped numbers around a number, 0 if it has too few digits."""

def is_emergency(number: int) -> bool:
    """Whether this is the short code of an emergency service of any country."""

def parse_entry(text: str) -> tuple[int, bool]:
    """(number, exact) of a list entry: "+8613800138000", "+86170*", "CN:95588", "CN:955*".

    Raises ValueError for anything else.
    """
