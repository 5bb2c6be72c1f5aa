"""Decodes answers that an upstream compresses although the gateway did not ask for it."""

from __future__ import annotations

import zlib
from typing import Final

from tidegauge.gateway.errors import UpstreamAnswerError

__all__ = ["Decoder", "decoder_of", "without_encoding"]

_NAME: Final = b"content-encoding"
_WINDOW: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": zlib.MAX_WBITS}
"""zlib's ``wbits`` of each encoding."""
_LONGEST: Final = 64 * 1024 * 1024

_Headers = list[tuple[bytes, bytes]]


class Decoder:
    """Decodes a body piece by piece.

    Args:
        encoding: A content encoding, ``gzip`` or ``deflate``.
    """

    def __init__(self, encoding: bytes) -> None:
        self._window = _WINDOW[encoding]
        self._decompress: zlib._Decompress | None = None
        self._left = _LONGEST

    def decode(self, piece: bytes) -> bytes:
        """Return the decoded bytes of a piece.

        Raises:
            UpstreamAnswerError: The piece is not in the encoding, or the decoded body is longer
                than 64 MiB.
        """
        if self._decompress is None:
            raw = self._window == zlib.MAX_WBITS and piece[:1] and piece[0] & 15 != zlib.DEFLATED
            # Some servers leave out the header that belongs to ``deflate``.
            self._decompress = zlib.decompressobj(-self._window if raw else self._window)
        try:
            decoded = self._decompress.decompress(piece, self._left)
        except zlib.error as error:
            detail = "the upstream's answer is not in its content encoding"
            raise UpstreamAnswerError(detail) from error
        self._left -= len(decoded)
        if self._decompress.unconsumed_tail or self._left <= 0:
            raise UpstreamAnswerError(f"the upstream's answer is longer than {_LONGEST} bytes")
        return decoded


def decoder_of(headers: _Headers) -> Decoder | None:
    """Return a decoder for the body of these headers; None if it is not in gzip or deflate.

    Bodies in other encodings are passed on as they are.
    """
    for name, value in headers:
        if name == _NAME:
            encoding = value.strip().lower()
            return Decoder(encoding) if encoding in _WINDOW else None
    return None


def without_encoding(headers: _Headers) -> _Headers:
    """Return headers without the content encoding, for the decoded body."""
    return [header for header in headers if header[0] != _NAME]
