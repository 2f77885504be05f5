"""The configuration as an operator writes it, in three lifetimes.

*Process* (sealed at start): node, listeners, admin, capacity, timers, complaints. *Reload* (swapped whole): trunks,
gateways, redress, and the policy of `engine.rules`. *Live* state is in tables and lists, not here.

Ranges stand beside the type and are enforced where a file is read; what one key says of another is checked in
`proxy.config_checks`. conf/ documents every key for the operator. A path is relative to the file it stands in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from engine.rules import (
    DialPlan,
    Divert,
    Hours,
    Label,
    Limit,
    NumberList,
    OriginRow,
    Policy,
    PolicyTest,
    PrefixRule,
    Reputation,
    Rule,
    StatusByBasis,
    Struct,
    Subscribers,
    Thresholds,
)
from proxy.config_complaints import Complaints, ComplaintSource
from proxy.config_fleet import Fleet


class InternalErrorAction(StrEnum):
    OPEN = "open"  # a call that our own fault keeps from being screened goes on
    CLOSED = "closed"  # ... is answered 500


class TrunkClass(StrEnum):
    SUBSCRIBER = "subscriber"
    ENTERPRISE = "enterprise"
    CARRIER = "carrier"
    TRANSIT = "transit"
    INTL = "intl"
    CALLCENTRE = "callcentre"
    TEST = "test"


class Acceptance(StrEnum):
    """What a trunk may say although it is not trusted."""

    IDENTITY = "identity"  # Identity: its calls may be signed (RFC 8224)
    DIVERSION = "diversion"  # Diversion, History-Info: it may say that a call was forwarded to us
    RESOURCE_PRIORITY = "resource-priority"  # Resource-Priority (RFC 4412)


class AnalyticsForm(StrEnum):
    """How a rejection by analytics is written on a trunk."""

    NETWORK_BLOCKED = "603+"  # ATIS-1000099: 603 Network Blocked + Reason v=analytics1
    REJECTED = "608"  # RFC 8688
    DECLINE = "603"


class Node(Struct, frozen=True, kw_only=True):
    name: str = "callsieve"
    state_dir: str = "/var/lib/callsieve"
    workers: Annotated[int, Meta(ge=0, le=256)] = 0  # 0 = processor cores - 1, at least 1
    on_internal_error: InternalErrorAction = InternalErrorAction.OPEN
    server_header: str = "callsieve"  # Server header of our own answers; "" = none
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 30.0  # how long SIGTERM waits for open transactions


class Dns(Struct, frozen=True, kw_only=True):
    """Whom the workers ask for names. servers: address[:port]; none = those of /etc/resolv.conf."""

    servers: tuple[str, ...] = ()


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    WS = "ws"  # RFC 7118
    WSS = "wss"


class Listener(Struct, frozen=True, kw_only=True):
    """address: host:port to bind, IPv6 in brackets. advertise: host[:port] written into Via and Record-Route.

    tls: name of a [[tls]] table, for tls and wss. origins: pages that may connect by WebSocket, none = all of them.
    """

    name: str
    address: str
    transport: Transport = Transport.UDP
    advertise: str | None = None
    tls: str | None = None
    origins: tuple[str, ...] = ()


class Admin(Struct, frozen=True, kw_only=True):
    """Console, metrics and API. token_file: holds the token that every request must show; without one it only reads.

    hosts: names, beside addresses and localhost, that a browser may call it by.
    """

    address: str = "127.0.0.1:9060"
    token_file: str | None = None
    hosts: tuple[str, ...] = ()


class TlsVersion(StrEnum):
    V1_2 = "1.2"
    V1_3 = "1.3"


class Tls(Struct, frozen=True, kw_only=True):
    """A certificate with its key, and whose certificates are believed. All files are PEM.

    certificate: with its chain. client_ca: authorities of peers that connect, who then may show a certificate, or must.
    server_ca: authorities of peers that we connect to, default the system's; verify_server: their certificate must be
    valid and name the target (RFC 5922).
    """

    name: str
    certificate: str
    key: str
    client_ca: str | None = None
    require_client_certificate: bool = False
    server_ca: str | None = None
    verify_server: bool = True
    min_version: TlsVersion = TlsVersion.V1_2


Connections = Annotated[int, Meta(ge=1, le=1_000_000)]
PerSecond = Annotated[float, Meta(ge=1, le=1_000_000)]
Timeout = Annotated[float, Meta(ge=0.1, le=3600)]


class Streams(Struct, frozen=True, kw_only=True):
    """Limits of connections, each per worker. A source is an IPv4 address or an IPv6 network of 64 bits."""

    max_connections: Connections = 20_000
    max_connections_per_source: Connections = 2_000
    new_connections_per_s: PerSecond = 1_000.0
    new_connections_per_source_per_s: PerSecond = 200.0
    new_tls_per_s: PerSecond = 200.0
    ban_s: Annotated[float, Meta(ge=0, le=86_400)] = 10.0  # of a source that connects too often
    message_timeout_s: Timeout = 5.0  # from the first byte of a message to its last
    idle_timeout_s: Annotated[float, Meta(ge=1, le=86_400)] = 300.0  # more than Timer C: who rings may be silent
    connect_timeout_s: Timeout = 3.0
    handshake_timeout_s: Timeout = 5.0
    websocket_ping_s: Timeout = 30.0
    max_message_bytes: Annotated[int, Meta(ge=1300, le=65_535)] = 65_535
    write_queue_bytes: Annotated[int, Meta(ge=65_536, le=1 << 30)] = 262_144


class DecisionLog(Struct, frozen=True, kw_only=True):
    path: str | None = None  # default: decisions.jsonl in node.state_dir
    rotate_bytes: Annotated[int, Meta(ge=10_000)] = 100_000_000
    keep: Annotated[int, Meta(ge=1, le=1000)] = 10
    mask_numbers: bool = False  # last four digits replaced by x


TableRecords = Annotated[int, Meta(ge=1024, le=1 << 30)]
WorkerRecords = Annotated[int, Meta(ge=64, le=1 << 24)]


class Capacity(Struct, frozen=True, kw_only=True):
    reputation: TableRecords = 1_000_000  # numbers, 16 bytes each
    rate_limiter: TableRecords = 1_000_000  # (rule, key) pairs, 16 bytes each
    pairs: TableRecords = 262_144  # (callee, block of callers) pairs, 16 bytes each
    subscribers: TableRecords = 131_072  # callees with preferences, 16 bytes each; nine tenths of it are room
    subscriber_lists: TableRecords = 131_072  # callees' own entries for a caller, 16 bytes each; likewise
    orders: TableRecords = 131_072  # numbers that an operator has blocked or allowed, 16 bytes each; likewise
    transactions: WorkerRecords = 262_144  # per worker
    calls: WorkerRecords = 262_144  # answered calls in progress, per worker
    transaction_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 40)] = 1 << 30  # per worker, messages kept


class Timers(Struct, frozen=True, kw_only=True):
    trying_ms: Annotated[int, Meta(ge=1, le=200)] = 200  # RFC 3261 section 17.2.1: at most 200
    failover_ms: Annotated[int, Meta(ge=100, le=32_000)] = 4000  # no response at all: try the next target
    timer_c_s: Annotated[int, Meta(ge=181, le=3600)] = 185  # RFC 3261 section 16.6 step 11: more than 3 minutes


Rate = Annotated[float, Meta(ge=0, le=10_000_000)]  # 0 = no limit


class Flood(Struct, frozen=True, kw_only=True):
    """Limits for one address, per worker, with a burst of one second; a trunk's own stand in the trunk."""

    invites_per_s: Rate = 20_000.0  # new calls of one address
    stranger_messages_per_s: Rate = 200.0  # of an address that belongs to no trunk or gateway, before they are read
    all_strangers_messages_per_s: Rate = 20_000.0  # of all of those
    dialog_messages_per_s: Rate = 20_000.0  # of such an address that showed a part in a dialog
    unproven_answers_per_s: Rate = 100.0  # rejections to an address that never acknowledged any


class Overload(Struct, frozen=True, kw_only=True):
    """What a worker takes on before it refuses new calls (RFC 7339, 7415)."""

    processor_target: Annotated[float, Meta(ge=0.1, le=1.0)] = 0.9  # busy part of its processor; 1 = never by that


class Redress(Struct, frozen=True, kw_only=True):
    """Where a wrongly rejected caller turns to; url, tel or email is needed for 603+, card_url for 608."""

    url: str | None = None
    tel: str | None = None
    email: str | None = None
    location: str = "RLN"  # RFC 8606 section 4
    card_url: str | None = None  # https URL of the signed contact card of a 608 (RFC 8688 section 3.2)


class Compat(StrEnum):
    """Whose answers a trunk in redirect mode understands."""

    CLEARIP = "clearip"
    RIBBON = "ribbon"


class RedirectMode(StrEnum):
    REPORT_ONLY = "report-only"  # every call goes on, the decision log has the verdict
    INDICATE = "indicate"  # suspected and rejected calls go on under another name
    DIVERT = "divert"  # rejected calls go to divert_to
    BLOCK = "block"  # rejected calls are answered 603


class Redirect(Struct, frozen=True, kw_only=True):
    """Answers of a trunk with `compat`: its calls are judged, and never forwarded."""

    mode: RedirectMode = RedirectMode.BLOCK
    act_at: Annotated[int, Meta(ge=0, le=100)] = 80  # a tagged call with this score (0..100) counts as rejected
    clean: int | None = None  # status that means "take the next route": 404 or 503
    display_name: str = "<SPAM>"  # of a call that is only indicated
    contacts: tuple[str, ...] = ()  # host[:port] where an indicated call goes on
    divert_to: tuple[str, ...] = ()  # sip URIs


CallsPerSecond = Annotated[float, Meta(ge=0, le=100_000)]
ConcurrentCalls = Annotated[int, Meta(ge=0, le=10_000_000)]


class Trunk(Struct, frozen=True, kw_only=True, rename={"trunk_class": "class"}):
    """A peer that sends calls. sources: addresses and networks (CIDR). trusted: its P-Asserted-Identity counts.

    listeners: names of those that its calls come in by; none = any. route: [[gateway]]s in the order in which they are
    tried. Caps of 0 are none; they hold for all workers together.
    tls_names: identities of its certificate (RFC 5922), which tell it wherever it connects from.
    methods_denied, methods_allowed: what it may not, and may, use outside a dialog, beside the list of proxy.trunks.
    """

    name: str
    trunk_class: TrunkClass = TrunkClass.CARRIER
    sources: tuple[str, ...] = ()
    tls_names: tuple[str, ...] = ()
    trusted: bool = False
    accepts: tuple[Acceptance, ...] = ()
    group: str | None = None  # calls with this tgrp and trunk-context that a trusted peer brings (RFC 4904)
    context: str | None = None
    dial_plan: str
    pack: str | None = None  # whose classes of numbers it is screened by; none = that of the dial plan's country
    policy: str
    route: str | tuple[str, ...] | None = None  # none in redirect mode
    compat: Compat | None = None  # redirect mode
    redirect: Redirect = Redirect()
    listeners: tuple[str, ...] = ()
    calls_per_s: CallsPerSecond = 0
    concurrent_calls: ConcurrentCalls = 0
    thresholds: Thresholds | None = None  # none = those of its policy
    analytics: AnalyticsForm = AnalyticsForm.NETWORK_BLOCKED
    status: StatusByBasis = StatusByBasis()
    methods_denied: tuple[str, ...] = ()
    methods_allowed: tuple[str, ...] = ()
    max_requests_per_s: Rate = 100_000.0  # of one of its addresses, repeats included, before they are read
    max_rejections_per_s: Rate = 1000.0  # that one of its addresses is told; beyond it silence
    overload_control: bool = True  # tell a peer that asks how much it may send (RFC 7339, RFC 7415)
    screen: bool = True  # false: calls from this trunk are routed unscreened (the softswitch's own outbound)

    @property
    def gateways(self) -> tuple[str, ...]:
        return (self.route,) if isinstance(self.route, str) else self.route or ()


class Route(Struct, frozen=True, kw_only=True):
    """Where calls to numbers that begin with `prefix` go; the longest prefix wins, then one that names the trunk.

    prefix: as numbers are written canonically: "+8620", "CN:955". trunks: names; none = all of them.
    """

    prefix: str
    trunks: tuple[str, ...] = ()
    gateways: tuple[str, ...]


class Target(Struct, frozen=True, kw_only=True):
    """address: host[:port], numeric or a name. Lower priority number is tried first, weight shares within a priority.

    ips: where to send to, so that the name is never looked up. found_ips: what it led to when the file was loaded; not
    for operators.
    """

    address: str
    priority: Annotated[int, Meta(ge=0, le=65_535)] = 1
    weight: Annotated[int, Meta(ge=1, le=65_535)] = 1
    transport: Transport = Transport.UDP
    ips: tuple[str, ...] = ()
    found_ips: tuple[str, ...] = ()


class Probe(Struct, frozen=True, kw_only=True):
    """OPTIONS probing. A target is down after `down_after` probes in a row unanswered, up after `up_after` answered."""

    interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    timeout_s: Annotated[float, Meta(ge=0.1, le=32)] = 2.0
    up_after: Annotated[int, Meta(ge=1, le=100)] = 1
    down_after: Annotated[int, Meta(ge=1, le=100)] = 2
    enabled: bool = True


class TagHeaders(Struct, frozen=True, kw_only=True):
    """How a tagged or accepted call is labelled toward a gateway."""

    verdict: bool = True  # X-Callsieve-Verdict
    display_name: str = ""  # stands before the caller's name in P-Asserted-Identity; "" = off
    call_info: bool = False  # Call-Info ;purpose=info;call-reason (RFC 9796)
    call_info_url: str = "https://labels.invalid/"


class PluginStyle(Struct, frozen=True, kw_only=True):
    """What other SIP servers that screen with this node do with its verdicts."""

    tags: TagHeaders = TagHeaders()


class Gateway(Struct, frozen=True, kw_only=True):
    """A group of targets that calls are sent to. listener: which one to send from (default: the first).

    retry_on: final responses after which the next target is tried, as it always is after silence or failed transport.
    """

    name: str
    targets: tuple[Target, ...]
    listener: str | None = None
    probe: Probe = Probe()
    trusted: bool = True  # may see P-Asserted-Identity and X-Callsieve-*
    tags: TagHeaders = TagHeaders()
    overload_control: bool = False  # ask it how much it can take, and send no more (RFC 7339, RFC 7415)
    calls_per_s: CallsPerSecond = 0
    concurrent_calls: ConcurrentCalls = 0
    retry_on: tuple[Annotated[int, Meta(ge=400, le=599)], ...] = (503,)
    rewrite_host: bool = True  # a Request-URI that names this proxy gets the target's address


class Configuration(
    Struct,
    frozen=True,
    kw_only=True,
    rename={
        "listeners": "listener",
        "trunks": "trunk",
        "gateways": "gateway",
        "routes": "route",
        "tls_tables": "tls",
        "policies": "policy",
        "lists": "list",
        "prefix_rules": "prefix_rule",
        "rules": "rule",
        "diverts": "divert",
        "limits": "limit",
        "labels": "label",
        "dial_plans": "dial_plan",
        "tests": "test",
        "complaint_sources": "complaint_source",
    },
):
    """callsieve.toml with everything it includes. Arrays of tables are singular in TOML: [[listener]], [[trunk]] ..."""

    include: tuple[str, ...] = ()
    node: Node = Node()
    dns: Dns = Dns()
    admin: Admin = Admin()
    streams: Streams = Streams()
    decision_log: DecisionLog = DecisionLog()
    capacity: Capacity = Capacity()
    timers: Timers = Timers()
    flood: Flood = Flood()
    overload: Overload = Overload()
    redress: Redress = Redress()
    plugin: PluginStyle = PluginStyle()
    complaints: Complaints = Complaints()
    reputation: Reputation = Reputation()
    subscribers: Subscribers = Subscribers()
    fleet: Fleet = Fleet()
    listeners: tuple[Listener, ...] = ()
    tls_tables: tuple[Tls, ...] = ()
    complaint_sources: tuple[ComplaintSource, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    routes: tuple[Route, ...] = ()
    policies: tuple[Policy, ...] = ()
    lists: tuple[NumberList, ...] = ()
    prefix_rules: tuple[PrefixRule, ...] = ()
    rules: tuple[Rule, ...] = ()
    hours: tuple[Hours, ...] = ()
    diverts: tuple[Divert, ...] = ()
    limits: tuple[Limit, ...] = ()
    labels: tuple[Label, ...] = ()
    dial_plans: tuple[DialPlan, ...] = ()
    origin: tuple[OriginRow, ...] = ()  # before those of the packs
    tests: tuple[PolicyTest, ...] = ()  # of the policy, run by `callsieve check`
