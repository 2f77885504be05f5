"""What the law of a trunk's country wants callers to be told whose calls analytics reject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.config_errors import ConfigFinding, warning
from engine.packs import BUILTIN_DIAL_PLANS, PACK_BY_CALLING_CODE
from proxy.config import AnalyticsForm, Configuration, Trunk


@dataclass(frozen=True, slots=True)
class RedressLaw:
    """contact: the rule that wants one for wrongly blocked callers. form: the one that says how a rejection is told."""

    contact: str
    form: str


LAWS = {
    "nanp": RedressLaw(
        contact="47 CFR 64.1200 (FCC 20-96, 85 FR 56530) wants one contact that is free of charge",
        form="47 CFR 64.1200 (FCC 25-15, 90 FR 13416) wants 603+ and nothing else as of 25 March 2026",
    )
}
"""By pack; the countries of the other packs ask for none."""


def check_redress_laws(configuration: Configuration) -> Iterator[ConfigFinding]:
    redress = configuration.redress
    has_contact = redress.url or redress.tel or redress.email
    for trunk in configuration.trunks:
        law = LAWS.get(_pack(trunk, configuration) or "")
        if law is None or not trunk.screen:
            continue
        if trunk.analytics is not AnalyticsForm.NETWORK_BLOCKED:
            yield warning(f"trunk[{trunk.name}].analytics", f'is "{trunk.analytics.value}": {law.form}')
        if not has_contact:
            yield warning("redress.url", f"no contact is set, and trunk[{trunk.name}] needs it: {law.contact}")


def _pack(trunk: Trunk, configuration: Configuration) -> str | None:
    plans = BUILTIN_DIAL_PLANS | {plan.name: plan for plan in configuration.dial_plans}
    plan = plans.get(trunk.dial_plan)
    return trunk.pack or (PACK_BY_CALLING_CODE.get(plan.country_code) if plan is not None else None)
