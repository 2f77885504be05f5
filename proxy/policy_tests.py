"""The [[test]] cases of a configuration, run against what it would be compiled to."""

from __future__ import annotations

import time
from pathlib import Path

from engine import compile_policy
from engine.config_errors import ConfigFinding
from engine.policy_tests import run_tests
from proxy.config_load import Loaded, policy_set


def failed_tests(path: Path, loaded: Loaded) -> list[ConfigFinding]:
    """What they did not get that they expect."""
    cases = loaded.configuration.tests
    if not cases:
        return []
    image = compile_policy(policy_set(loaded.configuration), base_dir=loaded.files[0].parent, generation=0)
    found = run_tests(image, cases, time.time_ns() // 1000)
    return [ConfigFinding(str(path), each.key, each.why, each.severity) for each in found]
