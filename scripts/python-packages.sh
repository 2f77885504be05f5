#!/bin/bash
# Installs what pyproject.toml asks for into the virtual environment: build and run-time packages, or one extra's.
#   scripts/python-packages.sh PYTHON [EXTRA]
set -euo pipefail
python=$1 extra=${2:-}

mapfile -t packages < <("$python" - "$extra" <<'PYTHON'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
if sys.argv[1]:
    print(*project["project"]["optional-dependencies"][sys.argv[1]], sep="\n")
else:
    print(*project["build-system"]["requires"], *project["project"]["dependencies"], sep="\n")
PYTHON
)
echo "callsieve: installing ${#packages[@]} Python packages and what they need${extra:+ (for $extra)}"
log=$(mktemp)
if ! "$python" -m pip install --disable-pip-version-check --no-input "${packages[@]}" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "callsieve: pip failed (whole output: $log)" >&2
    exit 1
fi
rm -f "$log"
