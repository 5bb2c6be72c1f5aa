"""What the monitor accepts of workers and producers: counts that can be, and times near its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

import msgspec

from tidegauge.schemas import DecodeError, DecodeReason
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.sketches import Histogram, Moments, Progress, Sketch

__all__ = ["AHEAD_MS", "bounded_heartbeat", "check_progress", "check_sketch"]

AHEAD_MS = 600_000
"""How far a time may lie ahead of the monitor's clock."""

_LARGEST = 2**62
_MOST_NAMES = 4_096
_MOST_REASONS = 64
_NAME_CHARACTERS = 512


def check_sketch(sketch: Sketch, now_ms: int) -> None:
    """Check a sketch's counts and times.

    Raises:
        DecodeError: A count is negative or too large, a number not finite, or the window lies
            ahead of the monitor's clock.
    """
    counts = [sketch.sequence, sketch.events, sketch.late, *sketch.hits.values()]
    counts += [*sketch.trials.values(), *_nested(sketch.totals.values())]
    for histograms in (sketch.histograms, *sketch.strata.values()):
        for histogram in histograms.values():
            counts += _histogram_counts(histogram)
    _check_counts(counts)
    if not all(map(_is_possible, sketch.moments.values())):
        raise DecodeError(DecodeReason.INVALID_FIELD, "moments are no sums of finite numbers")
    _check_time("window_start_ms", sketch.window_start_ms, now_ms)


def check_progress(progress: Progress, now_ms: int) -> None:
    """Check a progress's counts and times.

    Raises:
        DecodeError: A count is negative or too large, names are too long or too many, or a time
            lies ahead of the monitor's clock.
    """
    _check_names(progress.tallies, _MOST_NAMES)
    _check_names(progress.totals, _MOST_NAMES)
    _check_names(progress.notices, _MOST_REASONS)
    _check_names([condition.judge for condition in progress.judges], _MOST_REASONS)
    _check_names([condition.detail for condition in progress.judges], _MOST_REASONS)
    counts = [progress.sequence, progress.next_offset, *progress.totals.values()]
    for tally in progress.tallies.values():
        counts += [tally.processed, tally.dead_lettered, tally.repeated, tally.last_sequence]
    _check_counts(counts)
    _check_time("watermark_ms", progress.watermark_ms, now_ms)
    _check_time("time_ms", progress.time_ms, now_ms)


def bounded_heartbeat(heartbeat: Heartbeat, now_ms: int) -> Heartbeat:
    """Check a heartbeat's counts, and return it with a time no later than the monitor's.

    A time that lies further ahead would hide the producer's later heartbeats.

    Raises:
        DecodeError: A count is negative or too large, or names are too long or too many.
    """
    for names in (heartbeat.captured, heartbeat.shipped, heartbeat.dropped):
        _check_names(names, _MOST_REASONS)
    for reasons in heartbeat.dropped.values():
        _check_names(reasons, _MOST_REASONS)
    _check_names([heartbeat.producer_id], 1)
    counts = [heartbeat.served, *heartbeat.captured.values(), *heartbeat.shipped.values()]
    _check_counts([*counts, *_nested(heartbeat.dropped.values())])
    if heartbeat.time_ms <= now_ms + AHEAD_MS:
        return heartbeat
    return msgspec.structs.replace(heartbeat, time_ms=now_ms)


def _check_names(names: Collection[str], most: int) -> None:
    if len(names) > most or any(len(name) > _NAME_CHARACTERS for name in names):
        raise DecodeError(
            DecodeReason.INVALID_FIELD,
            f"there are {len(names)} names, at most {most} of {_NAME_CHARACTERS} characters are "
            "allowed",
        )


def _check_counts(counts: Iterable[int]) -> None:
    for count in counts:
        if not 0 <= count <= _LARGEST:
            raise DecodeError(
                DecodeReason.INVALID_FIELD, f"a count is {count}, not within 0 and {_LARGEST}"
            )


def _check_time(name: str, time_ms: int, now_ms: int) -> None:
    if not 0 <= time_ms <= now_ms + AHEAD_MS:
        raise DecodeError(
            DecodeReason.INVALID_FIELD,
            f"{name} is {time_ms}, the monitor's clock is at {now_ms}: set the clocks right",
        )


def _nested(found: Iterable[dict[str, int]]) -> Iterator[int]:
    for labels in found:
        yield from labels.values()


def _histogram_counts(histogram: Histogram) -> Iterator[int]:
    yield from (histogram.zero, *histogram.positive.values(), *histogram.negative.values())


def _is_possible(moments: Moments) -> bool:
    numbers = (moments.total, moments.squares, moments.least, moments.most)
    return moments.n >= 0 and moments.squares >= 0 and all(map(math.isfinite, numbers))
