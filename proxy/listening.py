"""The sockets a node listens on, bound once by the supervisor: a child that dies takes no port with it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from proxy.config import Listener, Transport
from proxy.config_address import parse_host_port
from proxy.logs import Log

_BUFFER_BYTES = 8 << 20  # what a burst of 20,000 datagrams takes while a worker is busy
_BACKLOG = 1024
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h; beyond net.core.wmem_max with CAP_NET_ADMIN
_SO_RCVBUFFORCE = 33

_WHY = {
    errno.EADDRINUSE: "another program has this port",
    errno.EACCES: "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class BindError(Exception):
    """An address that cannot be listened on; the text says which and why."""


def bind_listeners(listeners: Sequence[Listener], workers: int, log: Log) -> list[list[socket.socket]]:
    """For each worker its sockets, one a listener; the kernel deals senders out to the workers."""
    for listener in listeners:
        # With SO_REUSEPORT a second instance of ours would get in unnoticed: without it nobody is let in twice.
        _bind(listener, shared=False).close()
    bound = [[_bind(listener, shared=workers > 1) for listener in listeners] for _ in range(workers)]
    datagrams = [end for ends in bound for end in ends if end.type == socket.SOCK_DGRAM]
    got = min((_enlarge(end, _SO_RCVBUFFORCE, socket.SO_RCVBUF) for end in datagrams), default=_BUFFER_BYTES)
    for end in datagrams:
        _enlarge(end, _SO_SNDBUFFORCE, socket.SO_SNDBUF)
    for ends in bound:
        for end in ends:
            if end.type == socket.SOCK_STREAM:
                end.listen(_BACKLOG)
    if got < _BUFFER_BYTES:
        log.info("receive buffers are small; raise net.core.rmem_max", bytes=got, wanted_bytes=_BUFFER_BYTES)
    return bound


def bind_admin(address: str) -> socket.socket:
    wanted = parse_host_port(address, None)
    try:
        return socket.create_server(
            (wanted.host, wanted.port), family=_family(wanted.host), backlog=64, reuse_port=False
        )
    except OSError as why:
        raise _bind_error(f"admin address {address}", why) from None


def _bind(listener: Listener, shared: bool) -> socket.socket:
    wanted = parse_host_port(listener.address)
    kind = socket.SOCK_DGRAM if listener.transport is Transport.UDP else socket.SOCK_STREAM
    end = socket.socket(_family(wanted.host), kind)
    try:
        if kind == socket.SOCK_STREAM:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections do not keep us from starting
        if shared:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if end.family == socket.AF_INET6:
            end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        end.setblocking(False)
        end.bind((wanted.host, wanted.port))
    except OSError as why:
        end.close()
        raise _bind_error(f"listener {listener.name}, {listener.address}", why) from None
    return end


def _enlarge(end: socket.socket, forced: int, usual: int) -> int:
    """The buffer as large as the system lets it be; its size, which the kernel counts double."""
    try:
        end.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_BYTES)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, usual, _BUFFER_BYTES)
    return end.getsockopt(socket.SOL_SOCKET, usual) // 2


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bind_error(what: str, why: OSError) -> BindError:
    return BindError(f"{what}: {_WHY.get(why.errno or 0, why.strerror or str(why))}")
