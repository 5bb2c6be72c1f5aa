"""Cross-origin resource sharing: which sites' scripts may call the gateway from a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["CorsPolicy"]

Headers = list[tuple[bytes, bytes]]

_EXPOSED: Final = (
    b"x-request-id, retry-after, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
    b"x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, "
    b"x-ratelimit-reset-tokens"
)
_METHODS: Final = b"GET, HEAD, POST, OPTIONS"
_MAX_AGE: Final = b"600"


class CorsPolicy:
    """Answers browsers that ask for one site on behalf of another.

    Args:
        origins: Origins that may call, such as ``https://chat.example``; ``*`` for every one.

    Example:
        >>> policy = CorsPolicy(["https://chat.example"])
        >>> policy.headers({b"origin": b"https://evil.example"})
        []
    """

    def __init__(self, origins: list[str]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origin.rstrip("/").encode("latin-1") for origin in origins)

    def headers(self, request: Mapping[bytes, bytes]) -> Headers:
        """Return the headers of an answer to a request; none if its origin may not call."""
        allowed = self._allowed(request)
        if not allowed:
            return []
        return [*allowed, (b"access-control-expose-headers", _EXPOSED)]

    def preflight(self, request: Mapping[bytes, bytes]) -> Headers:
        """Return the headers of the answer to the question whether a request may be sent."""
        allowed = self._allowed(request)
        if not allowed:
            return []
        asked = request.get(b"access-control-request-headers", b"authorization, content-type")
        return [
            *allowed,
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", _MAX_AGE),
        ]

    def _allowed(self, request: Mapping[bytes, bytes]) -> Headers:
        origin = request.get(b"origin")
        if origin is None or not (self._all or origin in self._origins):
            return []
        # Keys are sent as headers and not as cookies, so that credentials are not allowed.
        allowed = b"*" if self._all else origin
        return [(b"access-control-allow-origin", allowed), (b"vary", b"origin")]
