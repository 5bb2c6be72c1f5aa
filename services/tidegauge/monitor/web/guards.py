"""What every request passes: whose name it calls us by, who sent it, and safe headers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidegauge.monitor.web.viewers import is_open_to_viewers, viewing

__all__ = ["RequestGuard", "is_loopback"]

_OPEN = frozenset({"/healthz", "/readyz"})
_UNNAMED = frozenset({*_OPEN, "/metrics"})
"""Asked by programs, which may call this machine by any name."""
_WRONG_SECONDS = 0.5

_FOREIGN = (
    "refused: this comes from another site's page, or a proxy gave the monitor another name than "
    "the one in your browser's address bar (then set TIDEGAUGE_MONITOR_PAGE_URL to that address)\n"
)
_UNKNOWN = (
    "refused: the monitor is not known by this name: set TIDEGAUGE_MONITOR_PAGE_URL to the address "
    "that people open\n"
)
_NO_TEXT = (
    "refused: with the viewers' password, requests' texts are not shown and nothing is changed\n"
)
_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OWN = frozenset({"same-origin", "none"})
_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("example.org")
        (True, True, False)
    """
    bare = host.strip("[]").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _host(authority: str) -> str:
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _origin(url: str) -> str:
    """Return the origin of an address as browsers write it; empty for no address."""
    parts = urlsplit(url)
    if not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in {None, _PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


class RequestGuard:
    """ASGI middleware.

    The monitor answers to this machine's names, the name that it listens on and that of its
    published address only, so that a web page that points a name of its own at the monitor
    cannot read prompts. Beyond loopback it also answers to any address in numbers: no page can
    point one elsewhere. Health checks and metrics answer to every name.

    A request that changes something is taken from our own pages or from programs, never from
    another site's page. A proxy may keep the name that the browser used, or replace it.

    Where a password is set, everything but health checks asks for it (HTTP Basic, any user
    name): whoever reaches the port does not read prompts yet. With the viewers' password only
    the pages and numbers without requests' texts are shown, and nothing can be changed.

    Args:
        app: The application.
        policy: Content-Security-Policy, unless the answer has its own.
        host: The interface that the monitor listens on.
        password: Empty for none.
        viewer_password: Empty for none.
        page_url: The address that people open, such as a proxy's; empty where it is our own.
    """

    def __init__(  # noqa: PLR0913 - each by its name
        self,
        app: ASGIApp,
        *,
        policy: str,
        host: str,
        password: str = "",
        viewer_password: str = "",
        page_url: str = "",
    ) -> None:
        self._app = app
        self._policy = policy
        self._numbered = not is_loopback(host)
        self._password = password.encode()
        self._viewer_password = viewer_password.encode()
        self._origin = _origin(page_url)
        self._names = {_host(host), urlsplit(page_url).hostname or ""} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on with headers added."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["path"] not in _UNNAMED and not self._named(headers.get("host", "")):
            refusal = PlainTextResponse(_UNKNOWN, 421)
            await refusal(scope, receive, send)
            return
        given = self._given(headers)
        is_viewer = self._is(given, self._viewer_password)
        closed = bool(self._password) and scope["path"] not in _OPEN
        if closed and not is_viewer and not self._is(given, self._password):
            if "authorization" in headers:
                await asyncio.sleep(_WRONG_SECONDS)
            challenge = {"WWW-Authenticate": 'Basic realm="tidegauge", charset="UTF-8"'}
            refusal = PlainTextResponse("say the password\n", 401, headers=challenge)
            await refusal(scope, receive, send)
            return
        if is_viewer and (scope["method"] in _CHANGES or not is_open_to_viewers(scope["path"])):
            refusal = PlainTextResponse(_NO_TEXT, 403)
            await refusal(scope, receive, send)
            return
        if scope["method"] in _CHANGES and self._foreign(headers):
            refusal = PlainTextResponse(_FOREIGN, 403)
            await refusal(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                out.setdefault("Content-Security-Policy", self._policy)
                out.setdefault("Cache-Control", "no-store")
                out["X-Content-Type-Options"] = "nosniff"
                # Under no-referrer, browsers would post our own forms with "Origin: null".
                out["Referrer-Policy"] = "same-origin"
                out["X-Frame-Options"] = "DENY"
            await send(message)

        if is_viewer:
            with viewing():
                await self._app(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    @staticmethod
    def _given(headers: Headers) -> bytes | None:
        """Return the password that a request gives; None without one."""
        scheme, _, coded = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            return base64.b64decode(coded, validate=True).partition(b":")[2]
        except binascii.Error:
            return None

    @staticmethod
    def _is(given: bytes | None, password: bytes) -> bool:
        """Whether a password is set and was given."""
        return bool(password) and given is not None and hmac.compare_digest(given, password)

    def _named(self, authority: str) -> bool:
        host = _host(authority)
        return is_loopback(host) or host in self._names or (self._numbered and _is_address(host))

    def _foreign(self, headers: Headers) -> bool:
        """Whether a page that is not ours has sent a request.

        Browsers name the origin of whatever posts, and write ``null`` for a page that has none
        (a sandboxed frame, a ``data:`` address) or hides it. Our pages have one and show it.
        """
        site = headers.get("sec-fetch-site")
        if site is not None and site not in _OWN:
            return True
        origin = headers.get("origin")
        if origin is None or (self._origin and origin == self._origin):
            return False
        _, _, authority = origin.partition("://")
        return not authority or authority != headers.get("host")
