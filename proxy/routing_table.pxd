# The routing of one configuration as the call path reads it: peers by address, trunks, gateways and their targets.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._decision cimport number_t
from engine._dial_plan cimport DialPlanRules
from proxy.methods cimport DeniedMethods
from proxy.prefix_routes cimport PrefixRoutes, RouteEntry
from proxy.rate_limit cimport RateLimit
from proxy.sip.address cimport Address
from proxy.sip.grammar cimport Slice
from proxy.sip.message cimport Message

cdef enum PeerKind:
    PEER_UNKNOWN = 0
    PEER_TRUNK = 1
    PEER_GATEWAY = 2         # an address that a gateway sends to, and no trunk's

cdef struct Peer:
    uint8_t kind             # PeerKind
    uint16_t index           # of the trunk or gateway

cdef enum Form:
    FORM_NETWORK_BLOCKED = 0     # 603 Network Blocked + Reason (ATIS-1000099)
    FORM_REJECTED = 1            # 608 (RFC 8688)
    FORM_DECLINE = 2             # plain 603

cdef enum:
    MAX_CONTACTS = 12
    MAX_TARGETS = 64         # of a gateway: `tried` is one 64-bit word

cdef enum Compat:
    COMPAT_NONE = 0          # not in redirect mode
    COMPAT_CLEARIP = 1
    COMPAT_RIBBON = 2

cdef enum RedirectMode:
    MODE_REPORT_ONLY = 0
    MODE_INDICATE = 1
    MODE_DIVERT = 2
    MODE_BLOCK = 3

# How a trunk in redirect mode is answered. Texts end with a NUL byte.
cdef struct Redirection:
    uint8_t compat           # Compat
    uint8_t mode             # RedirectMode
    uint8_t contact_count
    uint8_t divert_count
    uint16_t act_at          # score from which a tagged call is treated as a rejected one, 0..1000
    uint16_t clean_status
    const char* contact_start                 # Contact: "NAME" <sip:
    const char* contacts[MAX_CONTACTS]        # host[:port]
    const char* diverts[MAX_CONTACTS]         # URIs

cdef struct TrunkEntry:
    const DialPlanRules* dial_plan
    uint16_t route           # of calls that no prefix leads elsewhere
    uint16_t limit           # index of its caps
    uint16_t policy_trunk
    uint8_t trusted
    uint8_t rights           # Right, as bits
    Redirection redirection
    uint8_t screen
    uint8_t analytics        # Form
    DeniedMethods denied     # outside a dialog
    uint8_t overload_control # as a server of this peer
    uint64_t refused         # requests answered 503 that have not been reported yet
    RateLimit requests       # of one of its addresses
    RateLimit answers        # rejections to one of them
    const uint8_t* group     # tgrp of the calls that another trusted peer brings for this trunk (RFC 4904); NULL = none
    uint32_t group_size
    const uint8_t* context   # its trunk-context
    uint32_t context_size

cdef struct TargetEntry:
    Address address
    const uint8_t* text      # host[:port] for the Request-URI
    uint32_t text_size
    int32_t priority
    int32_t weight
    int64_t current          # smooth weighted round robin
    uint8_t listener         # by which it is reached
    uint8_t secure           # reached by TLS
    uint8_t retired          # its name leads here no more; the place is free
    uint8_t down
    uint16_t streak          # probes in a row that contradict `down`

cdef struct GatewayEntry:
    TargetEntry targets[MAX_TARGETS]
    uint16_t target_count    # places in use, the retired among them included
    uint16_t limit           # index of its caps
    uint16_t up_after
    uint16_t down_after
    uint8_t trusted
    uint8_t rewrite_host
    uint8_t tag_verdict
    uint8_t overload_control # as a client of it
    uint64_t retry_on[7]     # bits of the statuses 300 to 699 that lead on to the next target
    const uint8_t* display   # put before display names of tagged callers, escaped; NULL = off
    uint32_t display_size
    const uint8_t* call_info # "Call-Info: <...>;purpose=info;call-reason=", NULL = off
    uint32_t call_info_size

cdef struct Network:
    uint8_t ip[16]
    uint8_t prefix
    uint16_t listeners       # bits of those that it counts on
    Peer peer

cdef struct Text:
    const uint8_t* data
    uint32_t size

cdef enum:
    PEER_CACHE = 4096        # a power of two

cdef struct CachedPeer:
    uint8_t ip[16]
    uint8_t listener
    Peer peer
    uint8_t valid

# Whether a final response with this status lets the next target be tried.
cdef bint retries_on(const GatewayEntry* gateway, uint16_t status) noexcept nogil

cdef class RoutingTable:
    cdef TrunkEntry* trunks
    cdef GatewayEntry* gateways
    cdef RouteEntry* routes
    cdef PrefixRoutes prefixes
    cdef Network* networks
    cdef CachedPeer* cache
    cdef Text* labels        # escaped for a quoted-string
    cdef Text* rules         # names, as in the policy image
    cdef Text reason_603     # Reason header of 603+ up to the redress id
    cdef Text reason_603_end
    cdef Text card_608       # Call-Info of 608, empty without a contact card
    cdef readonly uint32_t trunk_count
    cdef readonly uint32_t gateway_count
    cdef uint32_t network_count
    cdef uint32_t label_count
    cdef uint32_t rule_count
    cdef uint32_t route_count
    cdef uint32_t divert_count   # the last routes, where diverted calls go
    cdef readonly uint32_t generation
    cdef bint redirects      # a trunk is in redirect mode
    cdef list keep           # Python objects that the pointers above point into
    cdef readonly object routing

    # listener: that its message came in by.
    cdef Peer peer_of(self, const Address* source, uint8_t listener) noexcept nogil
    cdef Peer find_peer(self, const Address* source, uint8_t listener) noexcept nogil
    # What a peer may say that others have to believe: bits of Right.
    cdef uint8_t rights_of(self, Peer peer) noexcept nogil
    # The trunk that a trunk group belongs to, -1 = none.
    cdef int trunk_of_group(self, const Message* message, Slice group, Slice context) noexcept nogil
    # The route of a call from this trunk to this number.
    cdef uint16_t route_of(self, uint16_t trunk, number_t callee) noexcept nogil
    # The route of a call that this generation's policy diverts, NO_ROUTE = there is none.
    cdef uint16_t route_of_divert(self, uint8_t divert) noexcept nogil
    # Bits of the targets not in `tried`. secure: only those reached by TLS.
    cdef uint64_t untried(self, uint16_t gateway, uint64_t tried, bint secure) noexcept nogil
    # Index of the target to try next among those not in `tried`; -1 = none is left. Targets that are down come last.
    cdef int choose_target(self, uint16_t gateway, uint64_t tried, bint secure) noexcept nogil
    cdef int fill_target(self, TargetEntry* target, object route) except -1
    cdef Text text(self, bytes value)
    cdef const char* zero_ended(self, str value) except NULL
    cdef int set_redirection(self, Redirection* entry, redirect) except -1
    cdef int set_group(self, TrunkEntry* entry, trunk) except -1
    cdef int add_networks(self, list rows) except -1
