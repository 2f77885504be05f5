"""Settings for all tests: how hypothesis searches."""

from __future__ import annotations

from hypothesis import settings

# A machine that does something else meanwhile is no failure, hence no deadline for a single example.
settings.register_profile("callsieve", deadline=None, print_blob=True)
settings.load_profile("callsieve")
