"""Makes a generation of a configuration, in a process of its own: whatever it takes, nobody else waits for it.

    python -m proxy.control.compile --config FILE --state-dir DIR --generation N [--sealed M] [--progress]

Writes generation-N and prints a CompileResult as JSON; exit code 0, or 2 with errors and nothing written. With
--sealed, what a running node cannot change (listeners, capacities …) stays as in generation M, with a warning.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import msgspec

from engine.config_errors import ConfigError, ConfigFinding, error, warning
from engine.policy import PolicyError, compile_policy
from proxy.cli_output import progress_bar
from proxy.config import Configuration
from proxy.config_load import load_configuration, policy_set
from proxy.state_directory import StateDirectory

_SEALED = ("node", "dns", "listeners", "admin", "decision_log", "capacity", "timers", "complaints", "complaint_sources")


class CompileResult(msgspec.Struct, frozen=True):
    findings: tuple[ConfigFinding, ...]

    @property
    def errors(self) -> list[ConfigFinding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[ConfigFinding]:
        return [finding for finding in self.findings if finding.severity == "warning"]


def compile_generation(
    config: Path,
    state: StateDirectory,
    generation: int,
    sealed: Configuration | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompileResult:
    """Loads, checks, compiles and writes; errors are in the result."""
    try:
        loaded = load_configuration(config)
        findings = list(loaded.warnings)
        configuration = loaded.configuration
        if sealed is not None:
            configuration, more = keep_sealed(configuration, sealed)
            findings += [replace(finding, file=str(config)) for finding in more]
        base_dir = loaded.files[0].parent
        image = compile_policy(policy_set(configuration), base_dir=base_dir, generation=generation, progress=progress)
        state.write_generation(generation, configuration, image)
    except ConfigError as why:
        return CompileResult(why.findings)
    except PolicyError as why:
        found = (ConfigFinding(str(config), finding.key, finding.why, finding.severity) for finding in why.findings)
        return CompileResult((*findings, *found))
    except OSError as why:
        return CompileResult((ConfigFinding(str(why.filename or state.path), "", why.strerror or str(why)),))
    return CompileResult(tuple(findings))


def keep_sealed(wanted: Configuration, sealed: Configuration) -> tuple[Configuration, list[ConfigFinding]]:
    """`wanted` with the process lifetime of `sealed`, and a finding for each key that would have changed."""
    findings = [warning(key, "changed: takes effect at a restart") for key in _sealed_changes(wanted, sealed)]
    known = {listener.name for listener in sealed.listeners}
    findings += [
        error(f"gateway[{gateway.name}].listener", f"{gateway.listener} is a new listener: restart callsieve first")
        for gateway in wanted.gateways
        if gateway.listener is not None and gateway.listener not in known
    ]
    half_life_days = sealed.reputation.half_life_days
    kept = msgspec.structs.replace(
        wanted,
        reputation=msgspec.structs.replace(wanted.reputation, half_life_days=half_life_days),
        **{name: getattr(sealed, name) for name in _SEALED},
    )
    if any(finding.severity == "error" for finding in findings):
        raise ConfigError(findings)
    return kept, findings


def _sealed_changes(wanted: Configuration, sealed: Configuration) -> Iterator[str]:
    for name in _SEALED:
        new, old = getattr(wanted, name), getattr(sealed, name)
        if isinstance(new, tuple):
            if new != old:
                yield name.removesuffix("s")
            continue
        yield from (f"{name}.{key}" for key in new.__struct_fields__ if getattr(new, key) != getattr(old, key))
    if wanted.reputation.half_life_days != sealed.reputation.half_life_days:
        yield "reputation.half_life_days"


def main() -> int:
    parser = argparse.ArgumentParser(prog="proxy.control.compile")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--generation", type=int, required=True)
    parser.add_argument("--sealed", type=int)
    parser.add_argument("--progress", action="store_true")
    options = parser.parse_args()
    state = StateDirectory(options.state_dir)
    sealed = None if options.sealed is None else state.configuration(options.sealed)
    with progress_bar("compiling the policy") if options.progress else nullcontext() as progress:
        result = compile_generation(options.config, state, options.generation, sealed, progress)
    sys.stdout.buffer.write(msgspec.json.encode(result))
    return 2 if result.errors else 0


if __name__ == "__main__":
    sys.exit(main())
