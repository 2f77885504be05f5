"""The console: the pages of proxy/control/console, served as they are, under a policy that runs nothing else.

What the pages show comes from callers, who write what they like: it is fetched as JSON and set as text, never as
markup.
"""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Content Security Policy Level 3: only our own files, no inline script or style, no frame, no string made markup.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def console_routes() -> list[web.RouteDef]:
    """One route a file; `/` is index.html. The files are read once."""
    pages = {page.name: page.read_bytes() for page in files("proxy.control").joinpath("console").iterdir()}
    return [_route("/" if name == "index.html" else f"/{name}", name, body) for name, body in sorted(pages.items())]


async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    """For every answer of the admin address (`on_response_prepare`)."""
    response.headers.update(SECURITY_HEADERS)


def _route(path: str, name: str, body: bytes) -> web.RouteDef:
    content_type = _TYPES[f".{name.rpartition('.')[2]}"]

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return web.get(path, page)
