"""ICMP errors of a UDP socket, by Linux's error queue (ip(7), IP_RECVERR).

The kernel hands back the beginning of the datagram that an error is about, as far as the router quoted it, and our
branch stands in its second line. Host, net, port or protocol unreachable and a parameter problem mean that it is lost;
source quench, time exceeded and a path MTU do not (RFC 3261 section 18.4).
"""

from libc.string cimport memset

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <time.h>
    #include <linux/errqueue.h>
    """
    int IPPROTO_IP
    int IPPROTO_IPV6
    int IP_RECVERR
    int IPV6_RECVERR
    int MSG_DONTWAIT
    int MSG_ERRQUEUE
    int SO_EE_ORIGIN_ICMP
    int SO_EE_ORIGIN_ICMP6
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
    struct cmsghdr:
        int cmsg_level
        int cmsg_type
    struct sock_extended_err:
        uint8_t ee_origin
        uint8_t ee_type
        uint8_t ee_code
    cmsghdr* CMSG_FIRSTHDR(msghdr* message) nogil
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* part) nogil
    unsigned char* CMSG_DATA(cmsghdr* part) nogil
    int setsockopt(int fd, int level, int name, const void* value, unsigned int size) nogil
    ssize_t recvmsg(int fd, msghdr* message, int flags) nogil

cdef enum:
    CONTROL_ROOM = 512
    ICMP_UNREACHABLE = 3           # RFC 792
    ICMP_FRAGMENTATION_NEEDED = 4  # code of it: the kernel sends smaller pieces from now on
    ICMP_PARAMETER_PROBLEM = 12
    ICMP6_UNREACHABLE = 1          # RFC 4443
    ICMP6_PARAMETER_PROBLEM = 4


cdef int ask_for_errors(int fd, bint is_ipv6) noexcept nogil:
    cdef int on = 1
    if is_ipv6 and setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on)) != 0:
        return -1
    return setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) if not is_ipv6 else 0


cdef int32_t take_error(int fd, uint8_t* datagram, uint32_t room) noexcept nogil:
    cdef uint8_t control[CONTROL_ROOM]
    cdef msghdr message
    cdef iovec vector
    cdef cmsghdr* part
    cdef ssize_t size
    memset(&message, 0, sizeof(msghdr))
    vector.iov_base, vector.iov_len = datagram, room
    message.msg_iov, message.msg_iovlen = &vector, 1
    message.msg_control, message.msg_controllen = control, CONTROL_ROOM
    size = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT)
    if size < 0:
        return -1
    part = CMSG_FIRSTHDR(&message)
    while part != NULL:
        if (part.cmsg_level == IPPROTO_IP and part.cmsg_type == IP_RECVERR) or (
            part.cmsg_level == IPPROTO_IPV6 and part.cmsg_type == IPV6_RECVERR
        ):
            return <int32_t>size if is_lost(<const sock_extended_err*>CMSG_DATA(part)) else 0
        part = CMSG_NXTHDR(&message, part)
    return 0


cdef bint is_lost(const sock_extended_err* error) noexcept nogil:
    if error.ee_origin == SO_EE_ORIGIN_ICMP:
        return error.ee_type == ICMP_PARAMETER_PROBLEM or (
            error.ee_type == ICMP_UNREACHABLE and error.ee_code != ICMP_FRAGMENTATION_NEEDED
        )
    return error.ee_origin == SO_EE_ORIGIN_ICMP6 and (
        error.ee_type == ICMP6_UNREACHABLE or error.ee_type == ICMP6_PARAMETER_PROBLEM
    )
