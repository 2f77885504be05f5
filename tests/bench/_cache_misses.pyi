"""What the memory itself costs: random cache lines of a table."""

from engine._table import Table

def dependent_ns(table: Table, count: int) -> float:
    """Nanoseconds of one random line when the next one is known only after it."""

def overlapped_ns(table: Table, count: int) -> float:
    """Nanoseconds of one random line when 64 are fetched at a time."""
