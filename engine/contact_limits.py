"""Contact limits of packs: how often one organisation may call one number, as limits of a policy.

Nobody can tell an organisation by its number, so that a block of 100 callers stands for it, and a class of numbers for
those that the rule binds.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from engine import rules
from engine.lint_conditions import pack_by_trunk
from engine.packs import PACKS, ContactLimit

DAY_S = 86_400
SUFFIX = {rules.Mode.ENFORCE: "", rules.Mode.OBSERVE: ":observed"}


def with_contact_limits(policy: rules.PolicySet) -> rules.PolicySet:
    """The policy with the limits of its trunks' packs, behind its own; each speaks on the trunks that it is for."""
    limits = tuple(_limits(policy))
    names = tuple(limit.name for limit in limits)
    # A policy that chooses its limits has those of the packs as well.
    policies = tuple(replace(each, limits=each.limits + names) if each.limits else each for each in policy.policies)
    return replace(policy, limits=policy.limits + limits, policies=policies)


def _limits(policy: rules.PolicySet) -> Iterator[rules.Limit]:
    modes = {each.name: each.contact_limits for each in policy.policies}
    packs = pack_by_trunk(policy)
    for pack, known in PACKS.items():
        for mode in SUFFIX:
            trunks = tuple(
                trunk.name
                for trunk in policy.trunks
                if packs.get(trunk.name) == pack and modes.get(trunk.policy) is mode
            )
            if trunks:
                yield from (_limit(each, pack, mode, trunks) for each in known.contact_limits)


def _limit(limit: ContactLimit, pack: str, mode: rules.Mode, trunks: tuple[str, ...]) -> rules.Limit:
    return rules.Limit(
        name=f"{pack}:contact-limit{SUFFIX[mode]}",
        key=rules.LimitKey.BLOCK_PAIR,
        windows=tuple(rules.Window(calls=each.calls, period_s=each.days * DAY_S) for each in limit.windows),
        classes=limit.classes,
        outcome=rules.Outcome.TAG,
        basis="policy",
        observe=mode is rules.Mode.OBSERVE,
        trunks=trunks,
    )
