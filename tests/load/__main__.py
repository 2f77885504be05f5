"""`python -m tests.load`: the same as `callsieve load`."""

from tests.load.cli import main

raise SystemExit(main())
