"""An upstream that is any bytes: the client's connection, decoding, events and facts behind it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from tidegauge.capture.answer import decide
from tidegauge.gateway.apis import APIS
from tidegauge.gateway.errors import UpstreamError
from tidegauge.gateway.http.addresses import Timeouts
from tidegauge.gateway.http.client import QUIET, Connection
from tidegauge.gateway.http.decoding import Decoder
from tidegauge.gateway.http.pool import Pool
from tidegauge.gateway.proxy.relay import FrameSplitter, data_of, passed_headers

__all__ = ["read_upstream"]

_PIECE = 53
_LONGEST = 1_000_000


class _Clock:
    """A clock that stands still."""

    def time(self) -> float:
        return 0.0

    def create_future(self) -> asyncio.Future[None]:
        raise AssertionError("nothing is waited for that has not arrived")


class _NoPool:
    """The part of a pool that a connection uses."""

    def __init__(self) -> None:
        self.loop = _Clock()
        self.timeouts = Timeouts()
        self.kept = 0

    def forget(self, _connection: Connection) -> None:
        """Take no note."""

    def give_back(self, _connection: Connection) -> None:
        """Count it."""
        self.kept += 1


def read_upstream(data: bytes) -> None:
    """Read what an upstream sends in answer to a streamed chat request, in pieces.

    Raises:
        AssertionError: A connection with bytes behind its answer is used again, or what was read
            is not taken away.
    """
    pool = _NoPool()
    connection = Connection(cast("Pool", pool))
    connection.in_use = True
    answer = _Answer(connection)
    try:
        for start in range(0, len(data), _PIECE):
            connection.data_received(data[start : start + _PIECE])
            answer.take()
            if connection.closed:
                break
        connection.connection_lost(None)
        answer.take()
        answer.end()
    except UpstreamError:
        pass
    surplus = connection.complete and not connection._reusable
    connection.closed = False
    connection.close()
    assert not (surplus and pool.kept)


class _Answer:
    """What the relay makes of a connection's bytes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._collector = APIS["/v1/chat/completions"].collector()
        self._splitter = FrameSplitter()
        self._decoder: Any = None
        self._begun = False
        self._size = 0

    def take(self) -> None:
        """Read the pieces that have arrived."""
        connection = self._connection
        if connection.begun and not self._begun:
            self._begun = True
            passed_headers(connection.headers, "r", None)
            self._decoder = Decoder(connection.headers) if connection.is_encoded else None
        while connection._pieces:
            piece = _now(connection.piece())
            assert piece is not QUIET
            self._size += len(piece)
            if self._decoder is not None:
                piece = self._decoder.decode(piece)
            for frame in self._splitter.feed(piece):
                self._event(frame)
        assert self._size <= _LONGEST

    def end(self) -> None:
        """Read the rest, and decide the outcome."""
        self._event(self._splitter.rest)
        decide(self._collector.answer(), self._connection.status, None, done=True)

    def _event(self, frame: bytes) -> None:
        event = data_of(frame)
        if event is not None:
            self._collector.take(event)


def _now(coroutine: Any) -> bytes:  # noqa: ANN401 - a coroutine that does not wait
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("bytes", end.value)
    raise AssertionError("it waits")
