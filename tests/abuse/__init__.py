"""Fault and abuse tests. Each is named by its id and asserts its pass criterion; `size` says how long it runs."""
