"""A UDP socket's receive buffer, as the kernel tells of it (SO_MEMINFO, linux/sock_diag.h)."""

from socket import socket

def drops(sock: socket) -> int:
    """Datagrams that the kernel has dropped since the socket was made: by its filter, or for want of room."""
