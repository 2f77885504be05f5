"""Who may ask the admin address: its own pages and tools that hold the token, with small requests, without delay.

A browser sends anybody's requests to this machine: the Host rule keeps out names that were rebound to our address, the
Origin rule pages of other sites (RFC 6454). A token comes as Bearer (RFC 6750) or as the password of Basic (RFC 7617),
which a browser asks for by itself.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

BODY_BYTES = 64 << 10
BODY_S = 10.0
COMPLAINTS_PATH = "/v1/complaints"


@dataclass(frozen=True, slots=True)
class Access:
    """token: None = nobody is asked for one. hosts: names that this address may be called by, beside its numbers.

    sources: (name, token) of those who may report complaints, and nothing else.
    """

    token: str | None = None
    hosts: frozenset[str] = frozenset()
    sources: tuple[tuple[str, str], ...] = ()

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request that is turned away by its head; None = it may go on."""
        headers = request.headers
        if len(headers.getall("Host", ())) != 1 or not self._is_ours(headers["Host"]):
            return web.Response(status=403, text="this address is not known by that Host\n")
        if any(not _same_site(origin, headers["Host"]) for origin in headers.getall("Origin", ())):
            return web.Response(status=403, text="pages of other sites may not ask\n")
        if request.path == COMPLAINTS_PATH and self.source_of(request) is not None:
            return None
        if self.token is not None and not _shows(headers.get("Authorization", ""), self.token):
            refused = web.Response(status=401, text="the token is required\n")
            refused.headers.add("WWW-Authenticate", 'Basic realm="callsieve", charset="UTF-8"')
            refused.headers.add("WWW-Authenticate", 'Bearer realm="callsieve"')
            return refused
        return None

    def source_of(self, request: web.Request) -> str | None:
        """The source of complaints whose token a request shows."""
        authorization = request.headers.get("Authorization", "")
        return next((name for name, token in self.sources if _shows(authorization, token)), None)

    def _is_ours(self, host: str) -> bool:
        """An address cannot be rebound, so any will do; a name must be one that we were told."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == "localhost" or name in self.hosts or _is_address(name)

async def read_body(request: web.Request) -> web.Response | None:
    """Reads the body, wanted or not, which ends a connection well; the answer to one too large or too slow.

    The application's client_max_size bounds it; the request keeps it for whoever reads it again.
    """
    try:
        if (request.content_length or 0) > BODY_BYTES:
            raise web.HTTPRequestEntityTooLarge(BODY_BYTES, request.content_length or 0)
        async with asyncio.timeout(BODY_S):
            await request.read()
    except web.HTTPRequestEntityTooLarge:
        return web.Response(status=413, text="no route takes so much\n")
    except TimeoutError:
        return web.Response(status=408, text="the body took too long\n")
    return None


def guarded_by(access: Access, on_request: Callable[[asyncio.BaseProtocol], None]) -> Middleware:
    """Middleware that lets through what `access` allows. on_request: told of each connection that has asked."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        on_request(request.protocol)
        refused = access.refusal(request) or await read_body(request)
        if refused is not None:
            refused.force_close()
            return refused
        return await handler(request)

    return guard


def _shows(authorization: str, token: str) -> bool:
    scheme, _, credentials = authorization.partition(" ")
    shown = credentials.strip() if scheme.lower() == "bearer" else _password(scheme, credentials)
    return hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())


def _same_site(origin: str, host: str) -> bool:
    scheme, separator, authority = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and authority.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _password(scheme: str, credentials: str) -> str:
    """That of Basic credentials, "" if they are none."""
    if scheme.lower() != "basic":
        return ""
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True)
    except binascii.Error:
        return ""
    return decoded.partition(b":")[2].decode("utf-8", "replace")
