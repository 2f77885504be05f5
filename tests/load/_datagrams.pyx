"""Datagrams in batches on a raw, non-blocking UDP socket, and the numeric addresses they come from and go to."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime

cdef extern from "<sys/socket.h>" nogil:
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)
    int AF_INET, AF_INET6, MSG_TRUNC

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int ppoll(pollfd *fds, unsigned long count, const timespec *timeout, const void *mask)
    short POLLIN, POLLOUT

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    uint16_t htons(uint16_t value)
    uint32_t ntohl(uint32_t value)
    bint IN6_IS_ADDR_LOOPBACK(const in6_addr *address)

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char *text, void *address)

cdef enum:
    LONGEST_ADDRESS = 46
    SEND_PATIENCE_US = 2000


cdef int64_t monotonic_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000 + now.tv_nsec // 1000


cdef Port *port_open(int fd) noexcept nogil:
    """NULL without memory."""
    cdef int i
    cdef Port *port = <Port *>calloc(1, sizeof(Port))
    if port is NULL:
        return NULL
    port.fd = fd
    for i in range(BATCH):
        port.receive_slices[i].iov_base = port.receive_bytes[i]
        port.receive_slices[i].iov_len = DATAGRAM_BYTES
        port.receive_headers[i].msg_hdr.msg_iov = &port.receive_slices[i]
        port.receive_headers[i].msg_hdr.msg_iovlen = 1
        port.receive_headers[i].msg_hdr.msg_name = &port.sources[i].storage
        port.send_slices[i].iov_base = port.send_bytes[i]
        port.send_headers[i].msg_hdr.msg_iov = &port.send_slices[i]
        port.send_headers[i].msg_hdr.msg_iovlen = 1
        port.send_headers[i].msg_hdr.msg_name = &port.destinations[i].storage
    return port


cdef void port_close(Port *port) noexcept nogil:
    free(port)


cdef int wait_for(int fd, short events, int64_t limit_us) noexcept nogil:
    cdef pollfd request
    cdef timespec limit
    request.fd = fd
    request.events = events
    request.revents = 0
    limit.tv_sec = limit_us // 1000000
    limit.tv_nsec = (limit_us % 1000000) * 1000
    return ppoll(&request, 1, &limit, NULL)


cdef int port_wait(Port *port, int64_t limit_us) noexcept nogil:
    """More than 0 when a datagram is there before the limit."""
    return wait_for(port.fd, POLLIN, limit_us)


cdef int port_receive(Port *port) noexcept nogil:
    """How many datagrams came, at most BATCH; 0 when none is waiting."""
    cdef int i, count
    for i in range(BATCH):
        port.receive_headers[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
    count = recvmmsg(port.fd, port.receive_headers, BATCH, 0, NULL)
    if count <= 0:
        return 0
    for i in range(count):
        port.sources[i].length = port.receive_headers[i].msg_hdr.msg_namelen
    port.received += count
    return count


cdef int port_length(Port *port, int i) noexcept nogil:
    """Bytes of received datagram i; 0 when it did not fit and was counted as oversized."""
    if port.receive_headers[i].msg_hdr.msg_flags & MSG_TRUNC:
        port.oversized += 1
        return 0
    return port.receive_headers[i].msg_len


cdef char *port_claim(Port *port) noexcept nogil:
    """Room for one more datagram of up to DATAGRAM_BYTES."""
    if port.outgoing == BATCH:
        port_flush(port)
    return port.send_bytes[port.outgoing]


cdef void port_commit(Port *port, size_t length, const Address *destination) noexcept nogil:
    """Queues the datagram written where `port_claim` said."""
    cdef int i = port.outgoing
    port.send_slices[i].iov_len = length
    memcpy(&port.destinations[i], destination, sizeof(Address))
    port.send_headers[i].msg_hdr.msg_namelen = destination.length
    port.outgoing += 1


cdef void port_flush(Port *port) noexcept nogil:
    cdef int first = 0, count
    cdef bint waited = False
    while first < port.outgoing:
        count = sendmmsg(port.fd, &port.send_headers[first], port.outgoing - first, 0)
        if count > 0:
            port.sent += count
            first += count
            waited = False
        elif errno == EINTR:
            continue
        elif errno == EAGAIN and not waited:
            waited = True
            wait_for(port.fd, POLLOUT, SEND_PATIENCE_US)
        else:
            port.refused += 1
            first += 1
    port.outgoing = 0


cdef int address_of(Address *address, const char *host, size_t host_length, int port) noexcept nogil:
    """0, or -1 when the host is no numeric IPv4 or IPv6 address. IPv6 comes without brackets."""
    cdef char text[LONGEST_ADDRESS]
    cdef sockaddr_in *v4 = <sockaddr_in *>&address.storage
    cdef sockaddr_in6 *v6 = <sockaddr_in6 *>&address.storage
    if host_length >= LONGEST_ADDRESS or not 0 < port < 65536:
        return -1
    memcpy(text, host, host_length)
    text[host_length] = 0
    memset(address, 0, sizeof(Address))
    if inet_pton(AF_INET, text, &v4.sin_addr) == 1:
        v4.sin_family = AF_INET
        v4.sin_port = htons(<uint16_t>port)
        address.length = sizeof(sockaddr_in)
        return 0
    if inet_pton(AF_INET6, text, &v6.sin6_addr) == 1:
        v6.sin6_family = AF_INET6
        v6.sin6_port = htons(<uint16_t>port)
        address.length = sizeof(sockaddr_in6)
        return 0
    return -1


cdef bint is_loopback(const Address *address) noexcept nogil:
    cdef const sockaddr_in *v4 = <const sockaddr_in *>&address.storage
    cdef const sockaddr_in6 *v6 = <const sockaddr_in6 *>&address.storage
    if address.storage.ss_family == AF_INET:
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)
