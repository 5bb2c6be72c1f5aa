"""A small OpenAI-like server on a real socket that does what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Connection", "Received", "Script", "ScriptedUpstream", "chat_chunk", "chat_completion"]


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


class Connection:
    """What a script answers through."""

    def __init__(self, writer: asyncio.StreamWriter, closed: asyncio.Event) -> None:
        self.writer = writer
        self.closed = closed

    async def answer(
        self, content: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        lines = {"content-type": "application/json", "content-length": str(len(body))}
        await self._head(status, lines | (headers or {}))
        self.writer.write(body)
        await self.writer.drain()

    async def begin_stream(self) -> None:
        await self._head(
            200,
            {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"},
        )

    async def event(self, content: object) -> None:
        data = content if isinstance(content, str) else json.dumps(content)
        await self.chunk(f"data: {data}\n\n".encode())

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def end_stream(self, *, done: bool = True) -> None:
        if done:
            await self.event("[DONE]")
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def die(self) -> None:
        self.writer.transport.abort()

    async def _head(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{k}: {v}" for k, v in headers.items())]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await self.writer.drain()


Script = Callable[[Received, Connection], Awaitable[None]]


def chat_completion(text: str = "Hello.", **fields: object) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        **fields,
    }


def chat_chunk(
    content: str | None = None, *, finish: str | None = None, **fields: object
) -> dict[str, Any]:
    delta: dict[str, Any] = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "served",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **fields,
    }


USAGE_CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "served",
    "choices": [],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}


async def stream_hello(request: Received, connection: Connection) -> None:
    """Answer as vLLM does: a role, pieces, an end, the usage if it was asked for."""
    await connection.begin_stream()
    role = chat_chunk("")
    role["choices"][0]["delta"]["role"] = "assistant"
    await connection.event(role)
    await connection.event(chat_chunk("Hel"))
    await connection.event(chat_chunk("lo."))
    await connection.event(chat_chunk(finish="stop"))
    if (request.json.get("stream_options") or {}).get("include_usage"):
        await connection.event(USAGE_CHUNK)
    await connection.end_stream()


async def speak(request: Received, connection: Connection) -> None:
    """Answer any route as a healthy upstream does."""
    if request.path == "/v1/models":
        await connection.answer({"object": "list", "data": [{"id": "served", "object": "model"}]})
    elif request.json.get("stream"):
        await stream_hello(request, connection)
    else:
        await connection.answer(chat_completion())


@dataclass
class ScriptedUpstream:
    """The server; use as an async context manager."""

    script: Script = speak
    requests: list[Received] = field(default_factory=list)
    port: int = 0
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        closed = asyncio.Event()
        try:
            while request := await _receive(reader):
                self.requests.append(request)
                watching = asyncio.create_task(_watch(reader, closed))
                try:
                    await self.script(request, Connection(writer, closed))
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.connections -= 1
            self._tasks.discard(task)
            writer.close()


async def _watch(reader: asyncio.StreamReader, closed: asyncio.Event) -> None:
    try:
        data = await reader.read(1)
    except ConnectionError:
        data = b""
    if not data:
        closed.set()


async def _receive(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)
