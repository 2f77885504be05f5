"""The import rule: which part may know which, read from the sources themselves, `.pyx`, `.pxd` and `.pyi` included.

1. `engine` imports nothing of `proxy`, not even by way of another module.
2. `engine`, `proxy.sip`, `proxy.core` and `proxy.forwarding` have no socket, no event loop and no clock.
3. `proxy.control` never imports the call path, not even by way of another module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = (".py", ".pyi", ".pyx", ".pxd")
IO_AND_CLOCK = ("asyncio", "uvloop", "socket", "select", "selectors", "time", "libc.time", "posix.time")
IO_AND_CLOCK_HEADERS = ("time.h", "sys/time.h", "sys/socket.h", "sys/select.h", "sys/epoll.h", "poll.h")
CALL_PATH = ("proxy.core", "proxy.forwarding", "proxy.udp", "proxy.stream", "proxy.server", "proxy.worker", "proxy.sip")

Imports = Mapping[str, frozenset[str]]  # module -> everything that it names in an import

CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<package>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n;#]+)"
    r"|c?import[ \t]+(?P<modules>[\w., \t]+))",
    re.MULTILINE,
)
CYTHON_EXTERN = re.compile(r"""^[ \t]*cdef[ \t]+extern[ \t]+from[ \t]+["']<?([^"'>]+)>?["']""", re.MULTILINE)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def python_imports(source: str, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def cython_imports(source: str, package: str) -> Iterator[str]:
    """A header of an extern block is named as `<header>`."""
    for match in CYTHON_IMPORT.finditer(source):
        if match["modules"]:
            yield from (part.split()[0] for part in match["modules"].split(",") if part.strip())
            continue
        base = absolute(match["package"], package)
        yield base
        yield from (f"{base}.{part.split()[0]}" for part in match["names"].strip("()").split(",") if part.strip())
    yield from (f"<{header}>" for header in CYTHON_EXTERN.findall(source))


def absolute(name: str, package: str) -> str:
    """`name` of a from-import inside `package`, without leading dots."""
    level = len(name) - len(name.lstrip("."))
    if level == 0:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [name[level:]])])


def read_imports(sources: Mapping[str, str]) -> Imports:
    """`sources`: path from the root -> text. The files of one module count together."""
    imports: dict[str, set[str]] = {}
    for path, text in sources.items():
        file = Path(path)
        module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        package = ".".join(file.parent.parts)
        reader = python_imports if file.suffix in (".py", ".pyi") else cython_imports
        imports.setdefault(module, set()).update(reader(text, package))
    return {module: frozenset(names) for module, names in imports.items()}


def reachable(imports: Imports, start: str) -> dict[str, str]:
    """Every name that importing `start` leads to -> the module that imports it."""
    found: dict[str, str] = {}
    pending = [start]
    while pending:
        module = pending.pop()
        for name in imports.get(module, frozenset()):
            if name not in found:
                found[name] = module
                pending.append(name)
    return found


def engine_knows_proxy(imports: Imports) -> list[str]:
    modules = [m for m in imports if within(m, "engine")]
    return [
        f"{m}: {name}, imported by {by}"
        for m in modules
        for name, by in reachable(imports, m).items()
        if within(name, "proxy")
    ]


def core_does_io(imports: Imports) -> list[str]:
    modules = [m for m in imports if within(m, "engine", "proxy.sip", "proxy.core", "proxy.forwarding")]
    forbidden = (*IO_AND_CLOCK, *(f"<{header}>" for header in IO_AND_CLOCK_HEADERS))
    return [f"{m}: {name}" for m in modules for name in imports[m] if within(name, *forbidden)]


def control_knows_call_path(imports: Imports) -> list[str]:
    modules = [m for m in imports if within(m, "proxy.control")]
    return [
        f"{m}: {name}, imported by {by}"
        for m in modules
        for name, by in reachable(imports, m).items()
        if within(name, *CALL_PATH)
    ]


@pytest.fixture(scope="module")
def project() -> Imports:
    files = (p for top in ("engine", "proxy") for p in (ROOT / top).rglob("*") if p.suffix in SUFFIXES)
    return read_imports({str(p.relative_to(ROOT)): p.read_text() for p in files})


def test_engine_imports_nothing_of_proxy(project: Imports) -> None:
    assert engine_knows_proxy(project) == []


def test_core_has_no_socket_loop_or_clock(project: Imports) -> None:
    assert core_does_io(project) == []


def test_control_does_not_import_the_call_path(project: Imports) -> None:
    assert control_knows_call_path(project) == []


def test_the_whole_project_is_read(project: Imports) -> None:
    assert {"engine.rules", "engine._decision", "proxy.config", "proxy.events"} <= project.keys()
    assert "engine._decision.Verdict" in project["proxy.events"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("engine/policy.py", "import proxy.config"),
        ("engine/policy.py", "def f():\n    from proxy import config"),
        ("engine/_table.pyx", "from proxy.events cimport Event"),
        ("engine/_table.pxd", "cimport proxy.events"),
        ("engine/_table.pyi", "from proxy.events import Event"),
    ],
)
def test_engine_rule_can_fail(path: str, source: str) -> None:
    assert engine_knows_proxy(read_imports({path: source}))
    assert not engine_knows_proxy(read_imports({path: "from engine import rules"}))


def test_engine_rule_sees_a_detour() -> None:
    sources = {"engine/policy.py": "import helpers", "helpers.py": "import proxy.config"}
    assert engine_knows_proxy(read_imports(sources))


@pytest.mark.parametrize("module", ["engine/_fastpath", "proxy/sip/uri", "proxy/core", "proxy/forwarding"])
@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "import socket",
        "from time import monotonic",
        "cimport libc.time",
        "from libc.time cimport (\n    time,\n    time_t,\n)",
        "from posix cimport time",
        'cdef extern from "<sys/socket.h>" nogil:\n    int socket(int, int, int)',
    ],
)
def test_core_rule_can_fail(module: str, source: str) -> None:
    assert core_does_io(read_imports({f"{module}.pyx": source}))
    assert not core_does_io(read_imports({"proxy/udp.pyx": source}))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("proxy/control/metrics.py", "from proxy import server"),
        ("proxy/control/metrics.py", "from ..sip import message"),
        ("proxy/control/metrics.py", "import proxy.core"),
        ("proxy/control/event_reader.pyx", "from proxy.forwarding cimport forward"),
        ("proxy/control/event_reader.pxd", "from proxy.udp cimport UdpEdge"),
    ],
)
def test_control_rule_can_fail(path: str, source: str) -> None:
    assert control_knows_call_path(read_imports({path: source}))
    assert not control_knows_call_path(read_imports({path: "from proxy import config, events"}))


def test_control_rule_sees_a_detour() -> None:
    sources = {"proxy/control/main.py": "from proxy.trunks import Routing", "proxy/trunks.py": "import proxy.core"}
    assert control_knows_call_path(read_imports(sources))
