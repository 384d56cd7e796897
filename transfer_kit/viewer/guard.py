"""Who is answered: requests that name this machine, and writes that come from the page itself."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OURS = ("localhost", "127.0.0.1", "[::1]")
_ALL = ("0.0.0.0", "::", "")  # noqa: S104 - compared only

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the key
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Refuses what does not come from the page, and tells browsers to load nothing from elsewhere.

    A name of another site that an attacker lets point to this machine ("DNS rebinding") is none of
    ours. Every address begins with a key that only the printed one tells, so that neither another
    site nor another user of the machine can read or write; that writes come from the page's own
    origin is checked all the same.

    Args:
        app: What answers the others.
        host: The address that is listened on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._any = host in _ALL
        named = f"[{host}]" if ":" in host else host.lower()
        own = (socket.gethostname().lower(), socket.getfqdn().lower()) if self._any else (named,)
        self._hosts = frozenset((*_OURS, *own))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sentence = self._refused(scope["method"], Headers(scope=scope))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = JSONResponse({"error": sentence}, 403) if sentence else self._app
        await answer(scope, receive, guarded)

    def _refused(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        if not self._is_ours(_without_port(host)):
            return f"{host or 'No host'} is not the address of this page; open the one printed."
        if method in ("GET", "HEAD"):
            return ""
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return "Another page may not change anything here."
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return "Only JSON is taken here."
        return ""

    def _is_ours(self, name: str) -> bool:
        if name in self._hosts:
            return True
        return self._any and _is_address(name)


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _is_address(name: str) -> bool:
    """An address of numbers cannot be made to point elsewhere."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
