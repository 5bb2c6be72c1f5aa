"""Decodes answers that an upstream compresses although the gateway did not ask for it."""

from __future__ import annotations

import zlib
from typing import Any, Final, TypeAlias

import zstandard

from tidegauge.gateway.errors import UpstreamAnswerError

__all__ = ["Decoder", "without_encoding"]

_NAME: Final = b"content-encoding"
_WBITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": zlib.MAX_WBITS}
_BEGINNINGS: Final = {b"gzip": b"\x1f\x8b", b"x-gzip": b"\x1f\x8b", b"zstd": b"\x28\xb5\x2f\xfd"}
"""The first bytes of a body, and of each further one that a server appends to it."""
_STEPS: Final = {b"zstd": 512}
"""Bytes of an encoding that are decoded at once: a block of zstd may take four and hold 128 KiB."""
_STEP: Final = 64 * 1024
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
_MOST_MEMBERS: Final = 1_000
_KNOWN: Final = frozenset((*_WBITS, *_BEGINNINGS))
_NO_ENCODING: Final = frozenset((b"", b"identity"))
_MOST_ENCODINGS: Final = 2
_LONGEST: Final = 64 * 1024 * 1024

_Headers = list[tuple[bytes, bytes]]
_Decompressor: TypeAlias = "zlib._Decompress | zstandard.ZstdDecompressionObj"  # noqa: SLF001 - no public name


class Decoder:
    """Decodes the body of an answer piece by piece; one in an unknown encoding passes as it is.

    Args:
        headers: The answer's headers, names in lower case.

    Attributes:
        known: Whether all its encodings are known; nothing is decoded otherwise.
    """

    def __init__(self, headers: _Headers) -> None:
        listed = b",".join(value for name, value in headers if name == _NAME).lower().split(b",")
        encodings = [name for each in listed if (name := each.strip()) not in _NO_ENCODING]
        self.known = len(encodings) <= _MOST_ENCODINGS and _KNOWN.issuperset(encodings)
        # They are listed in the order in which they were applied (RFC 9110, section 8.4).
        self._decoders = [_Decoder(name) for name in reversed(encodings)] if self.known else []

    def decode(self, piece: bytes) -> bytes:
        """Return the decoded bytes of a piece; what follows the end and is no body is left out.

        Raises:
            UpstreamAnswerError: The piece is not in its encoding, it is one of more than 1,000
                bodies in a row, or the decoded body is longer than 64 MiB.
        """
        for decoder in self._decoders:
            piece = decoder.decode(piece)
        return piece


class _Decoder:
    """Decodes a body in one encoding piece by piece.

    Some servers encode each part of a stream by itself, so that several encoded bodies follow each
    other.

    Args:
        encoding: A content encoding, ``gzip``, ``deflate`` or ``zstd``.
    """

    def __init__(self, encoding: bytes) -> None:
        self._wbits = _WBITS.get(encoding)
        self._beginning = _BEGINNINGS.get(encoding, b"")
        self._step = _STEPS.get(encoding, _STEP)
        self._decoder: _Decompressor | None = None
        self._left = _LONGEST
        self._begins = self._ended = False

    def decode(self, piece: bytes) -> bytes:
        decoded, members = [], 0
        for start in range(0, len(piece), self._step):
            rest = piece[start : start + self._step]
            while rest and not self._ended:
                decoder = self._decoder
                if decoder is None:
                    members += 1
                    decoder = self._decoder = self._begun(rest, members)
                if decoder is not None:
                    decoded.append(self._decoded(decoder, rest))
                    rest = decoder.unused_data
                    if decoder.eof:
                        self._decoder = None
        return b"".join(decoded)

    def _begun(self, data: bytes, members: int) -> _Decompressor | None:
        """Return what decodes the body that begins here; None if none does, after the first."""
        self._ended = self._begins and not (
            self._beginning and self._beginning.startswith(data[:2])
        )
        self._begins = True
        if self._ended:
            return None
        if members > _MOST_MEMBERS:
            raise UpstreamAnswerError("the upstream's answer consists of too many encoded bodies")
        if self._wbits is None:
            return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        # Some servers leave out the header that belongs to ``deflate``.
        raw = self._wbits == zlib.MAX_WBITS and data[0] & 15 != zlib.DEFLATED
        return zlib.decompressobj(-self._wbits if raw else self._wbits)

    def _decoded(self, decoder: _Decompressor, data: bytes) -> bytes:
        tail = b""
        try:
            if self._wbits is None:
                decoded = decoder.decompress(data)
            else:
                bounded: Any = decoder
                decoded = bounded.decompress(data, self._left)
                tail = bounded.unconsumed_tail
        except (zlib.error, zstandard.ZstdError) as error:
            detail = "the upstream's answer is not in its content encoding"
            raise UpstreamAnswerError(detail) from error
        self._left -= len(decoded)
        if tail or self._left <= 0:
            raise UpstreamAnswerError(f"the upstream's answer is longer than {_LONGEST} bytes")
        return decoded


def without_encoding(headers: _Headers) -> _Headers:
    """Return headers without the content encoding, for the decoded body."""
    return [header for header in headers if header[0] != _NAME]
