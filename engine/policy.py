"""The policy compiler: from what an operator writes to one immutable image that every process maps.

A policy is checked as a whole; one error and there is no image. What all lists and prefix rules say of a number is
pushed down into one record per prefix (`engine._entries`), so that a single longest match answers every step of the
order of decision.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from engine import _image, rules
from engine._entries import EntrySet, RecordSet
from engine._image import ImageError, PolicyImage
from engine._numbers import DialPlan
from engine._prefix_trie import PrefixTrie
from engine.country_rules import decisive
from engine.lint import (
    Finding,
    RuleOfAny,
    all_rules,
    check_rules,
    end_of_day_us,
    error,
    in_force,
    key_of,
    limit_times_us,
)
from engine.lint_entries import check_shadows, check_wide_prefixes
from engine.lint_origin import check_origin
from engine.lint_subscribers import check_subscribers, high_frequency_times_us
from engine.origin import origin_cells, pack_of, rules_of
from engine.pack_rules import PackRule
from engine.packs import BUILTIN_DIAL_PLANS, HOME
from engine.policy_names import BUILTIN_RULES, Names
from engine.segments import class_segments
from engine.time_zones import offsets

__all__ = ["Finding", "ImageError", "PolicyError", "PolicyImage", "compile_policy", "lint_policy"]

Progress = Callable[[int, int], None]

FIRST_RULE = len(BUILTIN_RULES)
NO_LABEL = 0xFF
BAD_LINES_SHOWN = 20
TRIES = 4

# The same numbers as in _image.pxd.
LIST_LEVEL = {
    rules.ListAction.NEVER_BLOCK: 0,
    rules.ListAction.PROTECTED: 1,
    rules.ListAction.ORDER: 2,
    rules.ListAction.ALLOW: 3,
    rules.ListAction.DENY: 4,
    rules.ListAction.DNO: 5,
    rules.ListAction.TAG: 8,
    rules.ListAction.OWN: 9,
}
PREFIX_LEVEL = {rules.Outcome.REJECT: 6, rules.Outcome.TAG: 6, rules.Outcome.SCORE: 7}
LIST_OUTCOME = {
    rules.ListAction.NEVER_BLOCK: 3,
    rules.ListAction.PROTECTED: 3,
    rules.ListAction.ORDER: 0,
    rules.ListAction.ALLOW: 3,
    rules.ListAction.DENY: 0,
    rules.ListAction.DNO: 0,
    rules.ListAction.TAG: 1,
    rules.ListAction.OWN: 3,
}
CLASS_LEVEL = 10
OUTCOME = {rules.Outcome.REJECT: 0, rules.Outcome.TAG: 1, rules.Outcome.SCORE: 2}
ANONYMOUS_OUTCOME = {
    rules.AnonymousAction.REJECT: 0,
    rules.AnonymousAction.TAG: 1,
    rules.AnonymousAction.ACCEPT: 3,
}
MODE = {mode: index for index, mode in enumerate(rules.Mode)}
LIMIT_KEY = {key: index for index, key in enumerate(rules.LimitKey)}
BASES = ("none", "analytics", "dno", "invalid", "subscriber", "policy", "overload", "security")


class PolicyError(ValueError):
    """The policy has errors; `findings` holds them all, warnings included."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(f"{each.key}: {each.why}" for each in findings if each.severity == "error"))
        self.findings = findings


def compile_policy(
    policy: rules.PolicySet,
    *,
    base_dir: Path,
    generation: int,
    progress: Progress | None = None,
) -> PolicyImage:
    """The image of a policy. File names of lists are relative to base_dir.

    progress is told (steps done, steps in all). Raises PolicyError if anything is wrong.
    """
    draft = Draft(policy, base_dir, progress)
    findings = draft.check(None)
    if any(each.severity == "error" for each in findings):
        raise PolicyError(findings)
    return _image.assemble(draft.sections(), generation)


def lint_policy(policy: rules.PolicySet, base_dir: Path, *, now_us: int | None = None) -> list[Finding]:
    """Everything wrong with a policy, errors first; lists that have ended only if now_us is given."""
    findings = Draft(policy, base_dir, None).check(now_us)
    return sorted(findings, key=lambda each: each.severity)


class Draft:
    """A policy on its way to an image."""

    def __init__(self, policy: rules.PolicySet, base_dir: Path, progress: Progress | None) -> None:
        self.policy = policy
        self.base_dir = base_dir
        self.rules = all_rules(policy)
        self.first_pack_rule = FIRST_RULE + len(self.rules)
        self.policies = {each.name: each for each in policy.policies}
        self.plans = dict(BUILTIN_DIAL_PLANS) | {plan.name: plan for plan in policy.dial_plans}
        packs = {self._pack_of(trunk) for trunk in policy.trunks if trunk.dial_plan in self.plans}
        self.pack_rules = rules_of([pack for pack in packs if pack in HOME])
        self.labels = {label.name: index for index, label in enumerate(policy.labels)}
        self.records = RecordSet()
        self._progress = progress
        self._done = 0
        self._steps = len(policy.lists) + len(policy.prefix_rules) + TRIES

    def check(self, now_us: int | None) -> list[Finding]:
        """Findings; without errors, the entries are read and pushed down."""
        findings = [*check_rules(self.policy, now_us), *check_origin(self.policy), *check_subscribers(self.policy)]
        if any(each.severity == "error" for each in findings):
            return findings
        used = {trunk.dial_plan for trunk in self.policy.trunks}
        plans = [DialPlan(self.plans[name]) for name in sorted(used)]
        self.callers = EntrySet(plans)
        self.callees = EntrySet(plans)
        findings.extend(self._read_entries())
        findings.extend(check_wide_prefixes(self.callers, self._rule_at))
        self._add_packs()
        self.prefixes = [
            entries.push_down(short_codes, self.records)
            for entries in (self.callers, self.callees)
            for short_codes in (False, True)
        ]
        written = [tuple(hit for hit in content if hit[0] < self.first_pack_rule) for content in self.records.contents]
        findings.extend(check_shadows(self.policy, written, FIRST_RULE))
        return findings

    def sections(self) -> list[bytes]:
        """The sections of the image, in the order of `Section`."""
        in_force_rows, limits, trunks = self._trunk_sections()
        records, hits = self._record_sections()
        return [
            msgspec.msgpack.encode(self._names()),
            self._settings(),
            trunks,
            b"".join(self._rule_row(rule) for rule in [None] * FIRST_RULE + list(self.rules))
            + b"".join(map(self._pack_rule_row, self.pack_rules)),
            in_force_rows,
            limits,
            records,
            hits,
            *map(self._trie, self.prefixes),
            self._origins(),
            b"".join(_image.OFFSET_ROW.pack(*each) for each in offsets(self.policy.subscribers.time_zone)),
        ]

    def _rule_at(self, index: int) -> RuleOfAny:
        return self.rules[index - FIRST_RULE]

    def _step(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._steps)

    # --- entries -----------------------------------------------------------------------------------------------------

    def _read_entries(self) -> Iterator[Finding]:
        for index, rule in enumerate(self.rules, FIRST_RULE):
            if isinstance(rule, rules.NumberList):
                yield from self._read_list(index, rule)
                self._step()
            elif isinstance(rule, rules.PrefixRule):
                yield from self._read_prefixes(index, rule)
                self._step()

    def _read_list(self, index: int, rule: rules.NumberList) -> Iterator[Finding]:
        entries = self.callees if rule.action is rules.ListAction.NEVER_BLOCK else self.callers
        for _, text in entries.add_text("\n".join(rule.numbers).encode(), index):
            yield _bad_entry(f"{key_of(rule)}.numbers", text)
        if rule.file is None:
            return
        try:
            content = (self.base_dir / rule.file).read_bytes()
        except OSError as fault:
            yield error(f"{key_of(rule)}.file", f"{rule.file}: {fault.strerror}")
            return
        bad = entries.add_text(content, index)
        for line, text in bad[:BAD_LINES_SHOWN]:
            yield _bad_entry(f"{key_of(rule)}.file", text, f"{rule.file} line {line}: ")
        if len(bad) > BAD_LINES_SHOWN:
            yield error(f"{key_of(rule)}.file", f"{rule.file}: {len(bad) - BAD_LINES_SHOWN} more such lines")

    def _read_prefixes(self, index: int, rule: rules.PrefixRule) -> Iterator[Finding]:
        written = [prefix if prefix.endswith("*") else f"{prefix}*" for prefix in rule.prefixes]
        for _, text in self.callers.add_text("\n".join(written).encode(), index):
            yield _bad_entry(f"{key_of(rule)}.prefixes", text)

    def _add_packs(self) -> None:
        for index, rule in enumerate(self.pack_rules, self.first_pack_rule):
            entries = self.callees if rule.callee else self.callers
            entries.add_text("\n".join(rule.entries).encode(), index)

    # --- sections ----------------------------------------------------------------------------------------------------

    def _names(self) -> Names:
        used = sorted({trunk.dial_plan for trunk in self.policy.trunks})
        return Names(
            rules=(*BUILTIN_RULES, *(rule.name for rule in self.rules), *(rule.name for rule in self.pack_rules)),
            labels=tuple(label.name for label in self.policy.labels),
            label_texts=tuple(label.text for label in self.policy.labels),
            trunks=tuple(trunk.name for trunk in self.policy.trunks),
            dial_plans=tuple(self.plans[name] for name in used),
            trunk_plans=tuple(used.index(trunk.dial_plan) for trunk in self.policy.trunks),
        )

    def _label(self, name: str | None) -> int:
        return NO_LABEL if name is None else self.labels[name]

    @property
    def _rule_words(self) -> int:
        return (self.first_pack_rule + len(self.pack_rules) + 63) // 64

    def _settings(self) -> bytes:
        reputation, subscribers = self.policy.reputation, self.policy.subscribers
        levels = high_frequency_times_us(subscribers)
        return _image.SETTINGS_ROW.pack(
            self._rule_words,
            reputation.refused_points,
            reputation.complaint_points,
            round(reputation.block_share * 1000),
            subscribers.pair_points,
            len(offsets(subscribers.time_zone)),
            _name_hash("subscriber-high-frequency"),
            *(increment for increment, _ in levels),
            *(tolerance for _, tolerance in levels),
            *class_segments(),
        )

    def _rule_row(self, rule: RuleOfAny | None) -> bytes:
        increment = tolerance = until = points = level = limit_key = 0
        if rule is None:
            return _image.RULE_ROW.pack(0, 0, 0, 0, 0, 0, 0, 0, NO_LABEL, 0, 0, 0, 0)
        match rule:
            case rules.NumberList():
                level, outcome = LIST_LEVEL[rule.action], LIST_OUTCOME[rule.action]
                until = end_of_day_us(rule.until) if rule.until else 0
            case rules.PrefixRule():
                level, outcome, points = PREFIX_LEVEL[rule.outcome], OUTCOME[rule.outcome], rule.points
            case _:
                increment, tolerance = limit_times_us(rule)
                outcome, points, limit_key = OUTCOME[rule.outcome], rule.points, LIMIT_KEY[rule.key]
        return _image.RULE_ROW.pack(
            increment,
            tolerance,
            until,
            _name_hash(rule.name),
            points,
            level,
            outcome,
            limit_key,
            self._label(rule.label),
            rule.observe,
            0,
            0,
            0,
        )

    def _pack_rule_row(self, rule: PackRule) -> bytes:
        level = self._pack_rule_level(rule)
        accept = LIST_OUTCOME[rules.ListAction.NEVER_BLOCK]
        return _image.RULE_ROW.pack(
            0, 0, 0, _name_hash(rule.name), 0, level, accept, 0, NO_LABEL, 0, rule.number_class, rule.least, rule.most
        )

    def _pack_rule_level(self, rule: PackRule) -> int:
        return LIST_LEVEL[rules.ListAction.NEVER_BLOCK] if rule.callee else CLASS_LEVEL

    def _pack_of(self, trunk: rules.TrunkPolicy) -> str | None:
        return pack_of(trunk, self.plans[trunk.dial_plan])

    def _origins(self) -> bytes:
        """For each trunk a cell for each class."""
        cells = bytearray()
        for trunk in self.policy.trunks:
            mode = self.policies[trunk.policy].origin
            for cell in origin_cells(trunk, self._pack_of(trunk), mode, self.policy.origin):
                observe = mode is rules.Mode.OBSERVE
                cells += _image.ORIGIN_ROW.pack(cell.outcome, cell.basis, self._label(cell.label), observe)
        return bytes(cells)

    def _trunk_sections(self) -> tuple[bytes, bytes, bytes]:
        """(rules in force, limits, trunks): each trunk's row of bits, its limits' indices, and what it screens with."""
        bits, limits, trunks = bytearray(), bytearray(), bytearray()
        for trunk in self.policy.trunks:
            active = [i for i, rule in enumerate(self.rules, FIRST_RULE) if in_force(rule, trunk, self.policies)]
            pack = self._pack_of(trunk)
            packed = [i for i, rule in enumerate(self.pack_rules, self.first_pack_rule) if rule.speaks_on(pack)]
            bits += sum(1 << index for index in (*active, *packed)).to_bytes(8 * self._rule_words, "little")
            counted = [index for index in active if isinstance(self._rule_at(index), rules.Limit)]
            trunks += self._trunk_row(trunk, len(limits) // 2, len(counted))
            limits += b"".join(index.to_bytes(2, "little") for index in counted)
        return bytes(bits), bytes(limits), bytes(trunks)

    def _trunk_row(self, trunk: rules.TrunkPolicy, limits_start: int, limits_count: int) -> bytes:
        policy = self.policies[trunk.policy]
        return _image.TRUNK_ROW.pack(
            _name_hash(trunk.name),
            *(getattr(trunk.status, basis, 0) for basis in BASES),
            trunk.status.anonymous,
            policy.thresholds.tag,
            policy.thresholds.reject,
            limits_count,
            limits_start,
            policy.invalid_points,
            policy.mismatch_points,
            ANONYMOUS_OUTCOME[policy.anonymous],
            OUTCOME[policy.invalid],
            self._label(policy.label),
            policy.observe,
            self._pack_of(trunk) is not None,
            MODE[policy.subscribers],
            trunk.trunk_class == "callcentre",
        )

    def _record_sections(self) -> tuple[bytes, bytes]:
        records, hits = bytearray(), bytearray()
        for content in self.records.contents:
            counting = decisive(content, self._pack_rule_at)
            records += _image.RECORD_ROW.pack(len(hits) // _image.HIT_ROW.size, len(counting))
            for index, weight in self._in_order(counting):
                hits += _image.HIT_ROW.pack(index, self._level(index), weight)
        return bytes(records), bytes(hits)

    def _in_order(self, content: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """By level, then the longest match first; of equal prefix rules the milder."""
        return sorted(content, key=lambda hit: (self._level(hit[0]), -hit[1], -self._mildness(hit[0]), hit[0]))

    def _mildness(self, index: int) -> int:
        if index >= self.first_pack_rule:
            return 0
        rule = self._rule_at(index)
        return OUTCOME[rule.outcome] if isinstance(rule, rules.PrefixRule) else 0

    def _pack_rule_at(self, index: int) -> PackRule | None:
        return None if index < self.first_pack_rule else self.pack_rules[index - self.first_pack_rule]

    def _level(self, index: int) -> int:
        if index >= self.first_pack_rule:
            return self._pack_rule_level(self.pack_rules[index - self.first_pack_rule])
        rule = self._rule_at(index)
        if isinstance(rule, rules.NumberList):
            return LIST_LEVEL[rule.action]
        return PREFIX_LEVEL[rule.outcome]

    def _trie(self, prefixes: tuple[array[int], array[int]]) -> bytes:
        trie = PrefixTrie.build_keys(*prefixes)
        self._step()
        return trie


def _name_hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def _bad_entry(key: str, text: bytes, where: str = "") -> Finding:
    shown = text[:40].decode("utf-8", "replace")
    return error(key, f"{where}{shown!r} is no entry: expected +DIGITS, +DIGITS*, CC:DIGITS or CC:DIGITS*")
