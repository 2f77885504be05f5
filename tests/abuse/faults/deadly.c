/* Preloaded into a worker by a test: sending on a message that has the mark in it, or looking for the end of a line
 * that has the other one in it, kills the process, as a fault in compiled code would. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define MARK "of-death"
#define MARK_OF_A_LINE "death-before-it-is-a-message"

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    static int (*real)(int, struct mmsghdr *, unsigned int, int);
    if (!real)
        real = (int (*)(int, struct mmsghdr *, unsigned int, int))dlsym(RTLD_NEXT, "sendmmsg");
    for (unsigned int i = 0; i < count; i++) {
        struct iovec *vector = messages[i].msg_hdr.msg_iov;
        if (memmem(vector->iov_base, vector->iov_len, MARK, sizeof MARK - 1))
            raise(SIGSEGV);
    }
    return real(fd, messages, count, flags);
}

void *memchr(const void *data, int wanted, size_t size)
{
    static void *(*real)(const void *, int, size_t);
    if (!real)
        real = (void *(*)(const void *, int, size_t))dlsym(RTLD_NEXT, "memchr");
    void *found = real(data, wanted, size);
    size_t seen = found ? (size_t)((char *)found - (char *)data) : size;
    if (wanted == '\n' && memmem(data, seen, MARK_OF_A_LINE, sizeof MARK_OF_A_LINE - 1))
        raise(SIGSEGV);
    return found;
}
