"""Builds the native modules: every .pyx of `engine` and `proxy`, and of the tests when built in place.

CALLSIEVE_BUILD selects the flavour:
  release (default)  -O3, no bounds checks
  debug              bounds checks, overflow checks, line tracing, -O0 -g
  asan               AddressSanitizer and UndefinedBehaviorSanitizer, gcc; needs libasan preloaded
  tsan               ThreadSanitizer, gcc; needs libtsan preloaded
  coverage           counts lines for gcov, gcc, -O0
  fuzz               AddressSanitizer and coverage for libFuzzer, clang; needs atheris' asan_with_fuzzer.so preloaded
CALLSIEVE_TREES says what to build, with spaces between; "" = nothing.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

INSTRUMENT = {
    "asan": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "tsan": ["-fsanitize=thread"],
    "fuzz": ["-fsanitize=address,fuzzer-no-link"],
    "coverage": ["--coverage"],
}
CFLAGS_OF = {
    "release": ["-O3", "-g1", "-fno-plt", "-fno-semantic-interposition"],
    "debug": ["-O0", "-g", "-DCYTHON_TRACE=1"],
    "asan": ["-O1", "-g1", "-fno-omit-frame-pointer", *INSTRUMENT["asan"]],
    "tsan": ["-O1", "-g1", "-fno-omit-frame-pointer", *INSTRUMENT["tsan"]],
    "fuzz": ["-O1", "-g1", "-fno-omit-frame-pointer", *INSTRUMENT["fuzz"]],
    "coverage": ["-O0", "-g1", *INSTRUMENT["coverage"]],
}
FLAVOUR = os.environ.get("CALLSIEVE_BUILD", "release")
if FLAVOUR not in CFLAGS_OF:
    raise SystemExit(f"CALLSIEVE_BUILD={FLAVOUR}: expected one of {', '.join(CFLAGS_OF)}")
if FLAVOUR == "fuzz":
    os.environ.update(CC="clang", LDSHARED="clang -shared")
DEBUG = FLAVOUR == "debug"
# The native modules of the tests are built in place, never into a wheel.
TREES = os.environ.get("CALLSIEVE_TREES", "engine proxy tests" if "--inplace" in sys.argv else "engine proxy").split()
# Cython's own support code for typed memory, once instead of in every module: a third less to compile.
SHARED = "engine._cyutility"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": False,  # needs the interpreter lock, which most of our functions run without
    "overflowcheck": False,
    "cdivision": True,
    "linetrace": DEBUG,
    "embedsignature": True,
    "freethreading_compatible": False,
}
# No fused multiply-add, which rounds once instead of twice: what nodes of a fleet compute is equal on every processor.
CFLAGS = [*CFLAGS_OF[FLAVOUR], "-ffp-contract=off"]
# 16-byte compare-and-swap: a table record (key, value) changes as one word.
if os.uname().machine == "x86_64":
    CFLAGS += ["-mcx16"]
WARNINGS = ["-Wno-unused-function", "-Wno-unreachable-code-fallthrough"]


def extension(name: str, source: str, depends: tuple[str, ...] = ()) -> Extension:
    return Extension(
        name,
        [source],
        extra_compile_args=CFLAGS + WARNINGS,
        extra_link_args=INSTRUMENT.get(FLAVOUR, []),
        depends=list(depends),
    )


def extensions() -> list[Extension]:
    sources = sorted(p for tree in TREES for p in Path(tree).rglob("*.pyx"))
    modules = [
        extension(".".join(p.with_suffix("").parts), str(p), tuple(str(d) for d in p.parent.glob("*.pxd")))
        for p in sources
    ]
    return [*modules, extension(SHARED, f"{SHARED.replace('.', '/')}.c")]


setup(
    ext_modules=TREES
    and cythonize(
        extensions(),
        shared_utility_qualified_name=SHARED,
        compiler_directives=DIRECTIVES,
        build_dir=f"build/cython-{FLAVOUR}",
        nthreads=os.cpu_count() or 1,
    )
)
