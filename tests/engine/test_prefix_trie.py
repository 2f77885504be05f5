"""PrefixTrie: longest match, exact entries, and images that must be refused."""

from __future__ import annotations

import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._prefix_trie import PrefixTrie
from tests.oracles import PrefixTrieOracle

KIND_NUMBER = 1 << 60

# Few different digits, so that prefixes nest and numbers meet them.
digit_strings = st.text(alphabet="018", min_size=1, max_size=15)
entry_lists = st.lists(st.tuples(digit_strings, st.booleans(), st.integers(1, 2**32 - 1)), max_size=60)


def number(digits: str) -> int:
    return KIND_NUMBER | int("1" + digits)


@given(entry_lists, st.lists(digit_strings, max_size=40))
def test_agrees_with_the_oracle(entries: list[tuple[str, bool, int]], numbers: list[str]) -> None:
    trie, oracle = PrefixTrie(PrefixTrie.build(entries)), PrefixTrieOracle(entries)
    longer = [(digits + "0188108018")[:15] for digits, _, _ in entries]
    for digits in [*numbers, *longer, *(digits for digits, _, _ in entries)]:
        assert trie.match(digits) == oracle.match(digits)
    assert len(trie) == len(oracle.entries)


def test_agrees_with_the_oracle_on_many_entries() -> None:
    source = random.Random(7)

    def digits_up_to(length: int) -> str:
        return "".join(source.choices("0123456789", k=source.randint(1, length)))

    entries = [(digits_up_to(15), source.random() < 0.3, source.randint(1, 2**32 - 1)) for _ in range(50_000)]
    trie, oracle = PrefixTrie(PrefixTrie.build(entries)), PrefixTrieOracle(entries)
    numbers = [digits for digits, _, _ in entries]
    numbers += [(digits + digits_up_to(15))[:15] for digits in numbers]
    matched = trie.match_many(array("Q", map(number, numbers)))
    assert list(matched) == [(oracle.match(digits) or (0, 0))[0] for digits in numbers]


def test_the_longest_prefix_wins_and_an_exact_entry_beats_it() -> None:
    trie = PrefixTrie(PrefixTrie.build([("86", False, 1), ("86170", False, 2), ("86170", True, 3)]))
    assert trie.match("8613800138000") == (1, 2)
    assert trie.match("8617012345678") == (2, 5)
    assert trie.match("86170") == (3, 5)
    assert trie.match("861") == (1, 2)
    assert trie.match("8") is None


def test_zeros_count() -> None:
    trie = PrefixTrie(PrefixTrie.build([("0", False, 1), ("00", False, 2), ("000000000000000", True, 3)]))
    assert trie.match("01") == (1, 1)
    assert trie.match("001") == (2, 2)
    assert trie.match("000000000000000") == (3, 15)


def test_the_last_of_equal_entries_counts() -> None:
    trie = PrefixTrie(PrefixTrie.build([("86", False, 1), ("86", True, 2), ("86", False, 3)]))
    assert len(trie) == 2
    assert trie.match("861") == (3, 2)


def test_an_empty_set_matches_nothing() -> None:
    trie = PrefixTrie(PrefixTrie.build([]))
    assert trie.match("8613800138000") is None
    assert len(trie) == 0


@pytest.mark.parametrize("word", [0, KIND_NUMBER, KIND_NUMBER | 9, KIND_NUMBER | 2 * 10**5, 14 << 60, (1 << 60) - 1])
def test_a_word_without_digits_matches_nothing(word: int) -> None:
    trie = PrefixTrie(PrefixTrie.build([(str(digit), False, 1) for digit in range(10)]))
    assert list(trie.match_many(array("Q", [word]))) == [0]


@pytest.mark.parametrize("digits", ["", "1" * 16, "86a", "+86", "８６"])  # noqa: RUF001 (full-width digits)
def test_what_is_not_1_to_15_digits_is_refused(digits: str) -> None:
    with pytest.raises(ValueError, match="digits"):
        PrefixTrie.build([(digits, False, 1)])
    with pytest.raises(ValueError, match="digits"):
        PrefixTrie(PrefixTrie.build([])).match(digits)


@pytest.mark.parametrize("value", [0, -1, 2**32])
def test_a_value_out_of_range_is_refused(value: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        PrefixTrie.build([("86", False, value)])


def test_built_from_keys_it_is_the_same() -> None:
    entries = [("86", False, 1), ("000", True, 2), ("861380013800012", True, 2**32 - 1)]
    keys = array("Q", (int("1" + digits) * 2 + exact for digits, exact, _ in entries))
    assert PrefixTrie.build_keys(keys, array("I", (value for _, _, value in entries))) == PrefixTrie.build(entries)


@pytest.mark.parametrize(
    ("key", "values"),
    [(0, [1]), (2, [1]), (9 * 2, [1]), (20 * 2, [1]), (10**16 * 2, [1]), (2**64 - 1, [1]), (22, [0]), (22, [])],
)
def test_keys_that_are_no_digits_are_refused(key: int, values: list[int]) -> None:
    with pytest.raises(ValueError, match="key"):
        PrefixTrie.build_keys(array("Q", [key]), array("I", values))


def test_a_torn_image_is_refused() -> None:
    image = PrefixTrie.build((str(number), False, 1) for number in range(1000, 3000))
    for size in [0, 8, 63, 64, 4095, len(image) - 64, len(image) - 1]:
        with pytest.raises(ValueError, match="prefix trie"):
            PrefixTrie(image[:size])
    with pytest.raises(ValueError, match="prefix trie"):
        PrefixTrie(image + bytes(64))
    for position in [0, 9, 12, 17, 33, 41, 45, 49, 5000, len(image) - 1]:
        torn = bytearray(image)
        torn[position] ^= 0x55
        with pytest.raises(ValueError, match="prefix trie"):
            PrefixTrie(torn)


def test_an_image_may_lie_anywhere_in_a_buffer() -> None:
    image = PrefixTrie.build([("86", False, 7)])
    for offset in (0, 1, 8, 64):
        trie = PrefixTrie(memoryview(bytes(offset) + image)[offset:])
        assert trie.match("8610") == (7, 2)
