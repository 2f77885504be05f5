#!/bin/bash
# Runs every benchmark of tests/bench; each prints one line a figure.
#   scripts/bench.sh PYTHON
set -euo pipefail
python=$1
found=no
for file in tests/bench/bench_*.py; do
    [ -e "$file" ] || continue
    found=yes
    "$python" -m "tests.bench.$(basename "$file" .py)"
done
[ $found = yes ] || { echo "callsieve: no benchmark in tests/bench" >&2; exit 1; }
