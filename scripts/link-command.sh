#!/bin/bash
# Makes the checkout importable as a whole (editable_mode=compat: `tests.load` too) and `callsieve` a command of the
# virtual environment.
#   scripts/link-command.sh PYTHON STAMP
set -euo pipefail
python=$1 stamp=$2
[ -e "$stamp" ] && [ ! pyproject.toml -nt "$stamp" ] && [ -x "$(dirname "$python")/callsieve" ] && exit 0
# Nothing to build: an editable install would compile every module once more.
CALLSIEVE_TREES='' "$python" -m pip install -qq --disable-pip-version-check --no-input --no-build-isolation --no-deps \
    --config-settings editable_mode=compat --editable .
touch "$stamp"
