"""Number classes and the origin matrix, read plainly from the packs: what the compiled forms are held against."""

from __future__ import annotations

from collections.abc import Iterator

import phonenumbers
from phonenumbers import PhoneNumberType
from phonenumbers.phonemetadata import PhoneMetadata
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from engine import packs
from engine.decision import Action
from engine.packs import ClassForm, NumberClass, Pack

ACTION = {"accept": Action.ACCEPT, "tag": Action.TAG, "reject": Action.REJECT, "own": Action.REJECT}

SEEN_ABROAD = {
    NumberClass.INVALID: NumberClass.INVALID,
    NumberClass.UNALLOCATED: NumberClass.FOREIGN_UNALLOCATED,
    NumberClass.PREMIUM: NumberClass.FOREIGN_PREMIUM,
    NumberClass.EMERGENCY: NumberClass.EMERGENCY,
    NumberClass.SMS106: NumberClass.SMS106,
}
CLASS_BY_TYPE = {
    PhoneNumberType.FIXED_LINE: NumberClass.FIXED,
    PhoneNumberType.MOBILE: NumberClass.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberClass.FIXED_OR_MOBILE,
    PhoneNumberType.TOLL_FREE: NumberClass.SVC800,
    PhoneNumberType.PREMIUM_RATE: NumberClass.PREMIUM,
    PhoneNumberType.SHARED_COST: NumberClass.SVC400,
    PhoneNumberType.VOIP: NumberClass.VOIP,
    PhoneNumberType.PERSONAL_NUMBER: NumberClass.PERSONAL,
    PhoneNumberType.PAGER: NumberClass.PAGER,
    PhoneNumberType.UAN: NumberClass.CORPORATE,
    PhoneNumberType.VOICEMAIL: NumberClass.INFO,
    PhoneNumberType.UNKNOWN: None,
}


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


def plain_class(home: str, number: str) -> NumberClass:
    """The class of a canonical number on a trunk that is at home in a pack."""
    if home in packs.PACKS:
        found = national(packs.PACKS[home], number)
        return plain_abroad(home, number) if found is None else plain_form(packs.PACKS[home], *found)
    code, region = packs.COUNTRIES[home].code, packs.COUNTRIES[home].region
    if number.startswith(f"{region}:"):
        emergency = number.partition(":")[2] in packs.COUNTRIES[home].emergency
        return NumberClass.EMERGENCY if emergency else NumberClass.SVC101
    return plain_country(number) if number.startswith(f"+{code}") else plain_abroad(home, number)


def plain_form(pack: Pack, digits: str, short: bool) -> NumberClass:
    """The longest prefix whose length fits, of equal ones the later; a number that fits no form is none."""
    forms = list(forms_of(pack, digits, short))
    fitting = [each for each in forms if each[2].digits[0] <= len(digits) <= each[2].digits[1]]
    if fitting:
        return max(fitting, key=lambda each: each[:2])[2].name
    return NumberClass.INVALID if forms else NumberClass.UNALLOCATED


def plain_abroad(home: str, number: str) -> NumberClass:
    """The class of a number of another country."""
    if ":" in number:
        return NumberClass.FOREIGN
    for name, pack in packs.PACKS.items():
        if pack.region and name != home and number.startswith(f"+{pack.plan.country_code}"):
            return _plain_abroad_of(pack, number.removeprefix(f"+{pack.plan.country_code}"))
    code = _calling_code(number)
    if code is None:
        return NumberClass.INVALID
    found = _plain_type(code, number[1 + len(code) :])
    if found is not None:
        return NumberClass.FOREIGN_PREMIUM if found is NumberClass.PREMIUM else NumberClass.FOREIGN
    possible = _is_possible(code, number[1 + len(code) :])
    return NumberClass.FOREIGN_UNALLOCATED if possible else NumberClass.INVALID


def _plain_abroad_of(pack: Pack, digits: str) -> NumberClass:
    forms = [each for short in (True, False) for each in forms_of(pack, digits, short)]
    fitting = [each for each in forms if each[2].digits[0] <= len(digits) <= each[2].digits[1]]
    if not fitting:
        known = pack.plan.min_national_digits <= len(digits) <= pack.plan.max_national_digits
        return NumberClass.FOREIGN_UNALLOCATED if known else NumberClass.INVALID
    found = max(fitting, key=lambda each: each[:2])[2].name
    return SEEN_ABROAD.get(found, NumberClass.FOREIGN)


def plain_country(number: str) -> NumberClass:
    """The class of a number of a country without a pack of its own, by phonenumbers; at home."""
    code = _calling_code(number)
    assert code is not None
    digits = number[1 + len(code) :]
    found = _plain_type(code, digits)
    if found is not None:
        return found
    begins = any(_plain_type(code, f"{digits}{'0' * more}") for more in range(1, 9))
    return NumberClass.INVALID if begins or not _is_possible(code, digits) else NumberClass.UNALLOCATED


def _calling_code(number: str) -> str | None:
    heads = (number[1 : 1 + length] for length in (1, 2, 3))
    return next((head for head in heads if int(head) in COUNTRY_CODE_TO_REGION_CODE), None)


def _plain_type(code: str, digits: str) -> NumberClass | None:
    """The class by phonenumbers' own reading of the number; None if it is not valid."""
    if not digits:
        return None
    zeros = min(len(digits) - len(digits.lstrip("0")), len(digits) - 1)
    number = phonenumbers.PhoneNumber(
        country_code=int(code),
        national_number=int(digits),
        italian_leading_zero=zeros > 0 or None,
        number_of_leading_zeros=zeros or None,
    )
    return CLASS_BY_TYPE[phonenumbers.number_type(number)]


def _is_possible(code: str, digits: str) -> bool:
    """Whether numbers of the calling code are as long, or some are shorter and others longer."""
    lengths: set[int] = set()
    for region in COUNTRY_CODE_TO_REGION_CODE[int(code)]:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
        assert metadata is not None
        lengths |= set(metadata.general_desc.possible_length)
    return min(lengths) <= len(digits) <= max(lengths)


def plain_action(home: str, number_class: NumberClass, trunk_class: str) -> Action:
    rows = [row for row in packs.PACKS[home].origin if row.number_class == number_class] if home in packs.PACKS else []
    for row in (*rows, packs.COMMON_ORIGIN[number_class]):
        action = getattr(row, trunk_class)
        if action is not None:
            return ACTION[action.value]
    return Action.ACCEPT
