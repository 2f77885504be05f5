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
"$python" -m pip install --quiet --disable-pip-version-check --no-input "${packages[@]}"
