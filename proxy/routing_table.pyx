"""Routing for the call path: compiled once per configuration from `proxy.trunks.Routing`, swapped whole."""

from ipaddress import IPv4Network

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from engine._dial_plan cimport DialPlan
from proxy.methods cimport deny_method
from proxy.prefix_routes cimport MAX_ROUTE_GATEWAYS, NO_ROUTE, PrefixRoutes
from proxy.rate_limit cimport rate_limit
from proxy.sip.address cimport address_from_python, address_text, same_host
from proxy.sip.grammar cimport sip_equal_nocase
from proxy.trust_border cimport RIGHTS_OF_TRUSTED, RIGHT_DIVERT, RIGHT_PRIORITY, RIGHT_SIGN

LIMIT_BURST_S = 1.0
REDIRECT_MODES = ("report-only", "indicate", "divert", "block")   # in the order of RedirectMode


cdef class RoutingTable:
    """routing: proxy.trunks.Routing. rules: rule names by index, as the policy image of the same generation has them.

    Health of targets that stay is taken over from `previous`.
    """

    def __cinit__(self, routing, rules, RoutingTable previous=None):
        self.keep = []
        self.routing = routing
        self.generation = routing.generation
        self.trunk_count = len(routing.trunks)
        self.gateway_count = len(routing.gateways)
        self.trunks = <TrunkEntry*>calloc(max(1, self.trunk_count), sizeof(TrunkEntry))
        self.gateways = <GatewayEntry*>calloc(max(1, self.gateway_count), sizeof(GatewayEntry))
        self.routes = <RouteEntry*>calloc(max(1, len(routing.routes)), sizeof(RouteEntry))
        self.cache = <CachedPeer*>calloc(PEER_CACHE, sizeof(CachedPeer))
        self.label_count = len(routing.labels)
        self.rule_count = len(rules)
        self.labels = <Text*>calloc(max(1, self.label_count), sizeof(Text))
        self.rules = <Text*>calloc(max(1, self.rule_count), sizeof(Text))
        if not (self.trunks and self.gateways and self.routes and self.cache and self.labels and self.rules):
            raise MemoryError("no memory for the routing")
        self.fill_texts(routing, rules)
        self.fill_gateways(routing)
        self.fill_trunks(routing)
        self.fill_routes(routing)
        if previous is not None:
            self.take_health(previous)

    def __dealloc__(self):
        free(self.trunks)
        free(self.gateways)
        free(self.routes)
        free(self.networks)
        free(self.cache)
        free(self.labels)
        free(self.rules)

    cdef Text text(self, bytes value):
        cdef Text result
        self.keep.append(value)
        result.data = <const uint8_t*>value
        result.size = <uint32_t>len(value)
        return result

    def fill_texts(self, routing, rules):
        cdef int i
        for i, label in enumerate(routing.labels):
            self.labels[i] = self.text(quotable(label))
        for i, rule in enumerate(rules):
            self.rules[i] = self.text(rule.encode("ascii", "replace"))
        redress = routing.redress
        contacts = (("url", redress.url), ("tel", redress.tel), ("email", redress.email))
        where = "".join(f";{key}={value}" for key, value in contacts if value)
        self.reason_603 = self.text(f'Reason: SIP;cause=603;text="v=analytics1{where};id='.encode())
        self.reason_603_end = self.text(f'";location={redress.location}\r\n'.encode())
        card = redress.card_url
        self.card_608 = self.text(f"Call-Info: <{card}>;purpose=jwscard\r\n".encode() if card else b"")

    def fill_gateways(self, routing):
        cdef GatewayEntry* entry
        cdef Text text
        cdef int i, j
        for i, gateway in enumerate(routing.gateways):
            if len(gateway.targets) > MAX_TARGETS:
                raise ValueError(f"gateway {gateway.name} has more than {MAX_TARGETS} targets")
            entry = &self.gateways[i]
            entry.target_count = len(gateway.targets)
            entry.limit = len(routing.trunks) + i
            entry.trusted = gateway.trusted
            entry.rewrite_host = gateway.rewrite_host
            entry.tag_verdict = gateway.tags.verdict
            entry.overload_control = gateway.overload_control
            for status in gateway.retry_on:
                entry.retry_on[(status - 300) >> 6] |= <uint64_t>1 << ((status - 300) & 63)
            entry.up_after = gateway.probe.up_after
            entry.down_after = gateway.probe.down_after
            if gateway.tags.display_name:
                text = self.text(quotable(gateway.tags.display_name.encode()))
                entry.display, entry.display_size = text.data, text.size
            if gateway.tags.call_info:
                line = f"Call-Info: <{gateway.tags.call_info_url}>;purpose=info;call-reason="
                text = self.text(line.encode())
                entry.call_info, entry.call_info_size = text.data, text.size
            for j, route in enumerate(gateway.targets):
                self.fill_target(&entry.targets[j], route)

    cdef int fill_target(self, TargetEntry* target, object route) except -1:
        cdef Text text = self.text(route.text.encode("ascii"))
        memset(target, 0, sizeof(TargetEntry))
        address_from_python(route.ip, route.port, &target.address)
        target.text, target.text_size = text.data, text.size
        target.listener = route.listener
        target.secure = route.secure
        target.priority, target.weight = route.priority, max(1, route.weight)
        return 0

    def set_targets(self, int gateway, routes):
        """Gives a gateway other targets (proxy.gateways.TargetRoute). Those that stay keep their place and health.

        Places are what open transactions know targets by, so that a new one takes a place that was given up.
        """
        cdef GatewayEntry* entry = &self.gateways[gateway]
        cdef TargetEntry* target
        cdef TargetEntry before
        cdef int i
        wanted = {(route.ip, route.port, route.listener): route for route in routes[:MAX_TARGETS]}
        for i in range(entry.target_count):
            target = &entry.targets[i]
            route = wanted.pop((address_text(&target.address), target.address.port, target.listener), None)
            before = target[0]
            if route is None:
                target.retired = True
                continue
            self.fill_target(target, route)
            target.down, target.streak, target.current = before.down, before.streak, before.current
        free_places = [i for i in range(MAX_TARGETS) if i >= entry.target_count or entry.targets[i].retired]
        for place, route in zip(free_places, wanted.values()):
            i = place
            self.fill_target(&entry.targets[i], route)
            entry.target_count = max(entry.target_count, i + 1)
        memset(self.cache, 0, PEER_CACHE * sizeof(CachedPeer))

    def target_texts(self, int gateway):
        """(place, host[:port] as written) of every target in use."""
        cdef int i
        cdef TargetEntry* target
        texts = []
        for i in range(self.gateways[gateway].target_count):
            target = &self.gateways[gateway].targets[i]
            if not target.retired:
                texts.append((i, (<const char*>target.text)[: target.text_size].decode("ascii")))
        return texts

    def fill_trunks(self, routing):
        cdef DialPlan plan
        cdef int i
        forms = {"603+": FORM_NETWORK_BLOCKED, "608": FORM_REJECTED, "603": FORM_DECLINE}
        rows = []
        for i, trunk in enumerate(routing.trunks):
            plan = DialPlan(trunk.dial_plan)
            self.keep.append(plan)
            self.trunks[i].dial_plan = plan.rules
            self.trunks[i].route = trunk.route
            self.trunks[i].limit = i
            self.trunks[i].policy_trunk = trunk.policy_trunk
            self.trunks[i].trusted = trunk.trusted
            self.trunks[i].rights = trunk_rights(trunk)
            self.set_group(&self.trunks[i], trunk)
            self.set_redirection(&self.trunks[i].redirection, trunk.redirect)
            self.trunks[i].screen = trunk.screen
            self.trunks[i].analytics = forms[trunk.analytics]
            for method in trunk.denied_methods:
                self.keep.append(method)
                deny_method(&self.trunks[i].denied, method)
            self.trunks[i].overload_control = trunk.overload_control
            self.trunks[i].requests = rate_limit(trunk.max_requests_per_s, LIMIT_BURST_S)
            self.trunks[i].answers = rate_limit(trunk.max_rejections_per_s, LIMIT_BURST_S)
            rows += [(network, trunk.listeners, i) for network in trunk.networks]
        self.add_networks(rows)

    cdef int set_group(self, TrunkEntry* entry, trunk) except -1:
        cdef Text text
        if not trunk.group:
            return 0
        text = self.text(trunk.group.encode("ascii"))
        entry.group, entry.group_size = text.data, text.size
        text = self.text(trunk.context.lower().encode("ascii"))
        entry.context, entry.context_size = text.data, text.size
        return 0

    cdef const char* zero_ended(self, str value) except NULL:
        cdef bytes text = value.encode()
        self.keep.append(text)
        return <const char*>text

    cdef int set_redirection(self, Redirection* entry, redirect) except -1:
        cdef int i
        if redirect is None:
            return 0
        self.redirects = True
        entry.compat = {"clearip": COMPAT_CLEARIP, "ribbon": COMPAT_RIBBON}[redirect.compat]
        entry.mode = REDIRECT_MODES.index(redirect.mode)
        entry.act_at = redirect.act_at * 10
        entry.clean_status = redirect.clean
        entry.contact_count, entry.divert_count = len(redirect.contacts), len(redirect.divert_to)
        name = quotable(redirect.display_name.encode()).decode()
        entry.contact_start = self.zero_ended(f'Contact: "{name}" <sip:' if name else "Contact: <sip:")
        for i, host in enumerate(redirect.contacts):
            entry.contacts[i] = self.zero_ended(host)
        for i, uri in enumerate(redirect.divert_to):
            entry.diverts[i] = self.zero_ended(uri)
        return 0

    def fill_routes(self, routing):
        cdef Text text
        cdef int i, j
        for i, gateways in enumerate(routing.routes):
            if len(gateways) > MAX_ROUTE_GATEWAYS:
                raise ValueError(f"a route has more than {MAX_ROUTE_GATEWAYS} gateways")
            self.routes[i].count = len(gateways)
            for j, gateway in enumerate(gateways):
                self.routes[i].gateways[j] = gateway
        self.route_count, self.divert_count = len(routing.routes), len(routing.divert_uris)
        for i, uri in enumerate(routing.divert_uris, start=self.route_count - self.divert_count):
            if uri is not None:
                text = self.text(uri)
                self.routes[i].uri, self.routes[i].uri_size = text.data, text.size
        self.prefixes = PrefixRoutes(routing.prefixes)

    # Longest network first. rows: (network, indexes of listeners or none for all, trunk)
    cdef int add_networks(self, list rows) except -1:
        cdef Network* entry
        cdef int i
        bits = [
            (
                n.prefixlen + (96 if isinstance(n, IPv4Network) else 0), n,
                sum(1 << row for row in listeners) or 0xFFFF, trunk
            )
            for n, listeners, trunk in rows
        ]
        bits.sort(key=lambda row: row[0], reverse=True)
        self.networks = <Network*>calloc(max(1, len(bits)), sizeof(Network))
        self.network_count = len(bits)
        for i, (prefix, network, listeners, trunk) in enumerate(bits):
            entry = &self.networks[i]
            packed = network.network_address.packed
            if len(packed) == 4:
                packed = b"\0" * 10 + b"\xff\xff" + packed
            memcpy(entry.ip, <const unsigned char*>packed, 16)
            entry.prefix = prefix
            entry.listeners = listeners
            entry.peer.kind = PEER_TRUNK
            entry.peer.index = trunk
        return 0

    def take_health(self, RoutingTable previous):
        cdef TargetEntry* old
        cdef TargetEntry* new
        cdef uint32_t g, p
        cdef int i, j
        known = {}
        for p in range(previous.gateway_count):
            for j in range(previous.gateways[p].target_count):
                old = &previous.gateways[p].targets[j]
                known[(<unsigned char*>old.address.ip)[:16], old.address.port] = (old.down, old.streak)
        for g in range(self.gateway_count):
            for i in range(self.gateways[g].target_count):
                new = &self.gateways[g].targets[i]
                new.down, new.streak = known.get(((<unsigned char*>new.address.ip)[:16], new.address.port), (0, 0))

    cdef Peer peer_of(self, const Address* source, uint8_t listener) noexcept nogil:
        cdef uint32_t slot = cache_slot(source)
        cdef CachedPeer* cached = &self.cache[slot]
        if cached.valid and cached.listener == listener and memcmp(cached.ip, source.ip, 16) == 0:
            return cached.peer
        memcpy(cached.ip, source.ip, 16)
        cached.listener = listener
        cached.peer = self.find_peer(source, listener)
        cached.valid = 1
        return cached.peer

    cdef uint8_t rights_of(self, Peer peer) noexcept nogil:
        if peer.kind == PEER_TRUNK:
            return self.trunks[peer.index].rights
        if peer.kind == PEER_GATEWAY and self.gateways[peer.index].trusted:
            return RIGHTS_OF_TRUSTED
        return 0

    # Group names are compared byte by byte, contexts as the domain names and numbers that they are.
    cdef int trunk_of_group(self, const Message* message, Slice group, Slice context) noexcept nogil:
        cdef const TrunkEntry* trunk
        cdef uint32_t i
        for i in range(self.trunk_count):
            trunk = &self.trunks[i]
            if trunk.group == NULL or trunk.group_size != group.size or trunk.context_size != context.size:
                continue
            if memcmp(message.data + group.start, trunk.group, group.size) == 0 and sip_equal_nocase(
                message.data + context.start, <const char*>trunk.context, context.size
            ):
                return <int>i
        return -1

    # A trunk before a gateway.
    cdef Peer find_peer(self, const Address* source, uint8_t listener) noexcept nogil:
        cdef Peer peer
        cdef uint32_t i
        cdef int j
        for i in range(self.network_count):
            if self.networks[i].listeners >> listener & 1 and is_within(
                source.ip, self.networks[i].ip, self.networks[i].prefix
            ):
                return self.networks[i].peer
        peer.kind, peer.index = PEER_UNKNOWN, 0
        for i in range(self.gateway_count):
            for j in range(self.gateways[i].target_count):
                if not self.gateways[i].targets[j].retired and same_host(source, &self.gateways[i].targets[j].address):
                    peer.kind, peer.index = PEER_GATEWAY, <uint16_t>i
                    return peer
        return peer

    cdef uint16_t route_of(self, uint16_t trunk, number_t callee) noexcept nogil:
        cdef uint16_t route = self.prefixes.find(trunk, callee)
        return route if route != NO_ROUTE else self.trunks[trunk].route

    cdef uint16_t route_of_divert(self, uint8_t divert) noexcept nogil:
        return <uint16_t>(self.route_count - self.divert_count + divert) if divert < self.divert_count else NO_ROUTE

    cdef uint64_t untried(self, uint16_t gateway, uint64_t tried, bint secure) noexcept nogil:
        cdef const GatewayEntry* entry = &self.gateways[gateway]
        cdef uint64_t left = 0
        cdef int i
        for i in range(entry.target_count):
            if not entry.targets[i].retired and (entry.targets[i].secure or not secure):
                left |= <uint64_t>1 << i
        return left & ~tried

    cdef int choose_target(self, uint16_t gateway, uint64_t tried, bint secure) noexcept nogil:
        cdef GatewayEntry* entry = &self.gateways[gateway]
        cdef TargetEntry* target
        cdef uint64_t left = self.untried(gateway, tried, secure)
        cdef int best = -1
        cdef int i
        cdef int64_t total = 0
        for i in range(entry.target_count):
            if left >> i & 1 and (best < 0 or is_before(&entry.targets[i], &entry.targets[best])):
                best = i
        if best < 0:
            return -1
        # Smooth weighted round robin among the equals of the best.
        cdef int32_t priority = entry.targets[best].priority
        cdef uint8_t down = entry.targets[best].down
        best = -1
        for i in range(entry.target_count):
            target = &entry.targets[i]
            if not left >> i & 1 or target.priority != priority or target.down != down:
                continue
            total += target.weight
            target.current += target.weight
            if best < 0 or target.current > entry.targets[best].current:
                best = i
        entry.targets[best].current -= total
        return best


cdef bint retries_on(const GatewayEntry* gateway, uint16_t status) noexcept nogil:
    return gateway.retry_on[(status - 300) >> 6] >> ((status - 300) & 63) & 1


def quotable(text):
    """Inside a quoted-string (RFC 3261 section 25.1)."""
    return text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


cdef uint8_t trunk_rights(trunk) except? 255:
    if trunk.trusted:
        return RIGHTS_OF_TRUSTED
    named = {"identity": RIGHT_SIGN, "diversion": RIGHT_DIVERT, "resource-priority": RIGHT_PRIORITY}
    return sum(named[name] for name in trunk.accepts)


cdef inline uint32_t cache_slot(const Address* source) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, source.ip + 12, 4)
    return (word * <uint32_t>2654435761 >> 20) & (PEER_CACHE - 1)


cdef inline bint is_within(const uint8_t* ip, const uint8_t* network, uint8_t prefix) noexcept nogil:
    cdef int whole = prefix >> 3
    cdef int rest = prefix & 7
    if memcmp(ip, network, whole) != 0:
        return False
    return rest == 0 or ((ip[whole] ^ network[whole]) >> (8 - rest)) == 0


cdef inline bint is_before(const TargetEntry* a, const TargetEntry* b) noexcept nogil:
    if a.down != b.down:
        return a.down < b.down
    return a.priority < b.priority
