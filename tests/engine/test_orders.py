"""Orders against a plain reading of them: the longest match that is in force."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._numbers import number_text, parse_entry
from engine._orders import ORDER_EPOCH_S, ORDER_LAST_S, OrderTable
from engine.number_words import caller_word

BLOCK, ALLOW, NEVER_BLOCK = 1, 2, 3
NOW_S = ORDER_EPOCH_S + 1000
NOW_US = NOW_S * 1_000_000


@pytest.fixture
def orders(tmp_path: Path) -> OrderTable:
    return OrderTable(tmp_path / "orders.tbl", 1024)


def word(text: str) -> int:
    return caller_word(text)[0]


def test_a_number_is_blocked_and_free_again(orders: OrderTable) -> None:
    number = word("+8613800138000")
    assert orders.read(number, NOW_US) is None
    assert orders.set(number, BLOCK, 2)
    assert orders.read(number, NOW_US) == (BLOCK, 2, 27)
    assert orders.read(number, NOW_US, callee=True) is None
    orders.clear(number, callee=True)
    assert orders.read(number, NOW_US) == (BLOCK, 2, 27)
    orders.clear(number)
    assert orders.read(number, NOW_US) is None


def test_callees_and_callers_do_not_meet(orders: OrderTable) -> None:
    number = word("+8613800138000")
    orders.set(number, BLOCK, 2)
    orders.set(number, NEVER_BLOCK, 2)
    assert orders.read(number, NOW_US) == (BLOCK, 2, 27)
    assert orders.read(number, NOW_US, callee=True) == (NEVER_BLOCK, 2, 27)


@pytest.mark.parametrize("begin, end, holds", [(0, 0, True), (1, 0, True), (NOW_S, 0, True), (NOW_S + 1, 0, False),
                                               (0, NOW_S, False), (0, NOW_S + 1, True), (0, 1, False),
                                               (0, ORDER_LAST_S, True)])  # fmt: skip
def test_an_order_holds_from_its_beginning_to_its_end(orders: OrderTable, begin: int, end: int, holds: bool) -> None:
    orders.set(word("+861"), BLOCK, 2, begin, end)
    assert (orders.read(word("+861"), NOW_US) is not None) == holds


def test_a_shorter_prefix_holds_where_a_longer_one_is_over(orders: OrderTable) -> None:
    orders.set(word("+86170*"), BLOCK, 2)
    orders.set(word("+861701*"), ALLOW, 2, 0, NOW_S)
    assert orders.read(word("+8617012345678"), NOW_US) == (BLOCK, 2, 10)


def test_prefixes_of_numbers_hold_no_short_codes(orders: OrderTable) -> None:
    orders.set(word("+86*"), BLOCK, 2)
    assert orders.read(word("CN:95588"), NOW_US) is None
    orders.set(word("CN:955*"), ALLOW, 3)
    assert orders.read(word("CN:95588"), NOW_US) == (ALLOW, 3, 10)
    assert orders.read(word("+8695588"), NOW_US) == (BLOCK, 2, 4)


@pytest.mark.parametrize("act, priority, until", [(0, 2, 0), (4, 2, 0), (1, 0, 0), (1, 4, 0), (1, 2, ORDER_LAST_S + 1)])
def test_what_has_no_place_in_a_record_is_refused(orders: OrderTable, act: int, priority: int, until: int) -> None:
    with pytest.raises(ValueError):
        orders.set(word("+861"), act, priority, 0, until)


def test_what_is_no_number_is_refused(orders: OrderTable) -> None:
    with pytest.raises(ValueError, match="no number"):
        orders.set(14 << 60, BLOCK, 2)


def test_a_full_table_says_so_and_keeps_what_it_has(orders: OrderTable) -> None:
    kept = [number for number in range(1, 3000) if orders.set(1 << 60 | 10**11 + number, BLOCK, 2)]
    assert 900 < len(kept) <= 1024
    assert all(orders.read(1 << 60 | 10**11 + number, NOW_US) for number in kept)


def test_another_process_reads_what_one_writes(orders: OrderTable, tmp_path: Path) -> None:
    reader = OrderTable.attach(tmp_path / "orders.tbl")
    orders.set(word("+86170*"), BLOCK, 2)
    assert reader.read(word("+8617012345678"), NOW_US) == (BLOCK, 2, 10)


digits = st.text("17", min_size=1, max_size=5)
entries = st.builds(lambda text, star, sign: f"{sign}{text}{star}", digits, st.sampled_from(["", "*"]),
                    st.sampled_from(["+86", "CN:"]))  # fmt: skip


@given(st.dictionaries(entries, st.integers(1, 2), max_size=8), st.lists(entries, max_size=3), st.data())
def test_the_longest_match_wins(
    tmp_path_factory: pytest.TempPathFactory, given_orders: dict[str, int], withdrawn: list[str], data: st.DataObject
) -> None:
    orders = OrderTable(tmp_path_factory.mktemp("orders") / "orders.tbl", 1024)
    for text, act in given_orders.items():
        orders.set(word(text), act, 2)
    for text in withdrawn:
        orders.clear(word(text))
    caller = data.draw(st.builds(lambda sign, text: sign + text, st.sampled_from(["+86", "CN:"]), digits))
    standing = {text: act for text, act in given_orders.items() if text not in withdrawn}
    spelled = number_text(parse_entry(caller)[0])
    matching = [text for text in standing if (spelled.startswith(text[:-1]) if text[-1] == "*" else spelled == text)]
    best = max(matching, key=lambda text: (len(text.rstrip("*")), text[-1] != "*"), default=None)
    found = orders.read(parse_entry(caller)[0], NOW_US)
    assert (found and found[0]) == (standing[best] if best else None)
