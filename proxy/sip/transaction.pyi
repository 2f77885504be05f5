"""SIP transactions: four state machines as tables."""

MACHINE_NAMES: tuple[str, ...]
STATE_NAMES: tuple[str, ...]
INPUT_NAMES: tuple[str, ...]

def transition(machine: str, state: str, event: str) -> tuple[str, set[str]]:
    """The row of the table for these names: (next state, names of the actions)."""
