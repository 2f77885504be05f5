"""Loading a configuration: read, check, resolve; and what the engine gets of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from engine import packs
from engine.config_errors import ConfigError, ConfigFinding
from engine.config_files import Draft
from engine.policy import lint_policy
from engine.policy_file import stop_at_errors
from engine.rules import DialPlan, PolicySet, TrunkPolicy
from proxy.config import AnalyticsForm, Configuration, Trunk
from proxy.config_checks import check
from proxy.config_files import read_files
from proxy.config_tls import check_certificates
from proxy.gateway_start import resolve_targets


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be run. files: all TOML files it was read from, the main one first."""

    configuration: Configuration
    warnings: tuple[ConfigFinding, ...]
    files: tuple[Path, ...]


def load_configuration(path: Path | str) -> Loaded:
    """Reads `path` with everything it includes; ConfigError with all findings if any of them is an error."""
    draft = _read(Path(path))
    configuration = draft.configuration()
    found = [*check(configuration), *check_certificates(configuration)]
    said = {finding.key for finding in found}
    found += [finding for finding in _policy_findings(configuration, draft.files[0].parent) if finding.key not in said]
    findings = [*draft.findings, *_placed(found, draft)]
    stop_at_errors(findings)
    configuration, unresolved = resolve_targets(configuration)
    findings += _placed(unresolved, draft)
    stop_at_errors(findings)
    return Loaded(configuration, tuple(findings), tuple(draft.files))


def read_configuration(path: Path | str) -> Configuration:
    """Reads the files and checks nothing between them: enough to know where a node lives and what its lists are."""
    return _read(Path(path)).configuration()


def policy_set(configuration: Configuration) -> PolicySet:
    """What the engine compiles: the configuration's policy, and of each trunk what screening needs, in file order."""
    return PolicySet(
        trunks=tuple(_trunk_policy(trunk) for trunk in configuration.trunks),
        policies=configuration.policies,
        lists=configuration.lists,
        prefix_rules=configuration.prefix_rules,
        rules=configuration.rules,
        hours=configuration.hours,
        diverts=configuration.diverts,
        limits=configuration.limits,
        labels=configuration.labels,
        dial_plans=tuple(dial_plans(configuration).values()),
        origin=configuration.origin,
        reputation=configuration.reputation,
        subscribers=configuration.subscribers,
    )


def dial_plans(configuration: Configuration) -> dict[str, DialPlan]:
    """The built-in dial plans and the operator's own, which win."""
    return packs.BUILTIN_DIAL_PLANS | {plan.name: plan for plan in configuration.dial_plans}


def _read(path: Path) -> Draft[Configuration]:
    try:
        draft = read_files(path)
    except OSError as why:
        raise ConfigError([ConfigFinding(str(path), "", f"cannot be read: {why.strerror}")]) from None
    stop_at_errors(draft.findings)
    return draft


def _policy_findings(configuration: Configuration, base_dir: Path) -> list[ConfigFinding]:
    found = lint_policy(policy_set(configuration), base_dir, now_us=time.time_ns() // 1000)
    return [ConfigFinding("", finding.key, finding.why, finding.severity) for finding in found]


def _placed(findings: Iterable[ConfigFinding], draft: Draft[Configuration]) -> list[ConfigFinding]:
    """The findings, each with the file its table stands in."""
    return [replace(finding, file=draft.file_of(finding.key)) for finding in findings]


def _trunk_policy(trunk: Trunk) -> TrunkPolicy:
    rejected = trunk.analytics is AnalyticsForm.REJECTED
    return TrunkPolicy(
        name=trunk.name,
        policy=trunk.policy,
        dial_plan=trunk.dial_plan,
        trunk_class=trunk.trunk_class.value,
        pack=trunk.pack,
        thresholds=trunk.thresholds,
        status=msgspec.structs.replace(trunk.status, analytics=608) if rejected else trunk.status,
    )
