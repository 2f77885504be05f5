"""A worker's streams at its start: the edge with its listeners, and certificates that are renewed while it runs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence

from proxy.config import Configuration, Transport
from proxy.counters import Counters
from proxy.event_channel import Certificate
from proxy.logs import Log
from proxy.stream import MessageSink, StreamEdge, StreamListener
from proxy.tls import TlsError, TlsMaterial

_LOOK_S = 1.0  # how often certificates on disk are looked at


def open_certificates(configuration: Configuration, log: Log) -> dict[str, TlsMaterial]:
    """The [[tls]] tables that listeners use, by name. One that has become unusable serves nobody until it is mended."""
    used = {listener.tls for listener in configuration.listeners}
    materials = {table.name: TlsMaterial(table) for table in configuration.tls_tables if table.name in used}
    for name, material in materials.items():
        if (refusal := material.refusal) is not None:
            text = "NO TLS: connections are closed until the certificate is mended"
            log.error(text, tls=name, key=refusal.key, why=refusal.why)
    return materials


def troubled_certificates(materials: Mapping[str, TlsMaterial]) -> tuple[Certificate, ...]:
    """Those whose files cannot be used as they are now."""
    return tuple(
        Certificate(name, material.contexts is not None, str(material.refusal))
        for name, material in materials.items()
        if material.refusal is not None
    )


def build_streams(
    configuration: Configuration,
    sockets: Sequence[socket.socket],
    materials: Mapping[str, TlsMaterial],
    core: MessageSink,
    counters: Counters,
    worker: int,
) -> StreamEdge:
    """sockets: one a listener, in the order of the configuration."""
    listeners = [
        StreamListener(index, listener.transport, bound, materials.get(listener.tls or ""), listener.origins)
        for index, (listener, bound) in enumerate(zip(configuration.listeners, sockets, strict=True))
        if listener.transport is not Transport.UDP
    ]
    return StreamEdge(core, listeners, configuration.streams, counters, worker)


async def renew_certificates(materials: Mapping[str, TlsMaterial], counters: Counters, log: Log) -> None:
    """Takes certificates whose files have changed, for connections from then on; what is open stays as it is."""
    loop = asyncio.get_running_loop()
    while materials:
        await asyncio.sleep(_LOOK_S)
        for name, material in materials.items():
            try:
                renewed = await loop.run_in_executor(None, material.renew)
            except TlsError as why:
                counters.add("tls_reload_failures")
                log.error("certificate refused, the old one stays", tls=name, key=why.key, why=why.why)
            else:
                if renewed:
                    log.info("certificate renewed", tls=name)
