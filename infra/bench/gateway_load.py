"""Load in a closed loop: so many connections, each asking again once it has its answer.

With ``--rate`` they ask at a rate, together, as far as the answers come in time.

Prints one JSON object: requests, events, errors, seconds and latencies in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from http import HTTPStatus
from typing import cast

import httptools
import uvloop

_BODY = {
    "model": "bench",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant for people at the coast."},
        {"role": "user", "content": "When is the next high tide, and how do you know it? " * 5},
    ],
    "temperature": 0.7,
    "max_tokens": 128,
}


class Load:
    """What all connections count."""

    def __init__(self, seconds: float, period: float) -> None:
        self.end = time.perf_counter() + seconds
        self.period = period
        self.latencies: list[float] = []
        self.events = 0
        self.errors = 0


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: Load, request: bytes, done: asyncio.Future[None], due: float) -> None:
        self._load, self._request, self._done = load, request, done
        self._parser = httptools.HttpResponseParser(self)
        self._began = 0.0
        self._due = due

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask_in_time()

    def _ask_in_time(self) -> None:
        self._due += self._load.period
        early = self._due - time.perf_counter()
        if self._load.period and early > 0:
            asyncio.get_running_loop().call_later(early, self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._load.end:
            self._transport.close()
        else:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Count events."""
        self._load.events += body.count(b"data: {")

    def on_message_complete(self) -> None:
        """Count the answer and ask again."""
        if self._parser.get_status_code() == HTTPStatus.OK:
            self._load.latencies.append(time.perf_counter() - self._began)
        else:
            self._load.errors += 1
        if not self._parser.should_keep_alive():
            self._transport.close()
        self._parser = httptools.HttpResponseParser(self)
        self._ask_in_time()

    def connection_lost(self, _error: Exception | None) -> None:
        """End, or count what was cut off."""
        if time.perf_counter() < self._load.end:
            self._load.errors += 1
        if not self._done.done():
            self._done.set_result(None)


async def _run(arguments: argparse.Namespace) -> None:
    asked = _BODY | ({"stream": True} if arguments.stream else {})
    body = json.dumps(asked, separators=(",", ":")).encode()  # as OpenAI's clients write it
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        b"authorization: Bearer %b\r\ncontent-type: application/json\r\n%b"
        b"content-length: %d\r\n\r\n%b"
        % (
            arguments.key.encode(),
            b"".join(line.encode() + b"\r\n" for line in arguments.header),
            len(body),
            body,
        )
    )
    loop = asyncio.get_running_loop()
    period = arguments.connections / arguments.rate if arguments.rate else 0.0
    load = Load(arguments.seconds, period)
    began = time.perf_counter()
    waits = []
    for number in range(arguments.connections):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        due = began + period * number / arguments.connections
        await loop.create_connection(
            lambda done=done, due=due: Client(load, request, done, due),
            "127.0.0.1",
            arguments.port,
        )
    await asyncio.wait_for(asyncio.gather(*waits), arguments.seconds + 30)
    latencies = sorted(load.latencies) or [0.0]
    print(
        json.dumps(
            {
                "requests": len(load.latencies),
                "events": load.events,
                "errors": load.errors,
                "seconds": time.perf_counter() - began,
                "p50_ms": latencies[len(latencies) // 2] * 1e3,
                "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s; 0 for all it can")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--key", default="none")
    parser.add_argument("--header", action="append", default=[])
    uvloop.run(_run(parser.parse_args()))
