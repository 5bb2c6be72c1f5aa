"""A model server that costs next to nothing: fixed answers, plain or streamed.

``/v1/chat/completions`` answers 700 bytes at once, or streams 64 events, one every 5 ms, as
long as the body asks for ``"stream": true``. Everything else gets an empty list of models.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import httptools
import uvloop

EVENTS = 64
EVENT_SECONDS = 0.005

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The tide rises and falls twice a day in most places. " * 7,
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 80, "completion_tokens": 90, "total_tokens": 170},
    }
).encode()
_MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","owned_by":"bench"}]}'


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    return _chunk(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_PIECE = _event({"content": " word"})
_USAGE = _chunk(
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk",'
    b'"created":1700000000,"model":"bench","choices":[],'
    b'"usage":{"prompt_tokens":80,"completion_tokens":63,"total_tokens":143}}\n\n'
)
_END = _event({}, "stop")
_DONE = _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url = self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Begin a request."""
        self._url, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        if not self._url.endswith(b"completions"):
            self._transport.write(_whole(_MODELS))
        elif b'"stream":true' in self._body.replace(b" ", b""):
            self._transport.write(_STREAM_HEAD)
            self._more(EVENTS, usage=b"include_usage" in self._body)
        else:
            self._transport.write(_whole(_ANSWER))

    def _more(self, left: int, *, usage: bool) -> None:
        if self._transport.is_closing():
            return
        if left > 1:
            self._transport.write(_PIECE)
            loop = asyncio.get_running_loop()
            loop.call_later(EVENT_SECONDS, lambda: self._more(left - 1, usage=usage))
        else:
            self._transport.write(_END + (_USAGE if usage else b"") + _DONE)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
