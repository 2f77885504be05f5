"""Policies, tables and calls at random, as hostile as an operator's files and a subscriber's wishes can be."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine import rules
from engine._orders import OrderTable
from engine._subscriber_lists import ListEntry
from engine._subscribers import Preferences
from engine.decision import Attempt, Category
from engine.lint_origin import TRUNK_CLASSES
from engine.number_words import caller_word
from engine.numbers import EMERGENCY_CODES
from engine.packs import BUILTIN_DIAL_PLANS, CLASSES, COUNTRIES, PACKS, NumberClass, Pack
from engine.subscribers import Subscribers
from engine.tables import Tables
from tests.oracle_numbers import plain_form

NOW_US = 1_795_305_600_000_000
PLANS = ("cn", "nanp", "uk", "fr", "generic", "de", "in", "br", "hk", "it", "ga")
PROTECTED = ("CN:95588", "CN:95566", "CN:96110", "+862088880000", "+442076014444", "+4930227670", "+12024561111")
NEVER_BLOCKED = ("+862088880110", "+862088880120", "+12125557000", "+442079460000", "CN:95533")
NEVER_BLOCKED_BLOCK = "+33142278*"
ORDERED_NEVER_BLOCK = "+862088880122"
BLOCK, ALLOW, NEVER_BLOCK = 1, 2, 3
SPARED_CLASSES = (NumberClass.EMERGENCY, NumberClass.PUBLIC)
REJECTING = tuple(rules.ListAction[name] for name in ("ORDER", "DENY", "DIVERT", "DROP", "DNO", "TAG"))
UNCOVERED = (NumberClass.SVC95, NumberClass.SVC96, NumberClass.PUBLIC, NumberClass.EMERGENCY)  # as `check` wants it


@dataclass(frozen=True, slots=True)
class Call:
    """spared: why the call must not be rejected."""

    attempt: Attempt
    spared: str


class PolicyFuzz:
    """Makes policies that compile; what it draws follows from the seed alone."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.trunks: tuple[rules.TrunkPolicy, ...] = ()
        # An order spares no protected caller: where orders hold for anybody, none is asked about.
        self.orders_for_all = self.random.random() < 0.5

    def policy(self) -> rules.PolicySet:
        self.trunks = tuple(self._trunk(index) for index in range(self.random.randint(1, 6)))
        limits = tuple(self._limit(index) for index in range(self.random.randint(0, 6)))
        return rules.PolicySet(
            trunks=self.trunks,
            policies=tuple(self._policy(name) for name in ("one", "two")),
            lists=(*self._sparing_lists(), *(self._list(index) for index in range(self.random.randint(1, 8)))),
            prefix_rules=tuple(self._prefix_rule(index) for index in range(self.random.randint(0, 6))),
            rules=tuple(self._rule(index) for index in range(self.random.randint(0, 6))),
            hours=(rules.Hours(name="always", open=("daily 00:00-24:00",)),),
            diverts=(rules.Divert(name="ivr"),),
            limits=limits,
            labels=(rules.Label(name="label", text="Suspected spam"),),
            origin=tuple(self._origin_row() for _ in range(self.random.randint(0, 8))),
            reputation=rules.Reputation(
                refused_points=self._pick(0, 60, 1000), complaint_points=self._pick(0, 150, 1000), block_share=1.0
            ),
            subscribers=rules.Subscribers(high_frequency=(1, 1, 2, 3), pair_points=self._pick(0, 1, 100)),
        )

    def _pick(self, *choices: int) -> int:
        return self.random.choice(choices)

    def _trunk(self, index: int) -> rules.TrunkPolicy:
        return rules.TrunkPolicy(
            name=f"trunk-{index}",
            policy=self.random.choice(("one", "two")),
            dial_plan=self.random.choice(PLANS),
            trunk_class=self.random.choice(TRUNK_CLASSES),
            pack=self.random.choice((None, None, "cn", "nanp", "uk", "fr", "de", "in", "ru")),
        )

    def _policy(self, name: str) -> rules.Policy:
        tag = self.random.randint(1, 999)
        return rules.Policy(
            name=name,
            thresholds=rules.Thresholds(
                tag=tag, divert=self.random.choice((None, tag)), reject=self.random.randint(tag + 1, 1000)
            ),
            divert="ivr",
            anonymous=self.random.choice(list(rules.AnonymousAction)),
            invalid=self.random.choice(list(rules.Outcome)),
            invalid_points=1000,
            mismatch_points=self._pick(0, 500, 1000),
            label="label",
            observe=self.random.random() < 0.05,
            origin=self.random.choice(list(rules.Mode)),
            subscribers=self.random.choice(list(rules.Mode)),
        )

    def _sparing_lists(self) -> tuple[rules.NumberList, ...]:
        numbers = (*NEVER_BLOCKED, NEVER_BLOCKED_BLOCK)
        return (
            rules.NumberList(name="protected", action=rules.ListAction.PROTECTED, numbers=PROTECTED),
            rules.NumberList(name="never-block", action=rules.ListAction.NEVER_BLOCK, numbers=numbers),
        )

    def _list(self, index: int) -> rules.NumberList:
        allows = self.random.random() < 0.2
        action = rules.ListAction.ALLOW if allows else self.random.choice(REJECTING)
        anybody = action is not rules.ListAction.ORDER or self.orders_for_all
        entry = self._entry if anybody else self._strangers_entry
        return rules.NumberList(
            name=f"list-{index}",
            action=action,
            numbers=tuple(entry() for _ in range(self.random.randint(1, 20))),
            trunks=self._trunks(),
            owner="fuzz" if allows else None,
            until="2035-12-31" if allows else None,
            observe=self.random.random() < 0.1,
        )

    def _trunks(self) -> tuple[str, ...]:
        return () if self.random.random() < 0.6 else (self.random.choice(self.trunks).name,)

    def _entry(self) -> str:
        """A number, a spared one, or a prefix of one, down to one digit."""
        whole = self.random.choice((*PROTECTED, *NEVER_BLOCKED, f"+{self.random.randrange(10**6, 10**14)}"))
        start = 1 + max(whole.find("+"), whole.find(":"))
        if whole.startswith("CN:") or self.random.random() < 0.4:
            return whole
        return f"{whole[: self.random.randint(start + 1, len(whole))]}*"

    def _strangers_entry(self) -> str:
        return f"+7{self.random.randrange(10, 10**6)}*"

    def _prefix_rule(self, index: int) -> rules.PrefixRule:
        heads = tuple(f"+{self.random.randint(1, 999)}" for _ in range(8))
        outcome = self.random.choice(list(rules.Outcome))
        points = 1000 if outcome is rules.Outcome.SCORE else 0
        return rules.PrefixRule(
            name=f"prefix-{index}",
            prefixes=(*heads, "+86", "+1", "+44"),
            outcome=outcome,
            points=points,
            hours=self.random.choice((None, "always")),
            callee_classes=self._classes() if self.random.random() < 0.2 else (),
        )

    def _rule(self, index: int) -> rules.Rule:
        outcome = self.random.choice(list(rules.Outcome))
        return rules.Rule(
            name=f"rule-{index}",
            classes=self._classes(),
            callee_classes=self._classes() if self.random.random() < 0.3 else (),
            hours=self.random.choice((None, "always", "calling-hours")),
            outcome=outcome,
            points=1000 if outcome is rules.Outcome.SCORE else 0,
            trunks=self._trunks(),
        )

    def _classes(self) -> tuple[str, ...]:
        """Those of banks and the police are reached by points, numbers and limits."""
        usual = [each for each in CLASSES if each not in UNCOVERED and each is not NumberClass.ANONYMOUS]
        return tuple(self.random.sample(usual, self.random.randint(1, len(usual))))

    def _limit(self, index: int) -> rules.Limit:
        outcome = self.random.choice(list(rules.Outcome))
        return rules.Limit(
            name=f"limit-{index}",
            key=self.random.choice(list(rules.LimitKey)),
            windows=tuple(
                rules.Window(calls=self._pick(1, 1, 2, 5), period_s=period, burst=1)
                for period in self.random.choice(((1,), (60,), (86_400,), (1, 3600)))
            ),
            classes=tuple(CLASSES) if self.random.random() < 0.2 else (),
            outcome=outcome,
            points=1000 if outcome is rules.Outcome.SCORE else 0,
            trunks=self._trunks(),
        )

    def _origin_row(self) -> rules.OriginRow:
        classes = [each.value for each in CLASSES if each is not NumberClass.ANONYMOUS]
        actions = {each: self.random.choice((None, *rules.OriginAction)) for each in TRUNK_CLASSES}
        return rules.OriginRow(number_class=self.random.choice(classes), trunks=self._trunks(), **actions)

    # --- tables ------------------------------------------------------------------------------------------------------

    def tables(self, directory: Path) -> Tables:
        """Tables in which everybody refuses everything, and everything is known for the worst."""
        tables = Tables.open(
            directory, reputation=4096, rate_limiter=4096, half_life_days=14, pairs=4096, subscriber_lists=4096
        )
        subscribers = Subscribers(tables)
        for callee in (*CALLEES, *NEVER_BLOCKED):
            subscribers.set(callee, WISHES)
            for caller in (*PROTECTED, "+862*", "+1*"):
                subscribers.set_entry(callee, caller, ListEntry(deny=True))
        for caller in PROTECTED:
            word, _ = caller_word(caller)
            tables.reputation.add(word, NOW_US, 1_000_000, True, Category.FRAUD)
        self._give_orders(tables.orders)
        return tables

    def _give_orders(self, orders: OrderTable) -> None:
        """The operator blocks a few callers and prefixes; none of them is a protected number's."""
        for _ in range(20):
            word, _ = caller_word(self._strangers_entry())
            orders.set(word, self.random.choice((BLOCK, ALLOW)), self.random.randint(1, 3))
        word, _ = caller_word(ORDERED_NEVER_BLOCK)
        orders.set(word, NEVER_BLOCK, 2)

    # --- calls -------------------------------------------------------------------------------------------------------

    def call(self) -> Call:
        trunk = self.random.choice(self.trunks)
        kinds = ("emergency", "flag", "service", "never-block", "order", "protected")
        kind = self.random.choice(kinds[:-1] if self.orders_for_all else kinds)
        caller, callee = self._caller(), self.random.choice(CALLEES)
        if kind == "emergency":
            callee = self.random.choice(EMERGENCY_CODES)
        elif kind == "service":
            callee = self.random.choice(services_of(trunk))
        elif kind == "never-block":
            callee = self.random.choice((*NEVER_BLOCKED, f"+33142278{self.random.randrange(1000):03}"))
        elif kind == "order":
            callee = ORDERED_NEVER_BLOCK
        elif kind == "protected":
            caller = self.random.choice(PROTECTED)
        attempt = Attempt(
            caller,
            callee,
            trunk.name,
            source=f"203.0.113.{self.random.randrange(4)}",
            emergency=kind == "flag",
            privacy=kind != "protected" and self.random.random() < 0.2,
            mismatch=self.random.random() < 0.2,
            fingerprint="dialler",
        )
        return Call(attempt, kind)

    def _caller(self) -> str:
        some = ("anonymous", "", "nonsense", "+", "110", "12321", "95588", "+2101234567", "+12125550123", "02088886666")
        return self.random.choice((*some, *PROTECTED, *EMERGENCY_CODES, f"+{self.random.randrange(10**14)}"))


CALLEES = ("+862088887777", "+8613800138000", "+12025551234", "+442079461111", "+33142000000", "+4930227671")
WISHES = Preferences(
    refused_categories=0xFFFE, refused_segments=63, do_not_call=True, high_frequency=0, quiet=(0, 0)
)


@cache
def services_of(trunk: rules.TrunkPolicy) -> tuple[str, ...]:
    """What callers of a trunk dial for help: the emergency and public services of its dial plan's country."""
    if trunk.dial_plan in COUNTRIES and trunk.pack in (None, trunk.dial_plan):
        return tuple(number.replace("x", "7") for number in COUNTRIES[trunk.dial_plan].emergency)
    if trunk.pack not in (None, trunk.dial_plan) or not BUILTIN_DIAL_PLANS[trunk.dial_plan].country_code:
        return EMERGENCY_CODES
    pack = PACKS[trunk.dial_plan]
    forms = [form for form in pack.classes if form.short and form.name in SPARED_CLASSES]
    numbers = {prefix.ljust(n, "7") for form in forms for prefix in form.expanded() for n in range(2, 7)}
    return tuple(sorted(number for number in numbers if is_service(pack, number)))


def is_service(pack: Pack, number: str) -> bool:
    dialled = any(
        number.startswith(code.prefix) and code.min_digits <= len(number) <= code.max_digits
        for code in pack.plan.short_codes
    )
    return dialled and plain_form(pack, number, True) in SPARED_CLASSES
