"""The vocabulary of a decision as Python sees it; `_decision.pxd` is the same in C, with the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Action(IntEnum):
    """What becomes of a call, mildest first."""

    ACCEPT = 0
    TAG = 1
    DIVERT = 2
    REJECT = 3
    DROP = 4


class Basis(IntEnum):
    """Why, in the sense that a SIP status is chosen by."""

    NONE = 0
    ANALYTICS = 1
    DNO = 2
    INVALID = 3
    SUBSCRIBER = 4
    POLICY = 5
    OVERLOAD = 6
    SECURITY = 7


class Category(IntEnum):
    """What a nuisance caller is after, in the words of complaints: fixed, so that it means the same on every node."""

    NONE = 0
    FRAUD = 1
    SALES = 2
    LOAN = 3
    DEBT = 4
    ESTATE = 5
    HARASSMENT = 6
    SILENT = 7
    OTHER = 8


class OutcomeKind(IntEnum):
    """What became of a call that had been let through. RINGING: its first 18x (RFC 3261 section 21.1)."""

    ANSWERED = 1
    ENDED = 2
    FAILED = 3
    REFUSED = 4
    COMPLAINT = 5
    RINGING = 6


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call attempt. Caller and callee as presented: the trunk's dial plan makes numbers of them.

    source: the sender's address, any text; "" = unknown. fingerprint: the shape of the request, likewise. Who counts
    them under words of 64 bits of its own may give those.
    emergency: the Request-URI is urn:service:sos or the like.
    mismatch: From and the trusted P-Asserted-Identity name different numbers.
    """

    caller: str
    callee: str
    trunk: str
    source: str | int = ""
    emergency: bool = False
    privacy: bool = False
    mismatch: bool = False
    fingerprint: str | int = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """One contribution to a decision: a rule or a built-in feature, and the points it gave (0 = no score).

    asked: what it wants of the call beside its points, ACCEPT = nothing. observed: it is only reported, and neither its
    points nor what it asks for count.
    """

    name: str
    points: int
    asked: Action = Action.ACCEPT
    observed: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided.

    rule: what decided, or, for a call that goes on untouched, the strongest rule that only observes.
    status: SIP status to answer, 0 when the call goes on. score: 0..1000. redress_id: 13 characters of base32, None
    when the call was accepted untouched. observed: the action that rules and policies in observe mode asked for.
    number_class: of the caller's number (`engine.packs.NumberClass`), None where the trunk's country has no pack.
    observed_rule: the first that asked for `observed`. divert: the [[divert]] that the call goes to.
    """

    action: Action
    basis: Basis
    status: int
    rule: str | None
    score: int
    label: str | None
    reasons: tuple[Reason, ...]
    redress_id: str | None
    observed: Action
    number_class: str | None = None
    observed_rule: str | None = None
    divert: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict that was not counted, with all that was looked at.

    caller, callee: canonical. reasons: every one, not only the eight a verdict holds. seen: the table values read, such
    as ("reputation.points", 340) or ("limit burst-caller", 1): 1 = one more call conforms, 0 = it does not. Further
    windows of a limit are called "limit burst-caller, window 2".
    """

    verdict: Verdict
    caller: str
    callee: str
    reasons: tuple[Reason, ...]
    seen: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call has shown so far, each kind told once. Numbers as presented; times in milliseconds.

    status: final SIP status, 0 = unknown. released_by: 0 unknown, 1 caller, 2 callee. setup_ms: from the INVITE to the
    first 18x, when the callee's phone rings, 0 = it never did. ring_ms: from the INVITE to the answer, or to the end of
    a call that nobody answered, so that it rang for ring_ms - setup_ms. category: of a complaint, NONE = the callee has
    not said.
    """

    caller: str
    callee: str
    trunk: str
    kind: OutcomeKind
    status: int = 0
    released_by: int = 0
    setup_ms: int = 0
    ring_ms: int = 0
    talk_ms: int = 0
    category: Category = Category.NONE
