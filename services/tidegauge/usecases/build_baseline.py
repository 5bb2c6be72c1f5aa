"""Building baselines: of drift from past requests, of rates from what workers have counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.detection.seasons import UTC
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.fitting import fit
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rates import FINGERPRINT, RatesBaseline, build_rates_baseline
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.processor import Record
from tidegauge.usecases.past_requests import ReadRequests
from tidegauge.usecases.time_range import check_held
from tidegauge.workers.drift.settings import DriftSettings

__all__ = [
    "FitChoices",
    "build_drift",
    "build_rates",
    "sketches_between",
]

Report = Callable[[str, int], None]
"""Told what is done at present, and how many requests more are embedded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitChoices:
    """What a drift baseline is fitted with.

    Attributes:
        seed: Of the codebook's draws.
        keep_text: Whether terms and examples of each cluster are kept, for people.
        caller_cap: Most requests of a caller in a window; 0 for no cap.
        zone: Time zone of the hours of a day and of a week.
    """

    seed: int = 0
    keep_text: bool = True
    caller_cap: int = 50
    zone: str = UTC


def build_drift(
    found: ReadRequests, settings: DriftSettings, choices: FitChoices, report: Report
) -> DriftBaseline:
    """Embed past requests and fit a baseline of drift; it is not stored.

    Args:
        found: The requests; those without a finite vector are counted as left out.
        settings: Of the embedder and of how texts are made.
        choices: What it is fitted with.
        report: Told of the progress.

    Raises:
        TidegaugeError: The embedder cannot be opened, or the requests are too few.
    """
    report("loading the embedder", 0)
    embedder = open_embedder(
        settings.model,
        backend=settings.backend,
        most_tokens=settings.most_tokens,
        threads=settings.threads,
    )
    vectors = embedder.embed(
        [one.text for one in found.past],
        progress=lambda count: report("embedding", count),
    )
    usable = [bool(np.isfinite(vector).all()) for vector in vectors]
    if without := usable.count(False):
        found.left_out["no vector"] += without
    return fit(
        [one for one, fine in zip(found.past, usable, strict=True) if fine],
        vectors[np.array(usable, np.bool_)],
        embedder=embedder.fingerprint,
        preparation=settings.preparation(),
        rng=np.random.default_rng(choices.seed),
        keep_exemplars=choices.keep_text,
        caller_cap=choices.caller_cap,
        zone=choices.zone,
        progress=lambda what: report(what, 0),
    )


def build_rates(
    settings: KafkaSettings,
    start_ms: int,
    end_ms: int,
    *,
    zone: str = UTC,
    progress: Callable[[int], None] | None = None,
) -> str:
    """Build a baseline of rates from a stretch of time and store it; it is not activated.

    Args:
        settings: How to reach Kafka.
        start_ms: Start of the stretch in event time, Unix milliseconds.
        end_ms: Its end; windows that reach beyond it are left out.
        zone: Time zone of the hours of a day and of a week.
        progress: Told how many records have been read, now and then.

    Returns:
        Its id.

    Raises:
        RatesBaselineError: The stretch is empty or has no responses.
        TimeRangeError: The log does not hold the stretch from its start.
        LogError: The broker does not answer, or there is no such topic.
    """
    if not start_ms < end_ms:
        raise RatesBaselineError(
            f"the stretch of time ends ({end_ms}) before it starts ({start_ms})"
        )
    records = reader.read(settings, SKETCHES, start_ms=start_ms)
    found = sketches_between(_counted(records, progress), start_ms, end_ms)
    baseline = build_rates_baseline(found, zone=zone)
    check_held(start_ms, end_ms, baseline.from_ms)
    return _publish(settings, baseline)


def sketches_between(records: Iterable[Record], start_ms: int, end_ms: int) -> Iterator[Sketch]:
    """Yield the sketches of whole windows in a stretch of event time, each once.

    Args:
        records: Of ``sketches.v1``, in order within each partition.
        start_ms: Start of the stretch.
        end_ms: Its end.
    """
    last: dict[str, int] = {}
    for record in records:
        try:
            event: Sketch | Progress = decode(record.value, Sketch, Progress)
        except DecodeError:
            continue  # the monitor reports such a record as a dead letter
        if event.sequence <= last.get(event.producer_id, 0):
            continue
        last[event.producer_id] = event.sequence
        if isinstance(event, Progress):
            continue
        if start_ms <= event.window_start_ms and event.window_start_ms + event.window_ms <= end_ms:
            yield event


def _counted(records: Iterable[Record], progress: Callable[[int], None] | None) -> Iterator[Record]:
    for number, record in enumerate(records, start=1):
        if progress is not None:
            progress(number)
        yield record


def _publish(settings: KafkaSettings, baseline: RatesBaseline) -> str:
    return BaselineStore(settings).publish(
        "rates", baseline.to_bytes(), FINGERPRINT, baseline.summary()
    )
