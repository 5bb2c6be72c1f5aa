"""Which headers of an upstream's answer reach the client.

A header that is not known to describe the answer stays behind: framing and connections are the
gateway's own, and what speaks for a site (cookies, CORS, HSTS, ``Clear-Site-Data``, ``Alt-Svc``)
would speak for the gateway's. Proxies obey some ``x-`` headers, so these stay behind as well.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Headers", "passed_headers"]

Headers = list[tuple[bytes, bytes]]

_PASSED: Final = frozenset(
    {
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"request-id",
        b"retry-after",
        b"retry-after-ms",
    }
)
_PREFIXES: Final = (b"x-", b"openai-", b"anthropic-")
_STAYING: Final = (
    b"x-accel-",
    b"x-content-type-options",
    b"x-dns-prefetch-control",
    b"x-frame-options",
    b"x-lighttpd-",
    b"x-permitted-cross-domain-policies",
    b"x-powered-by",
    b"x-request-id",
    b"x-robots-tag",
    b"x-sendfile",
    b"x-ua-compatible",
    b"x-webkit-csp",
    b"x-xss-protection",
)
_LIMITS: Final = b"x-ratelimit-"


def passed_headers(upstream: Headers, request_id: str, limits: Headers | None) -> Headers:
    """Return the headers of the client's answer, apart from its framing.

    Args:
        upstream: The upstream's headers, names in lower case.
        request_id: The exchange's id.
        limits: The customer's own ``x-ratelimit-…`` headers, which replace the upstream's; None
            for a customer without limits.

    Example:
        >>> passed_headers([(b"content-type", b"a/b"), (b"set-cookie", b"c=d")], "req-1", None)
        [(b'content-type', b'a/b'), (b'x-request-id', b'req-1')]
    """
    headers = []
    for header in upstream:
        name = header[0]
        if name in _PASSED or (name.startswith(_PREFIXES) and not name.startswith(_STAYING)):
            headers.append(header)
    headers.append((b"x-request-id", request_id.encode()))
    if limits is not None:
        headers = [header for header in headers if not header[0].startswith(_LIMITS)]
        headers.extend(limits)
    return headers
