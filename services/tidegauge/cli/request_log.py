"""Reads the gateway's structured request log and summarises it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

__all__ = ["BrokenLine", "LogEntry", "LogSummary", "Percentiles", "percentile", "read", "summarise"]

_SHOWN = 5


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log about a request.

    Attributes:
        event: ``request``; other lines are not about requests.
        latency_ms: From arrival to the last byte.
        prompt_characters: Length of the prompt.
        response_characters: Length of the answer.
        status: HTTP status that the client saw.
        error: Its kind, None when the client got its answer.
        time_to_first_token_ms: Until the first piece, None if not streamed.
        input_tokens: Tokens of the prompt, None where unknown.
        output_tokens: Tokens of the answer, None where unknown.
    """

    event: str
    latency_ms: float
    prompt_characters: int = 0
    response_characters: int = 0
    status: int = 200
    error: str | None = None
    time_to_first_token_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that cannot be read, by its number from 1."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of some milliseconds; None of no numbers."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class LogSummary:
    """Summary of a request log.

    Attributes:
        requests: Lines about requests.
        answered: Those without an error; lengths and tokens are theirs.
        latency_ms: Over the answered requests.
        time_to_first_token_ms: Over the streamed ones.
        median_prompt_characters: Over the answered requests.
        median_response_characters: The same.
        input_tokens: In all.
        output_tokens: In all.
        errors: Kind -> how many.
        statuses: HTTP status -> how many.
        other_lines: Lines about something else.
        broken_lines: Lines that cannot be read.
        broken: The first few of them.
    """

    requests: int
    answered: int
    latency_ms: Percentiles
    time_to_first_token_ms: Percentiles
    median_prompt_characters: float | None
    median_response_characters: float | None
    input_tokens: int
    output_tokens: int
    errors: dict[str, int]
    statuses: dict[int, int]
    other_lines: int
    broken_lines: int
    broken: tuple[BrokenLine, ...]


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the linearly interpolated percentile, as numpy's default does.

    Args:
        values: In any order.
        share: In [0, 1].

    Returns:
        The percentile, None of no values.

    Example:
        >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5)
        2.5
    """
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def read(lines: Iterable[bytes]) -> Iterable[LogEntry | BrokenLine | None]:
    """Yield a request, a broken line, or None (another event) for each line.

    Blank lines are passed over.
    """
    decoder = msgspec.json.Decoder(LogEntry)
    anything = msgspec.json.Decoder(dict)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if anything.decode(line).get("event") != "request":
                yield None
                continue
            entry = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield BrokenLine(number, str(error))
            continue
        if math.isfinite(entry.latency_ms) and entry.latency_ms >= 0:
            yield entry
        else:
            yield BrokenLine(number, f"latency_ms is {entry.latency_ms}")


def summarise(lines: Iterable[bytes]) -> LogSummary:
    """Summarise a log; broken lines are counted, not fatal."""
    entries: list[LogEntry] = []
    broken: list[BrokenLine] = []
    broken_lines = other_lines = 0
    for item in read(lines):
        if isinstance(item, LogEntry):
            entries.append(item)
        elif isinstance(item, BrokenLine):
            broken_lines += 1
            if len(broken) < _SHOWN:
                broken.append(item)
        else:
            other_lines += 1
    answered = [entry for entry in entries if entry.error is None]
    streamed = [entry.time_to_first_token_ms for entry in answered]
    return LogSummary(
        requests=len(entries),
        answered=len(answered),
        latency_ms=_percentiles([entry.latency_ms for entry in answered]),
        time_to_first_token_ms=_percentiles([value for value in streamed if value is not None]),
        median_prompt_characters=percentile([entry.prompt_characters for entry in answered], 0.5),
        median_response_characters=percentile(
            [entry.response_characters for entry in answered], 0.5
        ),
        input_tokens=sum(entry.input_tokens or 0 for entry in entries),
        output_tokens=sum(entry.output_tokens or 0 for entry in entries),
        errors=dict(Counter(entry.error for entry in entries if entry.error is not None)),
        statuses=dict(Counter(entry.status for entry in entries)),
        other_lines=other_lines,
        broken_lines=broken_lines,
        broken=tuple(broken),
    )


def _percentiles(values: Sequence[float]) -> Percentiles:
    return Percentiles(percentile(values, 0.5), percentile(values, 0.95), percentile(values, 0.99))
