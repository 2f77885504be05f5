"""Number classes and the origin matrix, read plainly from the packs: what the compiled forms are held against."""

from __future__ import annotations

from collections.abc import Iterator

from engine import packs
from engine.decision import Action
from engine.packs import ClassForm, NumberClass, Pack

ACTION = {"accept": Action.ACCEPT, "tag": Action.TAG, "reject": Action.REJECT, "own": Action.REJECT}


def national(pack: Pack, number: str) -> tuple[str, bool] | None:
    """(digits, short) of a canonical number of the country."""
    for start, short in ((f"{pack.region}:", True), (f"+{pack.plan.country_code}", False)):
        if number.startswith(start):
            return number.removeprefix(start), short
    return None


def forms_of(pack: Pack, digits: str, short: bool) -> Iterator[tuple[int, int, ClassForm]]:
    """(length of the prefix, position, form) of each form whose prefix the number has."""
    for position, form in enumerate(pack.classes):
        for prefix in form.expanded():
            if form.short == short and digits.startswith(prefix):
                yield len(prefix), position, form


def plain_class(pack: Pack, number: str) -> NumberClass:
    """The longest prefix whose length fits, of equal ones the later; a number that fits no form is none."""
    found = national(pack, number)
    if found is None:
        return NumberClass.FOREIGN
    forms = list(forms_of(pack, *found))
    fitting = [each for each in forms if each[2].digits[0] <= len(found[0]) <= each[2].digits[1]]
    if fitting:
        return max(fitting, key=lambda each: each[:2])[2].name
    return NumberClass.INVALID if forms else NumberClass.UNALLOCATED


def plain_action(pack: Pack, number_class: NumberClass, trunk_class: str) -> Action:
    rows = [row for row in pack.origin if row.number_class == number_class]
    for row in (*rows, packs.COMMON_ORIGIN[number_class]):
        action = getattr(row, trunk_class)
        if action is not None:
            return ACTION[action.value]
    return Action.ACCEPT
