"""A UDP socket's receive buffer, as the kernel tells of it (SO_MEMINFO, linux/sock_diag.h)."""

cdef extern from "<sys/socket.h>" nogil:
    int SOL_SOCKET
    int SO_MEMINFO
    int getsockopt(int fd, int level, int option, void* value, unsigned int* size)

cdef enum:
    RMEM_ALLOC = 0           # SK_MEMINFO_*
    RCVBUF = 1
    DROPS = 8
    WORDS = 9


cdef double queued_part(int fd) noexcept nogil:
    cdef uint32_t memory[WORDS]
    if not read_memory(fd, memory) or not memory[RCVBUF]:
        return 0.0
    return memory[RMEM_ALLOC] / <double>memory[RCVBUF]


def drops(sock):
    """Datagrams that the kernel has dropped since the socket was made: by its filter, or for want of room."""
    cdef uint32_t memory[WORDS]
    return memory[DROPS] if read_memory(sock.fileno(), memory) else 0


cdef bint read_memory(int fd, uint32_t* memory) noexcept nogil:
    cdef unsigned int size = WORDS * sizeof(uint32_t)
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0 and size == WORDS * sizeof(uint32_t)
