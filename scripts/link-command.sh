#!/bin/bash
# Makes the checkout importable and `callsieve` a command of the virtual environment (an editable install).
#   scripts/link-command.sh PYTHON STAMP
set -euo pipefail
python=$1 stamp=$2
[ -e "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ] && [ -x "$(dirname "$python")/callsieve" ] && exit 0
"$python" -m pip install --quiet --disable-pip-version-check --no-input --no-build-isolation --no-deps --editable .
touch "$stamp"
