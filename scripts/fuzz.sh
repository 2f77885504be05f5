#!/bin/bash
# Fuzzes targets of tests/fuzz, all of them if none is named, for so many seconds each; stops at the first that fails.
# What a target has learnt stays in fuzz-corpus/TARGET, an input that fails in fuzz-corpus/.
#   scripts/fuzz.sh PYTHON SECONDS [TARGET...]
set -euo pipefail
python=$1 seconds=$2
shift 2
tools=$(dirname "$0")
[ $# -gt 0 ] || read -r -a all < <("$tools/sanitized.sh" fuzz "$python" -m tests.fuzz --list)
mkdir -p fuzz-corpus
for target in "${@:-${all[@]}}"; do
    log=fuzz-corpus/$target.log
    if ! "$tools/sanitized.sh" fuzz "$python" -m tests.fuzz "$target" "fuzz-corpus/$target" \
        -max_total_time="$seconds" -artifact_prefix="fuzz-corpus/$target-" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "callsieve: the target $target failed (whole output: $PWD/$log)" >&2
        exit 1
    fi
    echo "callsieve: $target: $(grep -o 'Done .*' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -n 1), $(grep -o 'peak_rss_mb.*' "$log")"
done
