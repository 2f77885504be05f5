"""The `explain` command: what would become of a call, by the code that decides, with nothing counted."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from engine.decision import Action, Attempt, Explanation, Reason, Verdict
from engine.lint import in_force
from proxy.cli_live import Node, live_screener, now_us, open_node
from proxy.cli_output import ExitCode, Failure, Output, progress_bar
from proxy.config import Configuration, Trunk
from proxy.config_load import policy_set
from proxy.limit_subjects import request_subject, source_subject
from proxy.state_directory import StateDirectory

_ACTION_STYLES = {
    Action.ACCEPT: "green",
    Action.TAG: "yellow",
    Action.DIVERT: "yellow",
    Action.REJECT: "bold red",
    Action.DROP: "bold red",
}


def explain(options: Namespace, output: Output) -> int:
    with progress_bar("compiling the policy") as progress:
        node = open_node(options.config, options.files, progress)
    trunk = _trunk(node.configuration, options.trunk)
    given = {"source": options.source, "fingerprint": options.fingerprint}
    attempt = Attempt(
        options.caller,
        options.callee,
        trunk.name,
        source=_source(node.state, options.source),
        fingerprint=_fingerprint(node.state, options.fingerprint),
        privacy=options.privacy,
    )
    with live_screener(node) as screener:
        explained = screener.explain(attempt, now_us())
    left_out = _left_out(node.configuration, trunk, [key for key, value in given.items() if value is None])
    output.document(_document(node, trunk, attempt, explained) | {"left_out": left_out})
    _print(node, trunk, attempt, explained, output)
    for name, key in left_out.items():
        output.line(f"limit {name} counts by {key}, and no --{key} says whose count to look at")
    refused = trunk.screen and explained.verdict.action in (Action.REJECT, Action.DROP)
    return ExitCode.NO if refused else ExitCode.OK


def _trunk(configuration: Configuration, name: str | None) -> Trunk:
    trunks = {trunk.name: trunk for trunk in configuration.trunks}
    if name is None and len(trunks) == 1:
        return configuration.trunks[0]
    if name not in trunks:
        asked = "--trunk is needed" if name is None else f"no trunk is named {name!r}"
        raise Failure(f"{asked}; known are {', '.join(trunks)}")
    return trunks[name]


def _source(state: StateDirectory, address: str | None) -> int | str:
    """The word that workers count this address under; "" where none has been counted."""
    if address is None or not state.has_secret():
        return ""
    try:
        return source_subject(state.screening_key(), address)
    except ValueError as why:
        raise Failure(f"--source: {why}") from None


def _fingerprint(state: StateDirectory, file: Path | None) -> int | str:
    if file is None or not state.has_secret():
        return ""
    try:
        return request_subject(state.screening_key(), file.read_bytes())
    except OSError as why:
        raise Failure(f"{file} cannot be read: {why.strerror}") from None
    except ValueError as why:
        raise Failure(f"{file} holds no SIP request: {why}") from None


def _left_out(configuration: Configuration, trunk: Trunk, unknown: list[str]) -> dict[str, str]:
    """Limits of the trunk whose counts cannot be found: what each counts by."""
    policies = {policy.name: policy for policy in configuration.policies}
    (judged,) = (each for each in policy_set(configuration).trunks if each.name == trunk.name)
    return {
        limit.name: limit.key.value
        for limit in configuration.limits
        if limit.key.value in unknown and in_force(limit, judged, policies)
    }


def _document(node: Node, trunk: Trunk, attempt: Attempt, explained: Explanation) -> dict[str, Any]:
    """With the names that the decision log uses."""
    verdict = explained.verdict
    return {
        "caller": explained.caller,
        "presented": attempt.caller,
        "callee": explained.callee,
        "trunk": trunk.name,
        "screened": trunk.screen,
        "action": verdict.action.name.lower(),
        "status": verdict.status or None,
        "basis": verdict.basis.name.lower(),
        "rule": verdict.rule,
        "score": verdict.score,
        "label": verdict.label,
        "divert": verdict.divert,
        "reasons": [_logged(reason) for reason in explained.reasons],
        "observed": verdict.observed.name.lower(),
        "observed_rule": verdict.observed_rule,
        "seen": dict(explained.seen),
        "policy": node.source,
    }


def _logged(reason: Reason) -> dict[str, Any]:
    asked = {"asks": reason.asked.name.lower()} if reason.asked is not Action.ACCEPT else {}
    return {"name": reason.name, "points": reason.points} | asked | ({"observed": True} if reason.observed else {})


def _print(node: Node, trunk: Trunk, attempt: Attempt, explained: Explanation, output: Output) -> None:
    verdict = explained.verdict
    facts = {
        "verdict": " ".join([verdict.action.name.lower(), str(verdict.status or "")]).strip(),
        "basis": verdict.basis.name.lower(),
        "rule": verdict.rule,
        "score": f"{verdict.score} ({_thresholds(node.configuration, trunk)})",
        "label": verdict.label,
        "to": verdict.divert,
        "observed": _observed(verdict),
        "caller": _number(explained.caller, attempt.caller),
        "callee": _number(explained.callee, attempt.callee),
        "trunk": trunk.name if trunk.screen else f"{trunk.name} (not screened: its calls always go on)",
        "policy": f"{trunk.policy} of {node.source}",
    }
    output.facts(facts, {"verdict": _ACTION_STYLES[verdict.action]})
    if explained.reasons:
        output.line("")
        output.table(["reason", "points", "asks for", "mode"], [_reason(reason) for reason in explained.reasons])
    if explained.seen:
        output.line("")
        output.table(["looked at", "value"], [[name, _value(name, value)] for name, value in explained.seen])


def _thresholds(configuration: Configuration, trunk: Trunk) -> str:
    found = trunk.thresholds or next(p.thresholds for p in configuration.policies if p.name == trunk.policy)
    divert = "" if found.divert is None else f"divert from {found.divert}, "
    return f"tag from {found.tag}, {divert}reject from {found.reject}"


def _observed(verdict: Verdict) -> str | None:
    """What rules in observe mode would have done, where that is more."""
    if verdict.observed <= verdict.action:
        return None
    return f"{verdict.observed.name.lower()} by {verdict.observed_rule}, if it were enforced"


def _reason(reason: Reason) -> list[object]:
    asked = reason.asked.name.lower() if reason.asked is not Action.ACCEPT else None
    return [reason.name, reason.points or None, asked, "observes" if reason.observed else None]


def _value(name: str, value: int) -> str:
    if name.startswith("limit "):
        return "one more call conforms" if value else "used up"
    return str(value)


def _number(canonical: str, written: str) -> str:
    return canonical if canonical == written else f"{canonical} (from {written!r})"
