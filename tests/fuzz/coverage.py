"""P6: how much of the parsers the fuzz corpora reach, in lines of Cython, counted by gcov. `make fuzz-coverage` runs it
in a tree of its own that was built for that (CALLSIEVE_BUILD=coverage).

    python -m tests.fuzz.coverage [INPUTS]

INPUTS: of each target, its seeds not counted. A line is reached when some of the C that Cython made of it has run; the
comments that Cython writes say which C that is. Ends with 1 below the 90 % that P6 asks for.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LEAST = 0.9
PARSERS = tuple(
    f"proxy/sip/{name}.pyx"
    for name in (
        "address", "diversion", "framing", "identity", "message", "name_addr", "route", "trunk_group", "uri", "via",
    )
)  # fmt: skip
PLACE = re.compile(r'^\s*/\* "([^"]+)":(\d+)$')
RUN = "--run"

Lines = dict[int, bool]  # number -> whether it was reached


def main() -> None:
    inputs = next((word for word in sys.argv[1:] if word != RUN), "20000")
    if RUN in sys.argv:
        run(int(inputs))
        return
    for counts in Path("build").rglob("*.gcda"):
        counts.unlink()
    # The counts are written when a process ends.
    subprocess.run([sys.executable, "-m", "tests.fuzz.coverage", RUN, inputs], check=True)
    reached = {source: lines_of(source) for source in PARSERS}
    for source, lines in reached.items():
        missed = ", ".join(str(number) for number, was_reached in sorted(lines.items()) if not was_reached)
        print(f"{source:28} {sum(lines.values()):4} of {len(lines):4} lines{f'; not {missed}' if missed else ''}")
    share = sum(sum(lines.values()) for lines in reached.values()) / sum(map(len, reached.values()))
    print(f"P6: the corpora reach {share:.1%} of the lines of the parsers")
    if share < LEAST:
        raise SystemExit(f"callsieve: less than {LEAST:.0%}")


def run(inputs: int) -> None:
    """Every target on its seeds and on mutations of them."""
    from tests.fuzz.mutations import mutations
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS

    for name, target in TARGETS.items():
        corpus = seeds(name)
        for data in (*corpus, *mutations(corpus, inputs, seed=6)):
            target(data)


def lines_of(source: str) -> Lines:
    """Of one module: the lines that C was made of. Those of what it includes from .pxd files are theirs."""
    made = Path("build/cython-coverage", source).with_suffix(".c")
    (counts,) = Path("build").rglob(f"temp.*/**/{Path(source).with_suffix('.gcda')}")
    done = subprocess.run(
        ["gcov", "--json-format", "--stdout", "--object-directory", str(counts.parent), str(counts)],
        check=True, capture_output=True,
    )  # fmt: skip
    ran = {
        line["line_number"]: line["count"] > 0
        for file in json.loads(done.stdout)["files"]
        if Path(file["file"]).name == made.name
        for line in file["lines"]
    }
    lines: Lines = {}
    for number, (place, origin) in enumerate(places(made), start=1):
        if place == source and number in ran:
            lines[origin] = lines.get(origin, False) or ran[number]
    return lines


def places(made: Path) -> Iterator[tuple[str, int]]:
    """For each line of C the place in Cython that it was made of."""
    place, origin = "", 0
    for line in made.read_text().splitlines():
        if found := PLACE.match(line):
            place, origin = found[1], int(found[2])
        yield place, origin


if __name__ == "__main__":
    main()
