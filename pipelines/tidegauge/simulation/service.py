"""A simulated service: its load, speed, failures and deployments, and the responses it gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import ErrorKind, ResponseEvent, Usage
from tidegauge.simulation.rhythm import Recorded, Rhythm, Wave, arrivals, wave_values
from tidegauge.simulation.server import Server, serve

__all__ = ["Exchanges", "SimulatedService", "exchanges", "response_events"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_STEP_SECONDS = 10.0
_USD_PER_TOKEN = 2e-6
_COLD_SECONDS, _COLD_FACTOR = 90.0, 2.5
"""A new process is slower at first: its caches are empty and its kernels are not compiled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedService:
    """What a service's responses depend on.

    Attributes:
        rhythm: When requests arrive.
        server: What serves them.
        speed_wave: Waves of the server's speed that no load explains.
        errors: Share of the requests that fail.
        error_wave: Waves of that share.
        changed_from: Time from which the service is changed, seconds; None for never.
        slower: What latency is multiplied by after the change.
        errors_after: Share of the requests that fail after the change; None for the same.
        changed_share: Share of the requests that the change concerns, drawn at random: below 1
            where a new version is given a part of the traffic.
        deployments: Times at which the same version is deployed again, seconds.
    """

    rhythm: Rhythm
    server: Server = field(default_factory=Server)
    speed_wave: Wave | None = None
    errors: float = 0.01
    error_wave: Wave | None = None
    changed_from: float | None = None
    slower: float = 1.0
    errors_after: float | None = None
    changed_share: float = 1.0
    deployments: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchanges:
    """Requests and what became of them in order of arrival, each of shape (n,).

    Attributes:
        seconds: Arrival, from the start of the traffic.
        prompt_tokens: Tokens of the prompt.
        output_tokens: Tokens of the answer.
        latency_ms: Until the last token.
        first_token_ms: Until the first token.
        in_flight: Other requests in flight at the arrival.
        failed: Whether the service failed.
        changed: Whether the changed service served it.
    """

    seconds: Floats
    prompt_tokens: Counts
    output_tokens: Counts
    latency_ms: Floats
    first_token_ms: Floats
    in_flight: Counts
    failed: Flags
    changed: Flags

    @property
    def cost_usd(self) -> Floats:
        """What each request costs if it does not fail."""
        tokens = self.prompt_tokens + 3 * self.output_tokens
        return np.asarray(tokens * _USD_PER_TOKEN, np.float64)


def exchanges(
    service: SimulatedService,
    start_ms: int,
    seconds: float,
    recorded: Recorded,
    rng: np.random.Generator,
) -> Exchanges:
    """Simulate a service.

    Args:
        service: The service.
        start_ms: Start of the traffic, Unix milliseconds.
        seconds: Its length.
        recorded: Gaps between requests and their tokens.
        rng: All draws.
    """
    times, rows = arrivals(service.rhythm, start_ms, seconds, recorded, rng)
    prompt, output = recorded.prompt_tokens[rows], recorded.output_tokens[rows]
    step = (times // _STEP_SECONDS).astype(np.int64)
    slowness = np.ones(len(times))
    if service.speed_wave is not None:
        slowness *= wave_values(service.speed_wave, seconds, rng)[step]
    for moment in service.deployments:
        since = times - moment
        cold = (since >= 0) & (since < _COLD_SECONDS)
        slowness[cold] *= _COLD_FACTOR ** (1 - since[cold] / _COLD_SECONDS)
    share = np.full(len(times), service.errors)
    changed = np.zeros(len(times), np.bool_)
    if service.changed_from is not None:
        chosen = rng.random(len(times)) < service.changed_share
        changed = (times >= service.changed_from) & chosen
        slowness[changed] *= service.slower
        if service.errors_after is not None:
            share[changed] = service.errors_after
    if service.error_wave is not None:
        share *= wave_values(service.error_wave, seconds, rng)[step]
    served = serve(service.server, times, prompt, output, slowness, rng)
    return Exchanges(
        seconds=times,
        prompt_tokens=prompt,
        output_tokens=output,
        latency_ms=served.latency_ms,
        first_token_ms=served.first_token_ms,
        in_flight=served.in_flight,
        failed=rng.random(len(times)) < np.minimum(share, 1.0),
        changed=changed,
    )


def response_events(
    found: Exchanges,
    *,
    start_ms: int,
    segment: Segment,
    producer_id: str,
    changed: Segment | None = None,
) -> Iterator[ResponseEvent]:
    """Yield the events of exchanges, in order of arrival.

    Args:
        found: The exchanges.
        start_ms: Start of the traffic, Unix milliseconds.
        segment: Slice of the traffic.
        producer_id: The gateway's run.
        changed: The segment of what the changed service served; None for the same.
    """
    segments = segment, changed or segment
    rows = zip(
        (start_ms + found.seconds * 1000).astype(np.int64).tolist(),
        found.prompt_tokens.tolist(),
        found.output_tokens.tolist(),
        found.latency_ms.tolist(),
        found.first_token_ms.tolist(),
        found.in_flight.tolist(),
        found.failed.tolist(),
        found.changed.tolist(),
        found.cost_usd.tolist(),
        strict=True,
    )
    for number, row in enumerate(rows, start=1):
        time_ms, prompt, output, latency, first, in_flight, failed, new, cost = row
        yield ResponseEvent(
            request_id=f"{producer_id}-{number}",
            producer_id=producer_id,
            sequence=number,
            time_ms=time_ms,
            segment=segments[new],
            customer="people",
            status=502 if failed else 200,
            latency_ms=latency,
            prompt_characters=4 * prompt,
            output_characters=0 if failed else 4 * output,
            error=ErrorKind.UPSTREAM_ERROR if failed else None,
            time_to_first_token_ms=None if failed else first,
            usage=None if failed else Usage(input_tokens=prompt, output_tokens=output),
            cost_usd=None if failed else cost,
            in_flight=in_flight,
            stream=True,
        )
