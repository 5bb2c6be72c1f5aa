"""Server-sent events: cut a byte stream into frames without changing a byte."""

from __future__ import annotations

import re
from typing import Final

from tidegauge.gateway.errors import UpstreamAnswerError

__all__ = ["DONE", "FrameSplitter", "data_of", "error_frame"]

DONE: Final = b"[DONE]"
_LONGEST_FRAME: Final = 16 * 1024 * 1024
_BLANK_LINE: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class FrameSplitter:
    r"""Cuts what arrives into whole frames, each with the blank line that ends it.

    Example:
        >>> splitter = FrameSplitter()
        >>> splitter.feed(b"data: a\n\ndata: b"), splitter.feed(b"\n\n")
        ([b'data: a\n\n'], [b'data: b\n\n'])
    """

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that are now whole; ``rest`` holds the beginning of the next.

        Raises:
            UpstreamAnswerError: A frame does not end within 16 MiB.
        """
        if self.rest:
            data = self.rest + data
        if b"\r" in data:
            return self._feed_any(data)
        if (
            data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2
        ):  # one whole frame, as mostly
            self.rest = b""
            return [data]
        frames = data.split(b"\n\n")
        self.rest = frames.pop()
        self._refuse_endless()
        return [frame + b"\n\n" for frame in frames]

    def _feed_any(self, data: bytes) -> list[bytes]:
        frames, start = [], 0
        for end in _BLANK_LINE.finditer(data):
            frames.append(data[start : end.end()])
            start = end.end()
        self.rest = data[start:]
        self._refuse_endless()
        return frames

    def _refuse_endless(self) -> None:
        if len(self.rest) > _LONGEST_FRAME:
            raise UpstreamAnswerError("an event of the upstream's stream has no end")


def data_of(frame: bytes) -> bytes | None:
    r"""Return a frame's data, None for one without (a comment that keeps alive).

    Example:
        >>> data_of(b"event: x\ndata: {}\n\n"), data_of(b": ping\n\n")
        (b'{}', None)
    """
    one_line = frame.endswith(b"\n\n") and frame.count(b"\n") == 2  # noqa: PLR2004 - its end
    if one_line and frame.startswith(b"data: "):
        return frame[6:-2]
    lines = [
        line[5:].removeprefix(b" ") for line in frame.splitlines() if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None


def error_frame(body: bytes) -> bytes:
    """Return an error as the last event of a stream that had begun well."""
    return b"data: " + body + b"\n\n"
