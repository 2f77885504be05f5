"""Builds the native modules: every .pyx of `engine` and `proxy`, and of the tests when built in place.

CALLSIEVE_BUILD selects the flavour:
  release (default)  -O3, no bounds checks
  debug              bounds checks, overflow checks, line tracing, -O0 -g
CALLSIEVE_TREES says what to build, with spaces between; "" = nothing.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAVOUR = os.environ.get("CALLSIEVE_BUILD", "release")
if FLAVOUR not in ("release", "debug"):
    raise SystemExit(f"CALLSIEVE_BUILD={FLAVOUR}: expected release or debug")
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
CFLAGS = ["-O0", "-g", "-DCYTHON_TRACE=1"] if DEBUG else ["-O3", "-g1", "-fno-plt", "-fno-semantic-interposition"]
# 16-byte compare-and-swap: a table record (key, value) changes as one word.
if os.uname().machine == "x86_64":
    CFLAGS += ["-mcx16"]
WARNINGS = ["-Wno-unused-function", "-Wno-unreachable-code-fallthrough"]


def extensions() -> list[Extension]:
    sources = sorted(p for tree in TREES for p in Path(tree).rglob("*.pyx"))
    modules = [
        Extension(
            ".".join(p.with_suffix("").parts),
            [str(p)],
            extra_compile_args=CFLAGS + WARNINGS,
            depends=[str(d) for d in p.parent.glob("*.pxd")],
        )
        for p in sources
    ]
    return [*modules, Extension(SHARED, [f"{SHARED.replace('.', '/')}.c"], extra_compile_args=CFLAGS + WARNINGS)]


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
