# A UDP socket seen as batches: one recvmmsg fills the received datagrams, one sendmmsg empties the outgoing ones.

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport timespec

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len

cdef enum:
    BATCH = 64
    DATAGRAM_BYTES = 4096

cdef struct Address:
    sockaddr_storage storage
    socklen_t length

cdef struct Port:
    int fd
    int outgoing                       # datagrams queued
    uint64_t sent
    uint64_t received
    uint64_t refused                   # datagrams the kernel did not take: its send buffer stayed full
    uint64_t oversized                 # received with more than DATAGRAM_BYTES
    mmsghdr receive_headers[BATCH]
    iovec receive_slices[BATCH]
    Address sources[BATCH]
    mmsghdr send_headers[BATCH]
    iovec send_slices[BATCH]
    Address destinations[BATCH]
    char receive_bytes[BATCH][DATAGRAM_BYTES]
    char send_bytes[BATCH][DATAGRAM_BYTES]

cdef Port *port_open(int fd) noexcept nogil
cdef void port_close(Port *port) noexcept nogil
cdef int port_wait(Port *port, int64_t limit_us) noexcept nogil
cdef int port_receive(Port *port) noexcept nogil
cdef int port_length(Port *port, int i) noexcept nogil
cdef char *port_claim(Port *port) noexcept nogil
cdef void port_commit(Port *port, size_t length, const Address *destination) noexcept nogil
cdef void port_flush(Port *port) noexcept nogil

cdef int64_t monotonic_us() noexcept nogil
cdef int address_of(Address *address, const char *host, size_t host_length, int port) noexcept nogil
cdef bint is_loopback(const Address *address) noexcept nogil
