"""Runs one target under atheris: `python -m tests.fuzz TARGET DIRECTORY [libFuzzer options]`.

The corpus in DIRECTORY begins with the target's seeds and grows; the next run goes on from it. An input that fails is
written to where -artifact_prefix says.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

DICTIONARY = Path(__file__).with_name("sip.dict")


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        print(*TARGETS)
        return
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} DIRECTORY [libFuzzer options]")
    name, corpus, *options = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (corpus / sha256(seed).hexdigest()[:40]).write_bytes(seed)
    limits = ["-timeout=1", "-rss_limit_mb=2048", "-malloc_limit_mb=256", f"-dict={DICTIONARY}"]
    import atheris  # its runtime is loaded only where there is something to fuzz

    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
