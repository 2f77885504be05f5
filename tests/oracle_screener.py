"""The order of decision in plain Python, written from its description: what the compiled Screener is held against.

It reads the policy as the operator wrote it, list by list, and knows nothing of images, tries or tables. Numbers are
canonical texts: "+8613800138000", "CN:95588", "anonymous", "invalid", "".
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from engine import rules
from engine.decision import Action, Basis, Category, Reason
from engine.rules import ListAction, Outcome
from tests.oracle_calls import US, Call, Match, OracleLimiter, Result, Wishes, block, has_digits, weight_of
from tests.oracle_conditions import holds
from tests.oracle_will import CalleesWill

EMERGENCY = {"110", "119", "120", "122", "112", "911", "999", "000"}
AnyRule = rules.NumberList | rules.PrefixRule | rules.Rule | rules.Limit
MILDEST_FIRST = (Outcome.SCORE, Outcome.TAG, Outcome.DIVERT, Outcome.REJECT, Outcome.DROP)
ACTION = {
    Outcome.TAG: Action.TAG,
    Outcome.DIVERT: Action.DIVERT,
    Outcome.REJECT: Action.REJECT,
    Outcome.DROP: Action.DROP,
}
LIST_OUTCOME = {ListAction.TAG: Outcome.TAG, ListAction.DIVERT: Outcome.DIVERT, ListAction.DROP: Outcome.DROP}




def acting(found: list[Match]) -> Match | None:
    return next((match for match in found if not match.rule.observe), None)


class OracleScreener:
    def __init__(self, policy: rules.PolicySet) -> None:
        self.policy = policy
        self.policies = {each.name: each for each in policy.policies}
        self.trunks = {each.name: each for each in policy.trunks}
        self.limiter = OracleLimiter()
        self.points: dict[str, int] = {}
        self.categories: dict[str, Category] = {}
        self.wishes: dict[str, Wishes] = {}
        self.pairs: dict[tuple[str, str], int] = {}

    # --- reputation ---

    def refuse(self, caller: str, callee: str, points: int) -> None:
        if not has_digits(caller):
            return
        pair = (callee, block(caller, 2) or caller)
        self.pairs[pair] = self.pairs.get(pair, 0) + points
        self.points[caller] = self.points.get(caller, 0) + points
        hundred = block(caller, 2)
        if hundred:
            share = points * round(self.policy.reputation.block_share * 1000) // 1000
            self.points[hundred] = self.points.get(hundred, 0) + share

    # --- rules in force ---

    def in_force(self, rule: AnyRule, call: Call, now_us: int) -> bool:
        chosen = self.policies[self.trunks[call.trunk].policy]
        names = {
            rules.NumberList: chosen.lists,
            rules.PrefixRule: chosen.prefix_rules,
            rules.Rule: chosen.rules,
            rules.Limit: chosen.limits,
        }[type(rule)]
        if (names and rule.name not in names) or (rule.trunks and call.trunk not in rule.trunks):
            return False
        if isinstance(rule, rules.Conditions):
            return holds(rule, call.caller, call.callee, call.privacy, now_us)
        until = getattr(rule, "until", None)
        today = datetime.fromtimestamp(now_us / US, UTC).date()
        return until is None or today <= date.fromisoformat(until)

    def matches(self, number: str, call: Call, now_us: int, *actions: ListAction) -> list[Match]:
        """Lists of these actions that hold a number, the longest match first."""
        found = []
        for each in self.policy.lists:
            weight = max((weight_of(entry, number) for entry in each.numbers), default=0)
            if each.action in actions and weight and self.in_force(each, call, now_us):
                found.append(Match(each, weight))
        return sorted(found, key=lambda match: -match.weight)

    def prefix_matches(self, call: Call, now_us: int, *outcomes: Outcome) -> list[Match]:
        found = []
        for each in self.policy.prefix_rules:
            weight = max((weight_of(f"{p.removesuffix('*')}*", call.caller) for p in each.prefixes), default=0)
            if each.outcome in outcomes and weight and self.in_force(each, call, now_us):
                found.append(Match(each, weight))
        return sorted(found, key=lambda match: (-match.weight, MILDEST_FIRST.index(match.rule.outcome)))

    # --- the decision ---

    def screen(self, call: Call, now_us: int) -> Result:
        return Judgement(self, call, now_us).run()


class Judgement:
    """One call on its way through the steps."""

    def __init__(self, screener: OracleScreener, call: Call, now_us: int) -> None:
        self.screener = screener
        self.call = call
        self.now_us = now_us
        self.trunk = screener.trunks[call.trunk]
        self.policy = screener.policies[self.trunk.policy]
        self.result = Result()
        self.score = 0
        self.observed_score = 0
        self.protected = False
        self.allowed: str | None = None

    # --- the callee's will ---

    def refused(self) -> bool:
        """Own entries, then kinds of callers, then bursts and pairs."""
        if self.policy.subscribers is rules.Mode.OFF or not has_digits(self.call.callee):
            return False
        observes = self.policy.subscribers is rules.Mode.OBSERVE
        will = CalleesWill(self.screener, self.call, self.now_us, self.thresholds.tag)
        own = will.own_entry()
        if own == "subscriber-allow":
            self.reason(own)
            if not observes:
                self.allowed = self.result.rule = own
            return False
        if own == "subscriber-consent":
            self.reason(own)
            return False
        rule = own or will.refused_kind() or will.refused_by_number()
        if rule is None:
            return False
        return self.act(rule, Outcome.REJECT, Basis.SUBSCRIBER, None, None, observes)

    def run(self) -> Result:
        if self.never_blocked():
            return self.result
        protection = acting(self.matches(ListAction.PROTECTED))
        if protection:
            self.reason(protection.rule.name)
            self.protected = True
        if self.call.mismatch:
            self.add("identity-mismatch", self.policy.mismatch_points)
        for step in self.steps():
            if step:
                break
        return self.finish()

    def steps(self) -> Iterator[bool]:
        yield self.ordered()
        yield self.refused()
        yield self.operator_lists()
        yield self.withheld()
        yield self.invalid()
        yield self.decide(self.matches(ListAction.DNO))
        yield self.decide(self.prefixes(*ACTION))
        yield self.rules_without_numbers(*ACTION)
        yield self.limits()
        yield self.scores()
        yield self.decide(self.matches(ListAction.TAG))

    def matches(self, *actions: ListAction) -> list[Match]:
        return self.screener.matches(self.call.caller, self.call, self.now_us, *actions)

    def prefixes(self, *outcomes: Outcome) -> list[Match]:
        return self.screener.prefix_matches(self.call, self.now_us, *outcomes)

    def reason(self, name: str, points: int = 0, asked: Action = Action.ACCEPT, observed: bool = False) -> None:
        self.result.reasons.append(Reason(name, points, asked, observed))

    def add(self, name: str, points: int, observes: bool = False) -> None:
        self.reason(name, points, observed=observes)
        self.observed_score += points
        if not observes:
            self.score += points

    def observe(self, name: str | None, action: Action) -> None:
        if action > self.result.observed:
            self.result.observed = action
            self.result.observed_rule = name

    def settle(self, action: Action, basis: Basis, name: str, label: str | None, divert: str | None) -> bool:
        self.result.label = self.result.label or label
        if action > self.result.action:
            self.result.action, self.result.basis, self.result.rule = action, basis, name
            self.result.divert = divert or self.policy.divert
        return action >= Action.REJECT

    def asked_for(self, outcome: Outcome) -> Action:
        return Action.TAG if self.protected else ACTION[outcome]

    def act(
        self, name: str, outcome: Outcome, basis: Basis, label: str | None, divert: str | None, observes: bool
    ) -> bool:
        if self.allowed:
            self.reason(name)
            return False
        action = self.asked_for(outcome)
        self.reason(name, 0, action, observes)
        if observes:
            self.observe(name, action)
            return False
        return self.settle(action, basis, name, label, divert)

    def decide(self, found: list[Match]) -> bool:
        """The longest match that acts; longer ones that observe are noted."""
        winner = acting(found)
        self.note_observers(found, winner)
        return winner is not None and self.act_on(winner.rule)

    def note_observers(self, found: list[Match], winner: Match | None) -> None:
        """Rules that only observe are noted where they would have won."""
        for match in found:
            if match.rule.observe and (winner is None or match.weight > winner.weight):
                self.act_on(match.rule)

    def act_on(self, rule: AnyRule) -> bool:
        if isinstance(rule, rules.NumberList):
            outcome = LIST_OUTCOME.get(rule.action, Outcome.REJECT)
            basis = Basis.DNO if rule.action is ListAction.DNO else Basis.POLICY
            return self.act(rule.name, outcome, basis, rule.label, rule.divert, rule.observe)
        if rule.outcome is Outcome.SCORE:
            self.add(rule.name, rule.points, rule.observe)
            return False
        return self.act(rule.name, rule.outcome, Basis[rule.basis.upper()], rule.label, rule.divert, rule.observe)

    def rules_without_numbers(self, *outcomes: Outcome) -> bool:
        """All that hold speak, the strongest decides."""
        found = [
            self.act_on(rule)
            for rule in self.screener.policy.rules
            if rule.outcome in outcomes and self.screener.in_force(rule, self.call, self.now_us)
        ]
        return any(found)

    def never_blocked(self) -> bool:
        callee = self.call.callee
        if self.call.emergency or (callee[2:3] == ":" and callee[3:] in EMERGENCY):
            name: str | None = "emergency"
        else:
            found = acting(self.screener.matches(callee, self.call, self.now_us, ListAction.NEVER_BLOCK))
            name = found.rule.name if found else None
        if name is None:
            return False
        self.reason(name)
        self.result.rule = name
        return True

    def ordered(self) -> bool:
        """Orders spare nobody."""
        found = self.matches(ListAction.ORDER)
        winner = acting(found)
        self.note_observers(found, winner)
        if winner is None:
            return False
        self.reason(winner.rule.name, 0, Action.REJECT)
        return self.settle(Action.REJECT, Basis.POLICY, winner.rule.name, winner.rule.label, None)

    def operator_lists(self) -> bool:
        """The longest match of allow and deny wins, allow on equality."""
        denies = self.matches(ListAction.DENY, ListAction.DIVERT, ListAction.DROP)
        allow = acting(self.matches(ListAction.ALLOW))
        deny = acting(denies)
        if allow and deny and deny.weight > allow.weight:
            allow = None
        self.note_observers(denies, allow or deny)
        if allow:
            self.reason(allow.rule.name)
            if not self.allowed:
                self.result.rule = allow.rule.name
            self.allowed = allow.rule.name
            return False
        return deny is not None and self.act_on(deny.rule)

    def withheld(self) -> bool:
        if self.call.caller not in ("", "anonymous") and not self.call.privacy:
            return False
        if self.policy.anonymous is rules.AnonymousAction.ACCEPT:
            self.reason("anonymous")
            return False
        return self.act("anonymous", Outcome(self.policy.anonymous.value), Basis.POLICY, None, None, False)

    def invalid(self) -> bool:
        if self.call.caller != "invalid":
            return False
        if self.policy.invalid is Outcome.SCORE:
            self.add("invalid-number", self.policy.invalid_points)
            return False
        return self.act("invalid-number", self.policy.invalid, Basis.INVALID, None, None, False)

    def subject(self, limit: rules.Limit) -> tuple[str, ...] | None:
        call = self.call
        caller = call.caller if has_digits(call.caller) else ""
        callee = call.callee if has_digits(call.callee) else ""
        parts = {
            rules.LimitKey.CALLER: (caller,),
            rules.LimitKey.CALLEE: (callee,),
            rules.LimitKey.PAIR: (caller, callee),
            rules.LimitKey.TRUNK: (call.trunk,),
            rules.LimitKey.BLOCK_10: (block(caller, 1),),
            rules.LimitKey.BLOCK_100: (block(caller, 2),),
            rules.LimitKey.BLOCK_1000: (block(caller, 3),),
            rules.LimitKey.SOURCE: (call.source,),
            rules.LimitKey.FINGERPRINT: (call.fingerprint,),
            rules.LimitKey.BLOCK_PAIR: (block(caller, 2), callee),
        }[limit.key]
        return (limit.name, *parts) if all(parts) else None

    def limits(self) -> bool:
        """Every window counts, a limit speaks once."""
        settled = False
        for limit in self.screener.policy.limits:
            key = self.subject(limit)
            if key is None or not self.screener.in_force(limit, self.call, self.now_us):
                continue
            windows = limit.windows or (
                rules.Window(calls=limit.calls or 0, period_s=limit.period_s or 0, burst=limit.burst),
            )
            conforming = [
                self.screener.limiter.conforms((*key, str(window.period_s)), self.now_us, window) for window in windows
            ]
            if not all(conforming):
                settled |= self.act_on(limit)
        return settled

    @property
    def thresholds(self) -> rules.Thresholds:
        return self.trunk.thresholds or self.policy.thresholds

    def band(self, score: int) -> Action:
        divert = self.thresholds.divert
        if score >= self.thresholds.reject:
            return self.asked_for(Outcome.REJECT)
        if divert is not None and score >= divert:
            return self.asked_for(Outcome.DIVERT)
        return Action.TAG if score >= self.thresholds.tag else Action.ACCEPT

    def scores(self) -> bool:
        if has_digits(self.call.caller):
            weights = self.policy.weights
            for name, key, weight in (
                ("reputation", self.call.caller, weights.reputation),
                ("block-reputation", block(self.call.caller, 2), weights.block_reputation),
            ):
                points = min(self.screener.points.get(key, 0), 1000) * round(weight * 1000) // 1000
                if points:
                    self.add(name, points)
        for match in self.prefixes(Outcome.SCORE):
            self.act_on(match.rule)
        self.rules_without_numbers(Outcome.SCORE)
        self.result.score = max(0, min(1000, self.score))
        action = self.band(self.result.score)
        would = self.band(max(0, min(1000, self.observed_score)))
        if would > action:
            self.observe("score", would)
        if action is Action.ACCEPT or self.allowed:
            return False
        return self.settle(action, Basis.ANALYTICS, "score", None, None)

    def finish(self) -> Result:
        result = self.result
        if self.policy.observe and result.action is not Action.ACCEPT:
            self.observe(result.rule, result.action)
            result.action = Action.ACCEPT
            result.reasons = [
                Reason(each.name, each.points, each.asked, each.observed or each.asked is not Action.ACCEPT)
                for each in result.reasons
            ]
        if result.action is not Action.DIVERT:
            result.divert = None
        if result.action is Action.ACCEPT:
            result.basis, result.label = Basis.NONE, None
            if result.observed is not Action.ACCEPT and not self.allowed:
                result.rule = result.observed_rule
            return result
        result.label = result.label or self.policy.label
        if result.action is Action.REJECT:
            status = self.trunk.status
            anonymous = result.rule in ("anonymous", "subscriber-anonymous")
            result.status = getattr(status, "anonymous" if anonymous else result.basis.name.lower())
        return result
