"""Coverage-guided fuzzing of the shipped modules: `python -m tests.fuzz TARGET [libFuzzer options]`."""
