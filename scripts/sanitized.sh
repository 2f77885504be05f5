#!/bin/bash
# Runs Python with the runtime that modules of a sanitizing flavour (setup.py) need, from a tree built in that flavour.
#   scripts/sanitized.sh asan|tsan|fuzz PYTHON ARGUMENTS...
set -euo pipefail
flavour=$1 python=$2
shift
case $flavour in
    asan) runtime="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" ;;
    tsan) runtime="$(gcc -print-file-name=libtsan.so)" ;;
    fuzz) runtime="$("$python" -c 'import atheris; print(atheris.path())')/asan_with_fuzzer.so" ;;
    *) echo "sanitized.sh: unknown flavour $flavour" >&2; exit 2 ;;
esac
# Python itself keeps what it has allocated until it ends: leaks are not looked for. Little is kept of what was freed, so
# that tests of memory still mean something.
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=64:abort_on_error=1
# A thread that another one waits for by the interpreter lock is no race: only what our modules do is looked at.
export TSAN_OPTIONS=halt_on_error=1:exitcode=66:ignore_noninstrumented_modules=1:report_signal_unsafe=0
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1
LD_PRELOAD=$runtime PYTHONPATH=$PWD exec "$@"
