"""Where a request's API key stands: ``Authorization``, ``x-api-key`` or ``api-key``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tidegauge.gateway.errors import RefusedError
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["CREDENTIALS", "REPEATED", "authorization", "read_headers"]

_BARE: Final = (b"x-api-key", b"api-key")
CREDENTIALS: Final = frozenset({b"authorization", *_BARE})
"""Headers that may carry a key: OpenAI's, Anthropic's and Azure's."""

REPEATED: Final = b"\x00repeated"
"""The value of a credential that a request has more than once; no header can contain it."""


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    r"""Return headers by name; the last of equal names counts, a repeated credential is marked.

    Args:
        pairs: Names in lower case, and values.

    Example:
        >>> read_headers([(b"api-key", b"a"), (b"accept", b"b"), (b"api-key", b"c")])
        {b'api-key': b'\x00repeated', b'accept': b'b'}
    """
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = REPEATED if name in headers and name in CREDENTIALS else value
    return headers


def authorization(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the request's key as the value of ``Authorization``; None without a key.

    Raises:
        RefusedError: The request has more than one key, so that either could be meant.

    Example:
        >>> authorization({b"x-api-key": b"tg-1-2"})
        b'Bearer tg-1-2'
    """
    found = headers.get(b"authorization")
    if not headers.keys().isdisjoint(_BARE):
        for name in _BARE:
            value = headers.get(name)
            if value is not None:
                key = b"Bearer " + value
                if found is not None and found != key:
                    raise _several()
                found = key
    if found is not None and found.endswith(REPEATED):
        raise _several()
    return found


def _several() -> RefusedError:
    return RefusedError(
        ErrorKind.UNAUTHORIZED,
        "the request has more than one API key: send one",
        code="invalid_api_key",
        headers=[(b"www-authenticate", b"Bearer")],
    )
