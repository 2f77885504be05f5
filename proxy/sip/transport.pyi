"""Transports by name."""

# As configuration, URIs and, in capitals, Via have them; the index is what the call path carries.
NAMES: tuple[str, ...]
