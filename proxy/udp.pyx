"""The UDP edge: whole batches between the sockets and the core.

One readiness event drains up to ROUNDS batches of BATCH datagrams; whatever the core answers to a batch leaves in as
few sendmmsg calls as there are runs of one listener. Receive buffers are staggered by more than a cache line, so that
the heads of 64 messages do not fall into the same few cache sets; the supervisor has them too (in_flight.pyx).
"""

import select
import socket as socket_module

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from proxy.counters cimport FLOODED, QUARANTINED, SEND_FAILED, SENT, UNKNOWN_SOURCE
from proxy.in_flight cimport SLOT_BYTES, SLOTS, InFlight, Quarantine
from proxy.outbox cimport OutMessage
from proxy.sip.address cimport Address, address_text
from proxy.sip.transport cimport TRANSPORT_UDP
from proxy.udp_buffers cimport queued_part
from proxy.udp_errors cimport ask_for_errors, take_error

from proxy.hand_over import HandOver, Kind, Passed

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <time.h>
    """
    int AF_INET
    int AF_INET6
    int MSG_DONTWAIT
    int CLOCK_MONOTONIC
    int CLOCK_THREAD_CPUTIME_ID
    struct iovec:
        void* iov_base
        size_t iov_len
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        unsigned char s6_addr[16]
    struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        unsigned short sin6_port
        in6_addr sin6_addr
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct timespec:
        long tv_sec
        long tv_nsec
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, timespec* timeout) nogil
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags) nogil
    int clock_gettime(int clock, timespec* now) nogil
    unsigned short htons(unsigned short value) nogil

cdef enum:
    BATCH = SLOTS
    ROUNDS = 8
    MAX_DATAGRAM = 65536
    QUOTED = 1500            # more than a router quotes of a datagram (RFC 1812 section 4.3.2.3)
    SEND_ATTEMPTS = 3
    MEASURE_US = 100_000     # between two measurements of our load
    QUARANTINED_STATUS = -3  # of what was received: not to be read

# Messages of one recvmmsg or sendmmsg with the memory behind them.
cdef struct Batch:
    mmsghdr headers[BATCH]
    iovec vectors[BATCH]
    sockaddr_storage names[BATCH]


cdef class UdpEdge:
    """sockets: bound, non-blocking UDP sockets in the order of the core's listeners.

    clock_offset_us: Unix time minus CLOCK_MONOTONIC in microseconds, the same for all processes of a node.
    hand_over: directory in which the workers meet; a datagram that another worker of the node must have goes there
    over a Unix datagram socket. None: this worker is alone.
    in_flight, quarantine: shared with the supervisor; None: memory of its own.
    streams: to be set to what sends messages of all other listeners, by
    send(listener, ip, port, flow, token, data); None: they are lost and counted.
    """

    def __init__(self, ProxyCore core not None, sockets, int64_t clock_offset_us, hand_over=None,
                 InFlight in_flight=None, Quarantine quarantine=None):
        cdef Batch* receiving = <Batch*>self.receiving
        cdef int i
        self.in_flight = in_flight if in_flight is not None else InFlight()
        self.hand = self.in_flight.head
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        for i in range(BATCH):
            receiving.vectors[i].iov_base = self.in_flight.slots + i * <size_t>SLOT_BYTES
            receiving.vectors[i].iov_len = MAX_DATAGRAM
        self.core = core
        self.counts = core.counts
        self.out = Outbox()
        self.sockets = list(sockets)
        self.socket_count = len(self.sockets)
        self.clock_offset_us = clock_offset_us
        for i, sock in enumerate(self.sockets):
            sock.setblocking(False)
            self.fds[i] = sock.fileno()
            self.families[i] = AF_INET6 if sock.family == socket_module.AF_INET6 else AF_INET
            if sock.type == socket_module.SOCK_DGRAM:
                ask_for_errors(self.fds[i], self.families[i] == AF_INET6)
        self.polls = [poll_of(sock) for sock in self.sockets]
        self.hand_over = HandOver(hand_over, core.worker) if hand_over is not None else None
        self.streams = None

    def __cinit__(self, core, sockets, *args, **kwargs):
        cdef Batch* receiving = <Batch*>calloc(1, sizeof(Batch))
        cdef Batch* sending = <Batch*>calloc(1, sizeof(Batch))
        cdef int i
        self.receiving = receiving
        self.sending = sending
        self.received = <Received*>calloc(BATCH, sizeof(Received))
        self.fds = <int*>calloc(max(1, len(sockets)), sizeof(int))
        self.families = <uint8_t*>calloc(max(1, len(sockets)), 1)
        self.lost = <uint64_t*>calloc(BATCH, sizeof(uint64_t))
        if not (receiving and sending and self.received and self.fds and self.families and self.lost):
            raise MemoryError("no memory for datagrams")
        for i in range(BATCH):
            for batch in range(2):
                link(receiving if batch == 0 else sending, i)

    def __dealloc__(self):
        free(self.receiving)
        free(self.sending)
        free(self.received)
        free(self.fds)
        free(self.families)
        free(self.lost)

    # -- what worker.py calls -------------------------------------------------------------------------------------

    def read(self, int index):
        """Drains socket `index` into the core and sends what it answers."""
        cdef int64_t now_us = self.now()
        cdef int _
        self.core.out = self.out
        self.take_errors(index, now_us)
        self.measure(now_us)
        for _ in range(ROUNDS):
            if self.receive_batch(index, now_us) < BATCH:
                break
        self.finish()

    def poll_fileno(self, int index):
        """Descriptor that becomes readable when `read` has something to do; never the socket's own."""
        return self.polls[index].fileno()

    def tick(self):
        """Fires what is due and sends what comes of it."""
        self.core.out = self.out
        self.core.fire_timers(self.now())
        self.send_all()
        self.finish()

    def probe(self, int gateway, int target):
        """Sends OPTIONS to a target; give the result to `probe_timeout` when the answer should have come."""
        probe = self.core.probe(gateway, target, self.now(), self.out)
        self.send_all()
        return probe

    def leave_target(self, int gateway, int target, int position):
        """As ProxyCore has it, and what comes of it is sent."""
        step = self.core.leave_target(gateway, target, position, self.now(), self.out)
        self.send_all()
        return step

    def probe_timeout(self, probe):
        """True if that probe is still unanswered: it then counts against its target."""
        return self.core.probe_timeout(probe)

    def receive_stream(self, bytes data, tuple source, int listener, uint32_t flow, int tls_trunk=-1, int refusal=0):
        """One message from a connection; what is answered to it leaves at `flush`. False: it was dropped unread."""
        cdef uint64_t dropped = self.dropped_unread()
        if not self.begins(data):
            return False
        self.core.receive_stream(data, source, listener, flow, self.now(), self.out, tls_trunk, refusal)
        self.in_flight.keep()
        return self.dropped_unread() == dropped

    def examine(self, bytes data):
        """Bytes of a connection are about to be looked at, before they are a message. False: they must not be."""
        return not data or self.begins(data)

    def transport_failed(self, uint64_t token):
        """As ProxyCore has it; what comes of it leaves at `flush`."""
        self.core.transport_failed(token, self.now(), self.out)

    def flush(self):
        """Sends what the core has answered since it last was sent."""
        self.in_flight.answer()
        self.send_all()
        self.finish()
        self.in_flight.end()

    def resolved(self, question, destinations, ttl_s):
        """The resolver's answer to one of the core's questions; sends the requests that waited for it."""
        self.core.resolved(question, destinations, ttl_s, self.now(), self.out)
        self.send_all()
        self.finish()

    def now_us(self):
        """The node's time: Unix microseconds that never go back."""
        return self.now()

    @property
    def next_deadline_us(self):
        return self.core.deadline()

    @property
    def hand_over_fileno(self):
        """Descriptor that becomes readable when another worker hands something over; -1 = this worker is alone."""
        return self.hand_over.fileno() if self.hand_over is not None else -1

    # -- sockets --------------------------------------------------------------------------------------------------

    cdef int64_t now(self) noexcept nogil:
        return clock_us(CLOCK_MONOTONIC) + self.clock_offset_us

    cdef uint64_t dropped_unread(self) noexcept nogil:
        return self.counts[<int>UNKNOWN_SOURCE] + self.counts[<int>FLOODED]

    # Whether what came by a connection, or from another worker, may be worked on; it is in hand then.
    cdef bint begins(self, bytes data) noexcept:
        cdef const uint8_t* start = data
        cdef uint32_t size = <uint32_t>len(data)
        if self.quarantine.has(start, size):
            self.counts[<int>QUARANTINED] += 1
            return False
        self.in_flight.begin(start, size)
        return True

    # How many datagrams came.
    cdef int receive_batch(self, int index, int64_t now_us) noexcept nogil:
        cdef Batch* batch = <Batch*>self.receiving
        cdef int i, count
        for i in range(BATCH):
            batch.headers[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
        count = recvmmsg(self.fds[index], batch.headers, BATCH, MSG_DONTWAIT, NULL)
        for i in range(count):
            self.hand.sizes[i] = batch.headers[i].msg_len
            self.hand.current = <uint32_t>i
            read_name(&batch.names[i], &self.received[i].source)
            if self.quarantine.has(<const uint8_t*>batch.vectors[i].iov_base, batch.headers[i].msg_len):
                self.received[i].status = QUARANTINED_STATUS
                continue
            self.core.read(
                <const uint8_t*>batch.vectors[i].iov_base, batch.headers[i].msg_len, <uint8_t>index,
                &self.received[i].source, now_us, &self.received[i]
            )
        for i in range(count):
            if self.received[i].status == QUARANTINED_STATUS:
                self.counts[<int>QUARANTINED] += 1
                continue
            self.hand.current = <uint32_t>i
            self.core.handle(&self.received[i], <uint8_t>index, &self.received[i].source, now_us)
        if count > 0:
            self.hand.count = <uint32_t>count
            self.in_flight.answer()
            self.send_all()
            self.in_flight.end()
        return count

    # Requests of which ICMP says that they are lost; those of other workers are told to them.
    cdef void take_errors(self, int index, int64_t now_us) noexcept:
        cdef uint8_t datagram[QUOTED]
        cdef int _, worker
        cdef int32_t size
        for _ in range(ROUNDS * BATCH):
            size = take_error(self.fds[index], datagram, QUOTED)
            if size < 0:
                break
            worker = self.core.datagram_lost(datagram, <uint32_t>size, now_us) if size else -1
            if worker >= 0:
                self.pass_to(worker, Passed(Kind.LOST, index, "", 0, 0, (<const char*>datagram)[:size]))
        self.send_all()

    cdef void send_all(self) noexcept nogil:
        cdef uint32_t first = 0
        cdef uint32_t last
        while first < self.out.count:
            last = first + 1
            if self.core.router.listeners[self.out.messages[first].listener].transport != TRANSPORT_UDP:
                self.send_stream(&self.out.messages[first])
                first = last
                continue
            while (last < self.out.count and last - first < BATCH
                   and self.out.messages[last].listener == self.out.messages[first].listener):
                last += 1
            first = self.send_run(first, last)
        self.out.clear()

    # A message for a connection, or for one that is to be made.
    cdef void send_stream(self, const OutMessage* message) noexcept with gil:
        if self.streams is None:
            self.counts[<int>SEND_FAILED] += 1
            return
        self.streams.send(
            message.listener, address_text(&message.destination), message.destination.port, message.destination.flow,
            message.token, (<const char*>message.data)[: message.size]
        )

    # Datagrams first..last-1, all of one listener. One that the kernel will not take is lost, as on any wire; if it is
    # a request, the core is told.
    cdef uint32_t send_run(self, uint32_t first, uint32_t last) noexcept nogil:
        cdef Batch* batch = <Batch*>self.sending
        cdef OutMessage* message
        cdef uint32_t i
        cdef int sent
        cdef uint8_t listener = self.out.messages[first].listener
        for i in range(first, last):
            message = &self.out.messages[i]
            batch.vectors[i - first].iov_base = <void*>message.data
            batch.vectors[i - first].iov_len = message.size
            batch.headers[i - first].msg_hdr.msg_namelen = write_name(
                &message.destination, self.families[listener], &batch.names[i - first]
            )
        if self.is_sent_on_retry(listener, last - first, &sent):
            self.counts[<int>SENT] += sent
            return first + sent
        self.counts[<int>SEND_FAILED] += 1
        if errno != EAGAIN and errno != ENOBUFS and self.out.messages[first].token and self.lost_count < BATCH:
            self.lost[self.lost_count] = self.out.messages[first].token
            self.lost_count += 1
        return first + 1

    # A call may fail with the ICMP error of an earlier datagram, which the error queue tells too, and sends nothing
    # then.
    cdef bint is_sent_on_retry(self, uint8_t listener, uint32_t count, int* sent) noexcept nogil:
        cdef Batch* batch = <Batch*>self.sending
        cdef int attempt = 0
        while attempt < SEND_ATTEMPTS:
            sent[0] = sendmmsg(self.fds[listener], batch.headers, count, MSG_DONTWAIT)
            if sent[0] > 0 or errno == EAGAIN or errno == ENOBUFS:
                break
            attempt += errno != EINTR
        return sent[0] > 0

    # -- other workers --------------------------------------------------------------------------------------------

    def finish(self):
        """What a batch leaves behind: requests that could not be sent, datagrams for other workers, gauges."""
        while self.lost_count:
            self.lost_count -= 1
            self.core.transport_failed(self.lost[self.lost_count], self.now(), self.out)
            self.send_all()
        self.core.update_gauges()
        if self.core.handed_over.count:
            self.carry_over()

    # The processor time of this thread says how busy we are, the receive buffers how late. What goes into datagrams
    # that are dropped unread is part of it: calls cannot have that time either.
    cdef void measure(self, int64_t now_us) noexcept nogil:
        cdef int64_t elapsed_us = now_us - self.measured_us
        cdef int64_t busy_us
        if elapsed_us < MEASURE_US:
            return
        busy_us = clock_us(CLOCK_THREAD_CPUTIME_ID)
        self.core.measure_load((busy_us - self.busy_us) / <double>elapsed_us, self.fullest_part(), now_us)
        self.busy_us = busy_us
        self.measured_us = now_us

    # Of the fullest receive buffer.
    cdef double fullest_part(self) noexcept nogil:
        cdef double fullest = 0.0
        cdef int i
        for i in range(self.socket_count):
            fullest = max(fullest, queued_part(self.fds[i]))
        return fullest

    def carry_over(self):
        cdef uint32_t i
        cdef OutMessage* message
        for i in range(self.core.handed_over.count):
            message = &self.core.handed_over.messages[i]
            self.pass_to(message.worker, Passed(
                Kind.RECEIVED, message.listener, address_text(&message.destination), message.destination.port,
                message.destination.flow, (<const char*>message.data)[: message.size], message.trunk
            ))
        self.core.handed_over.clear()

    def pass_on(self, int worker, int listener, str ip, int port, uint32_t flow, bytes data):
        """Has another worker send a message by a flow of its own."""
        self.pass_to(worker, Passed(Kind.TO_SEND, listener, ip, port, flow, data))

    def pass_to(self, int worker, passed):
        if self.hand_over is None or not self.hand_over.send(worker, passed):
            self.counts[<int>SEND_FAILED] += 1

    def take_over(self):
        """Receives what other workers hand over."""
        cdef int _
        self.core.out = self.out
        for _ in range(BATCH):
            passed = self.hand_over.receive()
            if passed is None:
                break
            if passed.kind == Kind.LOST:
                payload = passed.data
                self.core.datagram_lost(payload, <uint32_t>len(payload), self.now())
            elif passed.kind == Kind.RECEIVED:
                self.receive_stream(
                    passed.data, (passed.ip, passed.port), passed.listener, passed.flow, passed.trunk
                )
            elif self.streams is not None:
                self.streams.send(passed.listener, passed.ip, passed.port, passed.flow, 0, passed.data)
        self.flush()


cdef inline int64_t clock_us(int clock) noexcept nogil:
    cdef timespec t
    clock_gettime(clock, &t)
    return <int64_t>t.tv_sec * 1000000 + t.tv_nsec // 1000


# libuv takes an error on a polled descriptor for its end, and ICMP puts errors on sockets at any time; on an epoll
# descriptor around the socket they are something to read.
def poll_of(sock):
    poll = select.epoll()
    poll.register(sock.fileno(), select.EPOLLIN)
    return poll


cdef void link(Batch* batch, int i) noexcept:
    batch.headers[i].msg_hdr.msg_name = &batch.names[i]
    batch.headers[i].msg_hdr.msg_iov = &batch.vectors[i]
    batch.headers[i].msg_hdr.msg_iovlen = 1


cdef inline void read_name(const sockaddr_storage* name, Address* address) noexcept nogil:
    cdef const sockaddr_in* v4 = <const sockaddr_in*>name
    cdef const sockaddr_in6* v6 = <const sockaddr_in6*>name
    cdef int i
    address.flow = 0
    if name.ss_family == AF_INET:
        memset(address.ip, 0, 10)
        address.ip[10] = address.ip[11] = 0xFF
        memcpy(address.ip + 12, &v4.sin_addr, 4)
        address.port = htons(v4.sin_port)
        address.is_ipv4 = 1
        return
    memcpy(address.ip, v6.sin6_addr.s6_addr, 16)
    address.port = htons(v6.sin6_port)
    address.is_ipv4 = address.ip[10] == 0xFF and address.ip[11] == 0xFF
    for i in range(10):
        if address.ip[i]:
            address.is_ipv4 = 0


cdef inline unsigned int write_name(const Address* address, int family, sockaddr_storage* name) noexcept nogil:
    cdef sockaddr_in* v4 = <sockaddr_in*>name
    cdef sockaddr_in6* v6 = <sockaddr_in6*>name
    if family == AF_INET:
        memset(v4, 0, sizeof(sockaddr_in))
        v4.sin_family = AF_INET
        v4.sin_port = htons(address.port)
        memcpy(&v4.sin_addr, address.ip + 12, 4)
        return sizeof(sockaddr_in)
    memset(v6, 0, sizeof(sockaddr_in6))
    v6.sin6_family = AF_INET6
    v6.sin6_port = htons(address.port)
    memcpy(v6.sin6_addr.s6_addr, address.ip, 16)
    return sizeof(sockaddr_in6)
