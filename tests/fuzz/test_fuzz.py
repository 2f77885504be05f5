"""P6 in short: every target on its seeds and on mutations of them. `make fuzz` has a coverage-guided engine look on."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest

from tests.abuse.size import size
from tests.fuzz.mutations import mutations
from tests.fuzz.seeds import BY_TARGET, seeds
from tests.fuzz.targets import SHIPPED, TARGETS

ROOT = Path(__file__).parents[2]
# Inputs a target takes in about a second.
SHORT = {
    "head": 5_000, "uri": 20_000, "via": 20_000, "name_addr": 15_000, "framing": 10_000, "websocket": 3_000,
    "core": 10_000, "trusted": 5_000, "number": 20_000, "list_file": 15_000, "trie_image": 10_000, "events": 10_000,
    "configuration": 1_500, "generation": 15_000,
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_p6_target_holds_on_its_seeds_and_their_mutations(name: str) -> None:
    corpus = seeds(name)
    assert corpus
    for data in corpus:
        run(name, data)
    for data in mutations(corpus, size(SHORT[name], 100 * SHORT[name]), seed=6):
        run(name, data)


def run(name: str, data: bytes) -> None:
    try:
        TARGETS[name](data)
    except Exception as error:
        error.add_note(f"{name}: {data!r}")
        raise


def test_p6_every_target_has_seeds_and_a_shipped_symbol() -> None:
    assert TARGETS.keys() == BY_TARGET.keys() == SHIPPED.keys() == SHORT.keys()


@pytest.mark.parametrize("name", SHIPPED)
def test_p6_what_is_fuzzed_is_what_a_node_runs(name: str) -> None:
    """The same object that its module has, from this tree, native if the module is."""
    symbol, module_name = SHIPPED[name]
    module = importlib.import_module(module_name)
    assert module is sys.modules[module_name]
    assert getattr(module, symbol.__name__) is symbol
    assert symbol in vars(sys.modules["tests.fuzz.targets"]).values()
    assert module.__file__ is not None
    source = ROOT / Path(*module_name.split("."))
    assert Path(module.__file__).is_relative_to(source.parent)
    if source.with_suffix(".pyx").exists():
        assert module.__spec__ is not None
        assert isinstance(module.__spec__.loader, ExtensionFileLoader)
