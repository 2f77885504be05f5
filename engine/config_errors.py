"""What is wrong with a configuration: one finding each, with file, key and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class ConfigFinding:
    """One thing the operator should mend. file: "" until it is known; key: 'trunk[carrier].route', "" = the file."""

    file: str
    key: str
    why: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.key, self.why) if part)


class ConfigError(Exception):
    """A configuration that cannot be used. findings: everything found, warnings too, errors first."""

    def __init__(self, findings: Iterable[ConfigFinding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: finding.severity != "error"))
        super().__init__("\n".join(str(finding) for finding in self.errors))

    @property
    def errors(self) -> tuple[ConfigFinding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "error")


def error(key: str, why: str) -> ConfigFinding:
    return ConfigFinding("", key, why)


def warning(key: str, why: str) -> ConfigFinding:
    return ConfigFinding("", key, why, "warning")
