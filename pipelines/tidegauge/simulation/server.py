"""A server with continuous batching: latency and time to first token from what is in flight.

All admitted requests advance together. With n of them, each receives a token in

    token_ms * (1 + n / doubling)

A prompt is work before the first token, cheaper by ``prefill``. Requests beyond the batch wait in
order of arrival. The simulation is exact: it moves from one arrival, first token or completion to
the next, on a clock of tokens that all admitted requests share.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Served", "Server", "serve"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a server's speed depends on.

    Attributes:
        token_ms: Time of a token for a request that is alone.
        doubling: Requests in flight at which a token takes twice as long.
        prefill: Tokens of a prompt that take as long as one generated token.
        batch: Most requests that are served together.
        overhead_ms: Time of a request that does not depend on the server.
        noise: Standard deviation of the logarithm of each request's own factor.
    """

    token_ms: float = 25.0
    doubling: float = 8.0
    prefill: float = 60.0
    batch: int = 64
    overhead_ms: float = 60.0
    noise: float = 0.1


@dataclass(frozen=True, slots=True)
class Served:
    """What became of n requests, each of shape (n,).

    Attributes:
        latency_ms: From arrival to the last token.
        first_token_ms: From arrival to the first token.
        in_flight: Other requests in flight at the arrival.
    """

    latency_ms: Floats
    first_token_ms: Floats
    in_flight: Counts


def serve(  # noqa: PLR0913, PLR0917 - a request's columns
    server: Server,
    times: Floats,
    prompt_tokens: Counts,
    output_tokens: Counts,
    slowness: Floats,
    rng: np.random.Generator,
) -> Served:
    """Simulate requests.

    Args:
        server: The server.
        times: Arrivals in seconds, ascending, shape (n,).
        prompt_tokens: Shape (n,).
        output_tokens: Shape (n,).
        slowness: What each request's work is multiplied by, shape (n,): above 1 where the
            server is slower than usual.
        rng: Draws each request's noise.
    """
    factor = slowness * np.exp(rng.normal(0.0, server.noise, len(times)))
    first = (prompt_tokens / server.prefill + 1) * factor
    whole = first + np.maximum(output_tokens - 1, 0) * factor
    first_at, done_at, in_flight = _advance(server, times.tolist(), first.tolist(), whole.tolist())
    overhead = server.overhead_ms * factor
    return Served(
        latency_ms=(np.array(done_at) - times) * 1000 + overhead,
        first_token_ms=(np.array(first_at) - times) * 1000 + overhead,
        in_flight=np.array(in_flight, np.int64),
    )


def _advance(
    server: Server, times: list[float], first: list[float], whole: list[float]
) -> tuple[list[float], list[float], list[int]]:
    """Return each request's time of first token and of completion, and what was in flight."""
    count = len(times)
    first_at, done_at, in_flight = [0.0] * count, [0.0] * count, [0] * count
    alone, doubling = server.token_ms / 1000, server.doubling
    due: list[tuple[float, int, bool]] = []
    waiting: deque[int] = deque()
    admitted, tokens, now, arriving = 0, 0.0, 0.0, 0
    while arriving < count or due:
        arrival = times[arriving] if arriving < count else float("inf")
        pace = alone * (1 + admitted / doubling)
        next_due = now + (due[0][0] - tokens) * pace if due else float("inf")
        if arrival <= next_due:
            tokens += (arrival - now) / pace
            now = arrival
            in_flight[arriving] = admitted + len(waiting)
            waiting.append(arriving)
            arriving += 1
        else:
            tokens, _, _ = due[0]
            now = next_due
            _, request, last = heapq.heappop(due)
            if last:
                done_at[request] = now
                admitted -= 1
            else:
                first_at[request] = now
        while waiting and admitted < server.batch:
            request = waiting.popleft()
            admitted += 1
            heapq.heappush(due, (tokens + first[request], request, False))
            heapq.heappush(due, (tokens + whole[request] + 1e-9, request, True))
    return first_at, done_at, in_flight
