"""The policy as an operator writes it: what each table of a policy file may hold.

These are plain values with no behaviour. `engine.policy` checks them against each other and compiles them into an
immutable image; msgspec refuses unknown keys and wrong types and names the offending key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a TOML file: unknown keys are errors."""


class ListAction(StrEnum):
    """What a list says of its numbers, in the order of decision."""

    NEVER_BLOCK = "never-block"  # callees: a call to them is never rejected, tagged or limited
    PROTECTED = "protected"  # callers: never rejected by anything below an order; evidence can at most tag
    ORDER = "order"  # callers: a regulator's or the operator's stop list
    ALLOW = "allow"  # callers: accepted on the trunks named, still measured
    DENY = "deny"  # callers: rejected, basis policy
    DIVERT = "divert"  # callers: sent to the list's `divert`; a longer allow entry spares them, as it does with deny
    DROP = "drop"  # callers: answered nothing at all; likewise
    DNO = "dno"  # callers: do-not-originate, rejected, basis dno
    TAG = "tag"  # callers: forwarded with the list's label
    OWN = "own"  # callers: numbers that belong to the trunks named, for origin rules that ask for it


class LimitKey(StrEnum):
    """Whose attempts a limit counts together."""

    CALLER = "caller"
    CALLEE = "callee"
    PAIR = "pair"  # caller and callee
    TRUNK = "trunk"
    BLOCK_10 = "block-10"  # callers that share all but the last digit
    BLOCK_100 = "block-100"
    BLOCK_1000 = "block-1000"
    SOURCE = "source"  # sender's address
    FINGERPRINT = "fingerprint"  # shape of the request: what dials, whatever number it shows
    BLOCK_PAIR = "block-pair"  # callers that share all but the last two digits, and callee


class Outcome(StrEnum):
    """What a rule that fires asks for."""

    REJECT = "reject"
    TAG = "tag"
    SCORE = "score"  # adds `points` and leaves the action to the thresholds
    DIVERT = "divert"  # sent to a [[divert]]: an IVR, an announcement
    DROP = "drop"  # answered nothing at all


class AnonymousAction(StrEnum):
    ACCEPT = "accept"
    TAG = "tag"
    REJECT = "reject"
    DIVERT = "divert"


class OriginAction(StrEnum):
    """What the class of a caller's number means on a trunk."""

    ACCEPT = "accept"
    TAG = "tag"
    REJECT = "reject"
    OWN = "own"  # accepted if the number is on an `own` list of the trunk, else rejected
    DIVERT = "divert"  # sent to the policy's `divert`


class Mode(StrEnum):
    OFF = "off"
    OBSERVE = "observe"
    ENFORCE = "enforce"


class OriginRow(Struct, frozen=True, kw_only=True, rename={"number_class": "class"}):
    """What one class of numbers means by trunk class. A trunk class left out leaves it to the row behind this one."""

    number_class: str
    subscriber: OriginAction | None = None
    enterprise: OriginAction | None = None
    carrier: OriginAction | None = None
    transit: OriginAction | None = None
    intl: OriginAction | None = None
    callcentre: OriginAction | None = None
    test: OriginAction | None = None
    basis: Literal["invalid", "dno"] | None = None  # of a rejection
    label: str | None = None  # name of a [[label]], of a call that is tagged
    clause: str = ""  # the rule it follows
    trunks: tuple[str, ...] = ()


class ShortCode(Struct, frozen=True, kw_only=True):
    """National short codes: numbers that are never completed with a country code (95588, 110, 4008123123)."""

    prefix: str
    min_digits: int
    max_digits: int


class NationalNumber(Struct, frozen=True, kw_only=True):
    """A national number written without any prefix: 13800138000 on a Chinese trunk, ten digits in North America."""

    prefix: str = ""
    digits: int


class DialPlan(Struct, frozen=True, kw_only=True):
    """How the numbers of a trunk are written, so that one number has one canonical form.

    country_code: digits without plus, e.g. "86". international_prefixes: e.g. ["00"], ["011"].
    national_prefix: e.g. "0", "1", or "" where there is none. international_without_plus: a number that begins with
    the country code and is too long for anything else is taken as E.164.
    """

    name: str
    country_code: str
    international_prefixes: tuple[str, ...] = ("00",)
    national_prefix: str = "0"
    national_numbers: tuple[NationalNumber, ...] = ()
    short_codes: tuple[ShortCode, ...] = ()
    international_without_plus: bool = True
    min_national_digits: int = 4
    max_national_digits: int = 13


class NumberList(Struct, frozen=True, kw_only=True):
    """Numbers and prefixes with one thing to say of them.

    An entry is `+8613800138000` (exactly this number), `+86170*` (every number that begins so) or a national short
    code with its country, `CN:95588` or `CN:955*`. `file` holds one entry a line, `#` starts a comment.
    """

    name: str
    action: ListAction
    numbers: tuple[str, ...] = ()
    file: str | None = None
    label: str | None = None  # name of a [[label]]
    trunks: tuple[str, ...] = ()  # empty = every trunk
    divert: str | None = None  # name of a [[divert]], None = the policy's
    owner: str | None = None  # required for allow
    until: str | None = None  # ISO date, the last day (UTC) it holds on; required for allow
    observe: bool = False


RuleBasis = Literal["analytics", "dno", "invalid", "policy", "security"]


class Conditions(Struct, frozen=True, kw_only=True):
    """What must be true of a call for a rule to speak of it; what is left out may be anything.

    hours, outside_hours: name of an [[hours]], or "calling-hours" = those of the trunk's country (its pack); by the
    callee's local time unless the [[hours]] names a zone.
    """

    classes: tuple[str, ...] = ()  # of the caller's number
    callee_classes: tuple[str, ...] = ()
    hours: str | None = None
    outside_hours: str | None = None
    trunks: tuple[str, ...] = ()


class PrefixRule(Conditions, frozen=True, kw_only=True):
    """Callers that begin with one of the prefixes: points, a label, another destination or a rejection."""

    name: str
    prefixes: tuple[str, ...]
    outcome: Outcome = Outcome.SCORE
    points: int = 0
    label: str | None = None
    divert: str | None = None  # name of a [[divert]], None = the policy's
    basis: RuleBasis = "policy"
    observe: bool = False


class Rule(Conditions, frozen=True, kw_only=True):
    """Calls that meet all conditions, whatever their numbers begin with."""

    name: str
    outcome: Outcome = Outcome.SCORE
    points: int = 0
    label: str | None = None
    divert: str | None = None
    basis: RuleBasis = "policy"
    observe: bool = False


class Window(Struct, frozen=True, kw_only=True):
    """At most `calls` per `period_s`, exact (GCRA, ITU-T I.371); `burst` calls may come at once (default: `calls`)."""

    calls: int
    period_s: float
    burst: int | None = None


class Limit(Conditions, frozen=True, kw_only=True):
    """Attempts above what one window allows. One window stands in the limit itself, several in `windows`."""

    name: str
    key: LimitKey
    calls: int | None = None
    period_s: float | None = None
    burst: int | None = None
    windows: tuple[Window, ...] = ()
    outcome: Outcome = Outcome.REJECT
    points: int = 0
    label: str | None = None
    divert: str | None = None
    basis: RuleBasis = "analytics"
    observe: bool = False


class Hours(Struct, frozen=True, kw_only=True):
    """Times of the week, in half hours: "mon-fri 09:00-12:00", "sat,sun 10:00-18:00", "daily 08:00-21:00".

    time_zone: a name of the IANA database, None = the callee's own, by its number. holidays: ISO dates, whose days
    have none of these times.
    """

    name: str
    open: tuple[str, ...]
    time_zone: str | None = None
    holidays: tuple[str, ...] = ()


class Divert(Struct, frozen=True, kw_only=True):
    """Where a diverted call goes: by the gateways of `route`, in this order, to `uri` (None = the number it called).

    The engine names it in its verdicts; where it is is the proxy's to know.
    """

    name: str
    route: str | tuple[str, ...] | None = None
    uri: str | None = None

    @property
    def gateways(self) -> tuple[str, ...]:
        return (self.route,) if isinstance(self.route, str) else self.route or ()


class Thresholds(Struct, frozen=True, kw_only=True):
    """Scores (0..1000) from which a call is tagged, diverted or rejected; divert None = never by score."""

    tag: int = 500
    divert: int | None = None
    reject: int = 800


class Weights(Struct, frozen=True, kw_only=True):
    """What share of the points of the caller's reputation, and of its block's, counts toward the score."""

    reputation: float = 1.0
    block_reputation: float = 1.0


class Policy(Struct, frozen=True, kw_only=True):
    """What a trunk screens with: thresholds and the rules that take part (empty = all that are defined)."""

    name: str
    thresholds: Thresholds = Thresholds()
    weights: Weights = Weights()
    lists: tuple[str, ...] = ()
    prefix_rules: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    anonymous: AnonymousAction = AnonymousAction.ACCEPT
    invalid: Outcome = Outcome.REJECT  # a caller number that is no number
    invalid_points: int = 0  # with invalid = "score"
    mismatch_points: int = 0  # From and the trusted P-Asserted-Identity name different numbers
    label: str | None = None  # what a call is tagged with by score
    divert: str | None = None  # where diverted calls go whose rule names no [[divert]]
    observe: bool = False
    origin: Mode = Mode.OBSERVE  # number class against trunk class
    subscribers: Mode = Mode.ENFORCE  # the callee's own will
    contact_limits: Mode = Mode.OBSERVE  # of the trunk's country (its pack); enforced, calls above them are tagged


class Label(Struct, frozen=True, kw_only=True):
    """Text for the called party's phone, at most 64 bytes of UTF-8."""

    name: str
    text: str


class Reputation(Struct, frozen=True, kw_only=True):
    """How evidence becomes points. half_life_days: of the score; refused/complaint: points of one event."""

    half_life_days: float = 14.0
    refused_points: int = 60
    complaint_points: int = 150
    block_share: float = 0.1  # share of the points that a caller's block of 100 inherits


class Subscribers(Struct, frozen=True, kw_only=True):
    """What the wishes of subscribers mean. time_zone: of their quiet hours, a name of the IANA database.

    high_frequency: calls within high_frequency_s that are too many, by how soon the subscriber wants protection.
    pair_points: what refusals of a caller's block must be worth, so that the callee is spared its calls; 0 = never.
    """

    time_zone: str = "UTC"
    high_frequency: tuple[int, int, int, int] = (5, 10, 20, 50)
    high_frequency_s: float = 600.0
    pair_points: int = 100


class StatusByBasis(Struct, frozen=True, kw_only=True):
    """The SIP status a rejection of each basis is answered with (docs: rejection by basis).

    anonymous: of a caller rejected because the identity is withheld (RFC 5079), whose basis is policy.
    """

    analytics: int = 603
    dno: int = 403
    invalid: int = 403
    subscriber: int = 607
    policy: int = 403
    overload: int = 503
    security: int = 403
    anonymous: int = 433


class TrunkPolicy(Struct, frozen=True, kw_only=True, rename={"trunk_class": "class"}):
    """What the engine knows of a trunk. pack: what its callers' numbers are classed by, None = its dial plan's.

    thresholds: None = those of its policy.
    """

    name: str
    policy: str
    dial_plan: str
    trunk_class: str = "carrier"
    pack: str | None = None
    thresholds: Thresholds | None = None
    status: StatusByBasis = StatusByBasis()


class PolicyTest(Struct, frozen=True, kw_only=True):
    """A call and the verdict that it must get; what is left out may be anything.

    at: ISO 8601, UTC without a zone; None = now. calls: so many at once, the last of which is looked at.
    """

    name: str
    caller: str
    callee: str
    trunk: str
    at: str | None = None
    privacy: bool = False
    calls: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    action: Literal["accept", "tag", "divert", "reject", "drop"] | None = None
    rule: str | None = None
    status: int | None = None


class PolicySet(
    Struct,
    frozen=True,
    kw_only=True,
    rename={
        "trunks": "trunk",
        "policies": "policy",
        "lists": "list",
        "prefix_rules": "prefix_rule",
        "rules": "rule",
        "limits": "limit",
        "diverts": "divert",
        "labels": "label",
        "dial_plans": "dial_plan",
        "tests": "test",
    },
):
    """Everything a policy image is compiled from: what a policy file holds, trunks included, and what it includes."""

    trunks: tuple[TrunkPolicy, ...] = ()
    policies: tuple[Policy, ...] = ()
    lists: tuple[NumberList, ...] = ()
    prefix_rules: tuple[PrefixRule, ...] = ()
    rules: tuple[Rule, ...] = ()
    limits: tuple[Limit, ...] = ()
    hours: tuple[Hours, ...] = ()
    diverts: tuple[Divert, ...] = ()
    labels: tuple[Label, ...] = ()
    dial_plans: tuple[DialPlan, ...] = ()
    origin: tuple[OriginRow, ...] = ()  # before those of the packs
    reputation: Reputation = Reputation()
    subscribers: Subscribers = Subscribers()
    tests: tuple[PolicyTest, ...] = ()  # run by `callsieve check`
