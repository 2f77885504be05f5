"""Call screening, embeddable by itself: no SIP, no I/O, no clock inside.

    with Engine.open("screening.toml", "/var/lib/callsieve") as engine:
        verdict = engine.screen(Attempt("+8613800138000", "02088886666", "carrier"), now_us)

docs/embedding.md has a whole program.
"""

from engine._dial_plan import DialPlan
from engine._numbers import number_text, parse_entry
from engine._screener import Screener
from engine._subscribers import Preferences
from engine.config_errors import ConfigError, ConfigFinding
from engine.decision import Action, Attempt, Basis, Category, Explanation, Outcome, OutcomeKind, Reason, Verdict
from engine.explain import redress_text
from engine.facade import Engine
from engine.policy import Finding, ImageError, PolicyError, PolicyImage, compile_policy, lint_policy
from engine.subscribers import Subscribers
from engine.tables import Tables, TableSizes
from engine.updates import Update

__all__ = [
    "Action",
    "Attempt",
    "Basis",
    "Category",
    "ConfigError",
    "ConfigFinding",
    "DialPlan",
    "Engine",
    "Explanation",
    "Finding",
    "ImageError",
    "Outcome",
    "OutcomeKind",
    "PolicyError",
    "PolicyImage",
    "Preferences",
    "Reason",
    "Screener",
    "Subscribers",
    "TableSizes",
    "Tables",
    "Update",
    "Verdict",
    "compile_policy",
    "lint_policy",
    "number_text",
    "parse_entry",
    "redress_text",
]
