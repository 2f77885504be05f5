"""The policy compiler: from what an operator writes to one immutable image that every process maps.

A policy is checked as a whole; one error and there is no image. What all lists and prefix rules say of a number is
pushed down into one record per prefix (`engine._entries`), so that a single longest match answers every step of the
order of decision.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from engine import _image, rules
from engine._dial_plan import DialPlan
from engine._entries import EntrySet, RecordSet
from engine._image import ImageError, PolicyImage
from engine._prefix_trie import PrefixTrie
from engine.contact_limits import with_contact_limits
from engine.country_rules import decisive
from engine.hours import CALLING_HOURS, ZONES, pack_hours, zone_of
from engine.lint import Finding, RuleOfAny, all_rules, check_rules, error, in_force, key_of
from engine.lint_conditions import check_conditions
from engine.lint_entries import check_shadows, check_wide_prefixes
from engine.lint_origin import check_origin
from engine.lint_reach import check_reach
from engine.lint_subscribers import check_subscribers, high_frequency_times_us
from engine.origin import origin_cells, pack_of, rules_of, zone_rules
from engine.pack_rules import PackRule
from engine.packs import BUILTIN_DIAL_PLANS, HOME
from engine.policy_names import BUILTIN_RULES, Names
from engine.policy_rows import (
    BUILTIN_ROW,
    Places,
    hours_rows,
    level_of,
    limit_rows,
    name_hash,
    pack_rule_level,
    pack_rule_row,
    rule_row,
    trunk_row,
)
from engine.segments import class_segments
from engine.time_zones import offsets

__all__ = ["Finding", "ImageError", "PolicyError", "PolicyImage", "compile_policy", "lint_policy"]

Progress = Callable[[int, int], None]

FIRST_RULE = len(BUILTIN_RULES)
BAD_LINES_SHOWN = 20
TRIES = 4
MILDNESS = tuple(rules.Outcome[name] for name in ("DROP", "REJECT", "DIVERT", "TAG", "SCORE"))


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
    """A policy on its way to an image. written: as its operator has it; policy: with what its trunks' packs add."""

    def __init__(self, policy: rules.PolicySet, base_dir: Path, progress: Progress | None) -> None:
        self.written = policy
        self.policy = policy = with_contact_limits(policy)
        self.base_dir = base_dir
        self.rules = all_rules(policy)
        self.first_pack_rule = FIRST_RULE + len(self.rules)
        self.policies = {each.name: each for each in policy.policies}
        self.plans = dict(BUILTIN_DIAL_PLANS) | {plan.name: plan for plan in policy.dial_plans}
        packs = {self._pack_of(trunk) for trunk in policy.trunks if trunk.dial_plan in self.plans}
        known = sorted(pack for pack in packs if pack in HOME)
        self.pack_rules = (*rules_of(known), *(zone_rules() if self._by_callees_zone() else ()))
        self.hours = (*policy.hours, *(hours for hours in map(pack_hours, known) if hours))
        self.zones = self._zone_names()
        self.places = Places(policy, self.zones, self.hours)
        self.records = RecordSet()
        self._progress = progress
        self._done = 0
        self._steps = len(policy.lists) + len(policy.prefix_rules) + TRIES

    def check(self, now_us: int | None) -> list[Finding]:
        """Findings; without errors, the entries are read and pushed down."""
        findings = [
            *check_rules(self.policy, now_us),
            *check_conditions(self.written),
            *check_origin(self.written),
            *check_subscribers(self.written),
        ]
        if any(each.severity == "error" for each in findings):
            return findings
        used = {trunk.dial_plan for trunk in self.policy.trunks}
        plans = [DialPlan(self.plans[name]) for name in sorted(used)]
        self.callers = EntrySet(plans)
        self.callees = EntrySet(plans)
        findings.extend(check_reach(self.written))
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
        in_force_rows, limits, conditional, trunks = self._trunk_sections()
        offset_rows, zone_rows = self._zone_sections()
        records, hits = self._record_sections()
        hours, holidays = hours_rows(self.hours, self.places)
        return [
            msgspec.msgpack.encode(self._names()),
            self._settings(),
            trunks,
            BUILTIN_ROW * FIRST_RULE
            + b"".join(rule_row(rule, self.places) for rule in self.rules)
            + b"".join(pack_rule_row(rule, self.places) for rule in self.pack_rules),
            in_force_rows,
            limits,
            records,
            hits,
            *map(self._trie, self.prefixes),
            self._origins(),
            offset_rows,
            zone_rows,
            hours,
            conditional,
            holidays,
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
            written = "\n".join(rule.entries).encode()
            if not rule.callee:
                self.callers.add_text(written, index)
            if rule.callee or self._by_callees_class():
                self.callees.add_text(written, index)

    def _by_callees_class(self) -> bool:
        return any(rule.callee_classes for rule in self.rules if not isinstance(rule, rules.NumberList))

    def _by_callees_zone(self) -> bool:
        """Whether a rule asks for the hour at the callee's place."""
        asked = {
            name
            for rule in self.rules
            if not isinstance(rule, rules.NumberList)
            for name in (rule.hours, rule.outside_hours)
        }
        return CALLING_HOURS in asked or any(each.name in asked and not each.time_zone for each in self.policy.hours)

    def _zone_names(self) -> list[str]:
        """The subscribers' zone first."""
        named = [hours.time_zone for hours in self.policy.hours if hours.time_zone]
        by_number = [zone.time_zone for zone in ZONES] if self._by_callees_zone() else []
        return list(dict.fromkeys([self.policy.subscribers.time_zone, *named, *by_number]))

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
            diverts=tuple(divert.name for divert in self.policy.diverts),
        )

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
            0,
            name_hash("subscriber-high-frequency"),
            *(increment for increment, _ in levels),
            *(tolerance for _, tolerance in levels),
            *class_segments(),
        )

    def _pack_of(self, trunk: rules.TrunkPolicy) -> str | None:
        return pack_of(trunk, self.plans[trunk.dial_plan])

    def _origins(self) -> bytes:
        """For each trunk a cell for each class."""
        cells = bytearray()
        for trunk in self.policy.trunks:
            mode = self.policies[trunk.policy].origin
            for cell in origin_cells(trunk, self._pack_of(trunk), mode, self.policy.origin):
                observe = mode is rules.Mode.OBSERVE
                cells += _image.ORIGIN_ROW.pack(cell.outcome, cell.basis, self.places.label(cell.label), observe)
        return bytes(cells)

    def _trunk_sections(self) -> tuple[bytes, bytes, bytes, bytes]:
        """(rules in force, limits, rules without numbers, trunks): each trunk's own, and what it screens with."""
        bits, limits, conditional, trunks = bytearray(), list[bytes](), list[int](), bytearray()
        for trunk in self.policy.trunks:
            active = [i for i, rule in enumerate(self.rules, FIRST_RULE) if in_force(rule, trunk, self.policies)]
            pack = self._pack_of(trunk)
            packed = [i for i, rule in enumerate(self.pack_rules, self.first_pack_rule) if rule.speaks_on(pack)]
            bits += sum(1 << index for index in (*active, *packed)).to_bytes(8 * self._rule_words, "little")
            counted = [(i, rule) for i in active if isinstance(rule := self._rule_at(i), rules.Limit)]
            windows = [row for index, limit in counted for row in limit_rows(index, limit)]
            unnumbered = [index for index in active if isinstance(self._rule_at(index), rules.Rule)]
            trunks += trunk_row(
                trunk,
                self.policies[trunk.policy],
                self.places,
                limits=(len(limits), len(windows)),
                conditional=(len(conditional), len(unnumbered)),
                has_pack=pack is not None,
                zone=self._zone_index(pack),
                hours=self.places.hours.get(f"{pack}:{CALLING_HOURS}", 0),
                fingerprinted=any(limit.key is rules.LimitKey.FINGERPRINT for _, limit in counted),
            )
            limits += windows
            conditional += unnumbered
        return bytes(bits), b"".join(limits), b"".join(i.to_bytes(2, "little") for i in conditional), bytes(trunks)

    def _zone_index(self, pack: str | None) -> int:
        """The zone of a country's numbers that no longer prefix places elsewhere; 0 = the subscribers'."""
        zone = None if pack is None else zone_of(HOME[pack])
        return 0 if zone is None else self.places.zones.get(zone, 0)

    def _zone_sections(self) -> tuple[bytes, bytes]:
        """(offsets, zones)"""
        rows, zones = bytearray(), bytearray()
        for zone in self.zones:
            found = offsets(zone)
            zones += _image.ZONE_ROW.pack(len(rows) // _image.OFFSET_ROW.size, len(found))
            rows += b"".join(_image.OFFSET_ROW.pack(*each) for each in found)
        return bytes(rows), bytes(zones)

    def _record_sections(self) -> tuple[bytes, bytes]:
        records, hits = bytearray(), bytearray()
        for content in self.records.contents:
            counting = decisive(content, self._pack_rule_at)
            levels = {self._level(index) for index, _ in counting}
            records += _image.RECORD_ROW.pack(
                len(hits) // _image.HIT_ROW.size, len(counting), sum(1 << level for level in levels)
            )
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
        return MILDNESS.index(rule.outcome) if isinstance(rule, rules.PrefixRule) else 0

    def _pack_rule_at(self, index: int) -> PackRule | None:
        return None if index < self.first_pack_rule else self.pack_rules[index - self.first_pack_rule]

    def _level(self, index: int) -> int:
        if index >= self.first_pack_rule:
            return pack_rule_level(self.pack_rules[index - self.first_pack_rule])
        return level_of(self._rule_at(index))

    def _trie(self, prefixes: tuple[array[int], array[int]]) -> bytes:
        trie = PrefixTrie.build_keys(*prefixes)
        self._step()
        return trie


def _bad_entry(key: str, text: bytes, where: str = "") -> Finding:
    shown = text[:40].decode("utf-8", "replace")
    return error(key, f"{where}{shown!r} is no entry: expected +DIGITS, +DIGITS*, CC:DIGITS or CC:DIGITS*")
