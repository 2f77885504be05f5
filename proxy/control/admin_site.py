"""The listening end of the admin address: so many connections at once, and none that never asks."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

CONNECTIONS = 128
FIRST_REQUEST_S = 10.0


class BoundedSite:
    """Serves `server` on a listening socket. A connection beyond the bound is reset at once."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._silent: set[asyncio.BaseProtocol] = set()
        self._web: web.Server | None = None
        self._server: asyncio.Server | None = None

    async def start(self, server: web.Server) -> None:
        self._web = server
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=self._listening)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def asked(self, connection: asyncio.BaseProtocol) -> None:
        """A whole request head came over this connection: from now on its keep-alive time bounds it."""
        self._silent.discard(connection)

    def _accept(self) -> asyncio.BaseProtocol:
        assert self._web is not None
        if len(self._web.connections) >= CONNECTIONS:
            return _Refusal()
        handler = self._web()
        self._silent.add(handler)
        asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._end_if_silent, handler)
        return handler

    def _end_if_silent(self, handler: RequestHandler) -> None:
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
