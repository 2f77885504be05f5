"""Call screening, embeddable by itself: no SIP, no I/O, no clock inside.

    image = compile_policy(rules, base_dir=Path("conf"), generation=1)
    tables = Tables.open(Path("state"), reputation=1_000_000, rate_limiter=1_000_000, half_life_days=14)
    screener = Screener(image, tables, node_key)
    verdict = screener.screen(Attempt("+8613800138000", "02088886666", "carrier"), now_us)
"""

from engine._numbers import DialPlan, number_text, parse_entry
from engine._screener import Screener
from engine.decision import Action, Attempt, Basis, Explanation, Outcome, OutcomeKind, Reason, Verdict
from engine.explain import redress_text
from engine.policy import Finding, ImageError, PolicyError, PolicyImage, compile_policy, lint_policy
from engine.tables import Tables

__all__ = [
    "Action",
    "Attempt",
    "Basis",
    "DialPlan",
    "Explanation",
    "Finding",
    "ImageError",
    "Outcome",
    "OutcomeKind",
    "PolicyError",
    "PolicyImage",
    "Reason",
    "Screener",
    "Tables",
    "Verdict",
    "compile_policy",
    "lint_policy",
    "number_text",
    "parse_entry",
    "redress_text",
]
