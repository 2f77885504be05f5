"""SIP transactions: four state machines as tables, and a fixed store of the open ones.

A machine is rows of (state, input) -> (next state, actions), to be laid beside the RFC's figure. What is not in the
table does nothing. Only `step` reads it; only ProxyCore acts on it.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from engine._table cimport callsieve_prefetch
from proxy.key_index cimport add_key, create_index, find_key, free_index, remove_key
from proxy.memory cimport Block, allocate_array, create_pool, free_array, free_pool, has_block, keep, release, taken
from proxy.sip.grammar cimport parse_hex, sip_equal_nocase
from proxy.sip.keyed_hash cimport KeyedHash, keyed_hash_add, keyed_hash_begin, keyed_hash_end, keyed_hash_word
from proxy.sip.message cimport METHOD_ACK, METHOD_CANCEL, METHOD_INVITE
from proxy.sip.timers cimport LENGTH_COUNT, LENGTH_LINGER_64T1, LENGTH_LINGER_T4, TimerNode, arm, disarm
from proxy.sip.via cimport has_cookie

# Of transactions and of memory, what is left to requests within dialogs and to emergency calls (RFC 7339 section
# 5.10.1), and the end of it that even these calls leave to dialogs, so that calls can end.
cdef double SPARE = 0.125
cdef double LAST = 0.01

# RFC 6026 Figure 7: INVITE server transaction. It is created in Proceeding.
_INVITE_SERVER = {
    (STATE_PROCEEDING, INPUT_REQUEST): (STATE_PROCEEDING, DO_RESEND),
    (STATE_PROCEEDING, INPUT_1XX): (STATE_PROCEEDING, DO_PASS),
    (STATE_PROCEEDING, INPUT_2XX): (STATE_ACCEPTED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER),  # timer L
    (STATE_PROCEEDING, INPUT_FINAL): (STATE_COMPLETED, DO_PASS | ARM_RETRANSMIT | ARM_TIMEOUT),  # timers G, H
    (STATE_COMPLETED, INPUT_REQUEST): (STATE_COMPLETED, DO_RESEND),
    (STATE_COMPLETED, INPUT_RETRANSMIT): (STATE_COMPLETED, DO_RESEND | NEXT_RETRANSMIT),
    (STATE_COMPLETED, INPUT_ACK): (STATE_CONFIRMED, STOP_RETRANSMIT | ARM_LINGER_T4),  # timer I
    (STATE_COMPLETED, INPUT_TIMEOUT): (STATE_FREE, DO_TIMED_OUT | END),
    (STATE_CONFIRMED, INPUT_LINGER): (STATE_FREE, END),
    (STATE_ACCEPTED, INPUT_2XX): (STATE_ACCEPTED, DO_PASS),
    (STATE_ACCEPTED, INPUT_LINGER): (STATE_FREE, END),
}

# RFC 3261 Figure 8: non-INVITE server transaction. It is created in Trying.
_NON_INVITE_SERVER = {
    (STATE_TRYING, INPUT_1XX): (STATE_PROCEEDING, DO_PASS),
    (STATE_TRYING, INPUT_2XX): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER),  # timer J
    (STATE_TRYING, INPUT_FINAL): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER),
    (STATE_PROCEEDING, INPUT_REQUEST): (STATE_PROCEEDING, DO_RESEND),
    (STATE_PROCEEDING, INPUT_1XX): (STATE_PROCEEDING, DO_PASS),
    (STATE_PROCEEDING, INPUT_2XX): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER),
    (STATE_PROCEEDING, INPUT_FINAL): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER),
    (STATE_COMPLETED, INPUT_REQUEST): (STATE_COMPLETED, DO_RESEND),
    (STATE_COMPLETED, INPUT_LINGER): (STATE_FREE, END),
}

# RFC 6026 Figure 5: INVITE client transaction. It is created in Calling (STATE_TRYING) with timers A and B running.
_INVITE_CLIENT = {
    (STATE_TRYING, INPUT_RETRANSMIT): (STATE_TRYING, DO_RESEND | NEXT_RETRANSMIT),  # timer A
    (STATE_TRYING, INPUT_TIMEOUT): (STATE_FREE, DO_TIMED_OUT | END),  # timer B
    (STATE_TRYING, INPUT_1XX): (STATE_PROCEEDING, DO_PASS | STOP_RETRANSMIT),
    (STATE_TRYING, INPUT_2XX): (STATE_ACCEPTED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER),  # timer M
    (STATE_TRYING, INPUT_FINAL): (STATE_COMPLETED, DO_PASS | DO_ACK | STOP_RETRANSMIT | ARM_LINGER),  # timer D
    (STATE_PROCEEDING, INPUT_1XX): (STATE_PROCEEDING, DO_PASS),
    (STATE_PROCEEDING, INPUT_TIMEOUT): (STATE_PROCEEDING, DO_TIMED_OUT),  # timer C, RFC 3261 section 16.8
    (STATE_PROCEEDING, INPUT_2XX): (STATE_ACCEPTED, DO_PASS | ARM_LINGER),
    (STATE_PROCEEDING, INPUT_FINAL): (STATE_COMPLETED, DO_PASS | DO_ACK | ARM_LINGER),
    (STATE_COMPLETED, INPUT_FINAL): (STATE_COMPLETED, DO_ACK),
    (STATE_COMPLETED, INPUT_LINGER): (STATE_FREE, END),
    (STATE_ACCEPTED, INPUT_2XX): (STATE_ACCEPTED, DO_PASS),
    (STATE_ACCEPTED, INPUT_LINGER): (STATE_FREE, END),
}

# RFC 3261 Figure 6: non-INVITE client transaction. It is created in Trying with timers E and F running.
_NON_INVITE_CLIENT = {
    (STATE_TRYING, INPUT_RETRANSMIT): (STATE_TRYING, DO_RESEND | NEXT_RETRANSMIT),  # timer E
    (STATE_TRYING, INPUT_TIMEOUT): (STATE_FREE, DO_TIMED_OUT | END),  # timer F
    (STATE_TRYING, INPUT_1XX): (STATE_PROCEEDING, DO_PASS),
    (STATE_TRYING, INPUT_2XX): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER_T4),  # timer K
    (STATE_TRYING, INPUT_FINAL): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER_T4),
    (STATE_PROCEEDING, INPUT_RETRANSMIT): (STATE_PROCEEDING, DO_RESEND | NEXT_RETRANSMIT),
    (STATE_PROCEEDING, INPUT_TIMEOUT): (STATE_FREE, DO_TIMED_OUT | END),
    (STATE_PROCEEDING, INPUT_1XX): (STATE_PROCEEDING, DO_PASS),
    (STATE_PROCEEDING, INPUT_2XX): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER_T4),
    (STATE_PROCEEDING, INPUT_FINAL): (STATE_COMPLETED, DO_PASS | STOP_RETRANSMIT | ARM_LINGER_T4),
    (STATE_COMPLETED, INPUT_LINGER): (STATE_FREE, END),
}

cdef Step table[4][STATE_COUNT][INPUT_COUNT]


cdef int fill_table() except -1:
    cdef int machine, state, event
    machines = (_INVITE_SERVER, _NON_INVITE_SERVER, _INVITE_CLIENT, _NON_INVITE_CLIENT)
    for machine, rows in enumerate(machines):
        for state in range(STATE_COUNT):
            for event in range(INPUT_COUNT):
                following, actions = rows.get((state, event), (state, 0))
                table[machine][state][event].next = following
                table[machine][state][event].actions = actions
    return 0


fill_table()


ACTION_NAMES = {
    DO_PASS: "pass", DO_RESEND: "resend", DO_ACK: "ack", DO_TIMED_OUT: "timed out", ARM_RETRANSMIT: "arm retransmit",
    NEXT_RETRANSMIT: "next retransmit", STOP_RETRANSMIT: "stop retransmit", ARM_TIMEOUT: "arm timeout",
    ARM_LINGER: "arm linger", ARM_LINGER_T4: "arm linger T4", END: "end",
}
MACHINE_NAMES = ("invite server", "non-invite server", "invite client", "non-invite client")
STATE_NAMES = ("free", "trying", "proceeding", "completed", "confirmed", "accepted")
INPUT_NAMES = ("request", "ack", "1xx", "2xx", "300-699", "retransmit", "timeout", "linger")


def transition(str machine, str state, str event):
    """The row of the table for these names: (next state, names of the actions)."""
    cdef Step following = step(MACHINE_NAMES.index(machine), STATE_NAMES.index(state), INPUT_NAMES.index(event))
    return STATE_NAMES[<int>following.next], {name for bit, name in ACTION_NAMES.items() if following.actions & bit}


cdef Step step(uint8_t machine, uint8_t state, uint8_t input) noexcept nogil:
    return table[machine][state][input]


cdef int branch_worker(const uint8_t* branch, uint32_t size) noexcept nogil:
    cdef uint64_t worker
    if size != BRANCH_SIZE or not sip_equal_nocase(branch, b"z9hg4bk", 7) or not parse_hex(branch + 7, 2, &worker):
        return -1
    return <int>worker


cdef class Transactions:
    """The open transactions of one worker: fixed arrays, recycled, with their timers and kept messages.

    capacity: server transactions, and as many client transactions. memory: bytes for kept messages.
    secret: 16 bytes that nobody outside knows.
    """

    def __cinit__(self, int capacity, uint64_t memory, bytes secret, int64_t[::1] lengths_us):
        cdef uint32_t i
        if len(secret) < 16 or lengths_us.shape[0] != LENGTH_COUNT or capacity < 16:
            raise ValueError("secret of 16 bytes, a length for every timer and room for 16 transactions are needed")
        self.capacity = capacity
        self.servers = <ServerTransaction*>allocate_array(capacity + 1, sizeof(ServerTransaction))
        self.clients = <ClientTransaction*>allocate_array(capacity + 1, sizeof(ClientTransaction))
        self.timers.nodes = <TimerNode*>allocate_array(<size_t>capacity * 4 + 8, sizeof(TimerNode))
        self.free_servers = <uint32_t*>malloc(capacity * sizeof(uint32_t))
        self.free_clients = <uint32_t*>malloc(capacity * sizeof(uint32_t))
        if not (self.servers and self.clients and self.timers.nodes and self.free_servers and self.free_clients
                and create_index(&self.keys, capacity) and create_pool(&self.memory, memory)):
            raise MemoryError("no memory for the transactions of `capacity.transactions`")
        for i in range(capacity):
            self.free_servers[i] = self.free_clients[i] = <uint32_t>capacity - i
        self.free_server_count = self.free_client_count = capacity
        for i in range(LENGTH_COUNT):
            self.timers.queues[i].length_us = lengths_us[i]
        memcpy(self.secret, <const char*>secret, 16)

    def __dealloc__(self):
        cdef uint32_t i
        if self.servers and self.clients:
            for i in range(self.capacity + 1):
                release(&self.memory, &self.servers[i].response)
                release(&self.memory, &self.servers[i].best)
                release(&self.memory, &self.servers[i].reason)
                release(&self.memory, &self.clients[i].message)
        free_pool(&self.memory)
        free_array(self.servers, self.capacity + 1, sizeof(ServerTransaction))
        free_array(self.clients, self.capacity + 1, sizeof(ClientTransaction))
        free_array(self.timers.nodes, <size_t>self.capacity * 4 + 8, sizeof(TimerNode))
        free_index(&self.keys)
        free(self.free_servers)
        free(self.free_clients)

    @property
    def open_servers(self):
        return self.capacity - self.free_server_count

    @property
    def open_clients(self):
        return self.capacity - self.free_client_count

    # RFC 3261 section 17.2.3: branch and sent-by where the branch has the cookie, else the fields of RFC 2543.
    cdef uint64_t key_of(self, const Message* message) noexcept nogil:
        cdef KeyedHash hash_
        cdef const uint8_t* data = message.data
        cdef uint8_t method = message.method
        cdef uint64_t key
        keyed_hash_begin(&hash_, self.secret)
        if method == METHOD_ACK or method == METHOD_CANCEL:
            method = METHOD_INVITE
        keyed_hash_word(&hash_, method)
        if method == 0:
            keyed_hash_add(&hash_, data + message.method_name.start, message.method_name.size)
        if has_cookie(data, &message.via):
            keyed_hash_add(&hash_, data + message.via.branch.start, message.via.branch.size)
            keyed_hash_add(&hash_, data + message.via.host.start, message.via.host.size)
            keyed_hash_word(&hash_, <uint64_t>message.via.port)
        else:
            keyed_hash_add(&hash_, data + message.request_uri.whole.start, message.request_uri.whole.size)
            keyed_hash_add(&hash_, data + message.from_tag.start, message.from_tag.size)
            keyed_hash_add(&hash_, data + message.call_id.start, message.call_id.size)
            keyed_hash_add(&hash_, data + message.via.whole.start, message.via.whole.size)
            keyed_hash_word(&hash_, message.cseq)
        key = keyed_hash_end(&hash_)
        return key if key else 1

    # Brings in what `find_client` will read, so that a batch waits for memory once and not for each message.
    cdef void prefetch_client(self, const uint8_t* branch, uint32_t size) noexcept nogil:
        cdef uint64_t index
        if size == BRANCH_SIZE and parse_hex(branch + 9, 8, &index) and 0 < index <= self.capacity:
            callsieve_prefetch(&self.clients[index])

    cdef uint32_t find_server(self, uint64_t key) noexcept nogil:
        return find_key(&self.keys, key)

    cdef uint32_t find_client(self, const uint8_t* branch, uint32_t size) noexcept nogil:
        cdef uint64_t index, generation, loop
        if size != BRANCH_SIZE or not parse_hex(branch + 9, 8, &index) or not parse_hex(branch + 17, 8, &generation):
            return 0
        if index == 0 or index > self.capacity or not parse_hex(branch + 25, LOOP_SIZE, &loop):
            return 0
        cdef ClientTransaction* client = &self.clients[index]
        if client.state == STATE_FREE or client.generation != <uint32_t>generation or client.loop != loop:
            return 0
        return <uint32_t>index

    cdef bint has_room(self, uint32_t message_size, bint priority) noexcept nogil:
        cdef double spare = LAST if priority else SPARE
        cdef uint32_t spare_places = <uint32_t>(self.capacity * spare)
        if not self.has_free(spare_places) or not has_block(&self.memory, message_size, spare):
            self.reap()
        return self.has_free(spare_places) and has_block(&self.memory, message_size, spare)

    cdef inline bint has_free(self, uint32_t spare) noexcept nogil:
        return self.free_server_count > spare and self.free_client_count > spare

    cdef double used_part(self) noexcept nogil:
        cdef uint32_t lingering = self.timers.queues[<int>LENGTH_LINGER_T4].count
        cdef double open_, memory
        lingering += self.timers.queues[<int>LENGTH_LINGER_64T1].count
        open_ = 2.0 * self.capacity - self.free_server_count - self.free_client_count - lingering
        memory = taken(&self.memory) / (<double>(self.memory.slab_count) * 65536)
        return max(open_ / (2.0 * self.capacity), memory) / (1.0 - SPARE)

    cdef uint32_t open_server(self, uint64_t key, uint8_t machine) noexcept nogil:
        cdef uint32_t index
        cdef ServerTransaction* server
        if self.free_server_count == 0:
            self.reap()
            if self.free_server_count == 0:
                return 0
        self.free_server_count -= 1
        index = self.free_servers[self.free_server_count]
        server = &self.servers[index]
        memset(server, 0, sizeof(ServerTransaction))
        self.sequence += 1
        server.generation = <uint32_t>self.sequence
        server.key = key
        server.machine = machine
        server.gateway = NO_GATEWAY
        server.state = STATE_PROCEEDING if machine == INVITE_SERVER else STATE_TRYING
        add_key(&self.keys, key, index)
        return index

    cdef void keep_response(self, uint32_t server, const uint8_t* data, uint32_t size) noexcept nogil:
        cdef Block* response = &self.servers[server].response
        release(&self.memory, response)
        if has_block(&self.memory, size, LAST):
            keep(&self.memory, data, size, response)

    cdef uint32_t open_client(self, uint8_t machine) noexcept nogil:
        cdef KeyedHash hash_
        cdef uint32_t index
        if self.free_client_count == 0:
            self.reap()
            if self.free_client_count == 0:
                return 0
        self.free_client_count -= 1
        index = self.free_clients[self.free_client_count]
        cdef ClientTransaction* client = &self.clients[index]
        memset(client, 0, sizeof(ClientTransaction))
        self.sequence += 1
        # Nobody who has not seen the request can answer it: the generation cannot be guessed.
        keyed_hash_begin(&hash_, self.secret)
        keyed_hash_word(&hash_, self.sequence)
        client.generation = <uint32_t>keyed_hash_end(&hash_)
        client.machine = machine
        client.gateway = NO_GATEWAY
        client.state = STATE_TRYING
        return index

    cdef void end_server(self, uint32_t server) noexcept nogil:
        cdef ServerTransaction* s = &self.servers[server]
        if s.state == STATE_FREE:
            return
        self.disarm_server(server, 0)
        self.disarm_server(server, 1)
        release(&self.memory, &s.response)
        release(&self.memory, &s.best)
        release(&self.memory, &s.reason)
        remove_key(&self.keys, s.key)
        s.state = STATE_FREE
        self.free_servers[self.free_server_count] = server
        self.free_server_count += 1

    cdef void end_client(self, uint32_t client) noexcept nogil:
        cdef ClientTransaction* c = &self.clients[client]
        if c.state == STATE_FREE:
            return
        self.disarm_client(client, 0)
        self.disarm_client(client, 1)
        self.detach(client)
        release(&self.memory, &c.message)
        c.state = STATE_FREE
        self.free_clients[self.free_client_count] = client
        self.free_client_count += 1

    cdef void attach(self, uint32_t client, uint32_t server) noexcept nogil:
        cdef ClientTransaction* c = &self.clients[client]
        c.server = server
        c.server_generation = self.servers[server].generation
        c.sibling = self.servers[server].client
        self.servers[server].client = client

    cdef void detach(self, uint32_t client) noexcept nogil:
        cdef ClientTransaction* c = &self.clients[client]
        cdef uint32_t* link = &self.servers[c.server].client
        if c.server == 0 or c.flags & CLIENT_CANCEL or self.servers[c.server].generation != c.server_generation:
            return
        while link[0] and link[0] != client:
            link = &self.clients[link[0]].sibling
        if link[0]:
            link[0] = c.sibling

    # One that was given up for another target and has said nothing at all is not waited for.
    cdef bint has_pending(self, uint32_t server) noexcept nogil:
        cdef uint32_t client = self.servers[server].client
        cdef const ClientTransaction* c
        while client:
            c = &self.clients[client]
            if c.state == STATE_PROCEEDING or (c.state == STATE_TRYING and not c.flags & CLIENT_ABANDONED):
                return True
            client = c.sibling
        return False

    # Makes room by ending what only waits for repeats, oldest first.
    cdef void reap(self) noexcept nogil:
        cdef int _
        cdef uint32_t node
        for _ in range(64):
            node = self.timers.queues[<int>LENGTH_LINGER_T4].head
            if node == 0:
                node = self.timers.queues[<int>LENGTH_LINGER_64T1].head
            if node == 0:
                return
            if node & 2:
                self.end_client(node >> 2)
            else:
                self.end_server(node >> 2)
            self.reaped += 1

    cdef uint32_t write_branch(self, uint32_t client, uint8_t worker, uint8_t* out) noexcept nogil:
        memcpy(out, b"z9hG4bK", 7)
        write_hex(out + 7, worker, 2)
        write_hex(out + 9, client, 8)
        write_hex(out + 17, self.clients[client].generation, 8)
        write_hex(out + 25, self.clients[client].loop, LOOP_SIZE)
        return BRANCH_SIZE

    # A timer node's number: transaction << 2 | client << 1 | which.
    cdef void arm_server(self, uint32_t server, int which, uint8_t length, int64_t now_us) noexcept nogil:
        arm(&self.timers, server << 2 | <uint32_t>which, length, now_us)

    cdef void arm_client(self, uint32_t client, int which, uint8_t length, int64_t now_us) noexcept nogil:
        arm(&self.timers, client << 2 | 2 | <uint32_t>which, length, now_us)

    cdef void disarm_server(self, uint32_t server, int which) noexcept nogil:
        disarm(&self.timers, server << 2 | <uint32_t>which)

    cdef void disarm_client(self, uint32_t client, int which) noexcept nogil:
        disarm(&self.timers, client << 2 | 2 | <uint32_t>which)


cdef void write_hex(uint8_t* out, uint64_t value, int digits) noexcept nogil:
    cdef int i
    for i in range(digits - 1, -1, -1):
        out[i] = b"0123456789abcdef"[value & 15]
        value >>= 4
