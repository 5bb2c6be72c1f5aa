"""Building baselines: of drift from past requests, of rates from what workers have counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.detection.seasons import UTC
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.fitting import check_enough, fit
from tidegauge.monitoring.catalog import DRIFT_FOLLOWUPS
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rate_power import noticed_rises, rise_sentence
from tidegauge.monitoring.rates import FINGERPRINT, RatesBaseline, build_rates_baseline
from tidegauge.reports.reference_text import promise_sentence
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.operations import BaselineKind, BaselineOrigin
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.processor import Record
from tidegauge.usecases.past_requests import ReadRequests
from tidegauge.usecases.references import drift_references
from tidegauge.usecases.stretch import Stretch
from tidegauge.usecases.topic_power import noticed_topics, topic_sentence
from tidegauge.workers.drift.settings import DriftSettings

__all__ = [
    "EmbeddedRequests",
    "FitChoices",
    "Report",
    "build_drift",
    "build_rates",
    "embed_past",
    "publish_baseline",
    "sketches_between",
]

Vectors: TypeAlias = NDArray[np.float32]

_RISES_TOLD = 8
"""Most rises that a manifest tells of: there may be many checks."""
_SHARE_TOLD = 0.1
"""Share of the new topics that a manifest tells of."""

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


@dataclass(frozen=True, slots=True)
class EmbeddedRequests:
    """Past requests with their vectors.

    Attributes:
        past: The requests, n of them.
        vectors: Their unit vectors, shape (n, d).
        embedder: Fingerprint of what made them.
    """

    past: list[HistoricalRequest]
    vectors: Vectors
    embedder: str


def embed_past(found: ReadRequests, settings: DriftSettings, report: Report) -> EmbeddedRequests:
    """Embed past requests.

    Args:
        found: The requests; those without a finite vector are counted as left out.
        settings: Of the embedder.
        report: Told of the progress.

    Raises:
        TidegaugeError: The embedder cannot be opened, or the requests are too few for a baseline.
    """
    check_enough(found.past)
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
    return EmbeddedRequests(
        [one for one, fine in zip(found.past, usable, strict=True) if fine],
        vectors[np.array(usable, np.bool_)],
        embedder.fingerprint,
    )


def build_drift(
    embedded: EmbeddedRequests, settings: DriftSettings, choices: FitChoices, report: Report
) -> DriftBaseline:
    """Fit a baseline of drift to past requests; it is not stored.

    Args:
        embedded: The requests.
        settings: How their texts were made.
        choices: What it is fitted with.
        report: Told of the progress.

    Raises:
        TidegaugeError: The requests are too few.
    """
    return fit(
        embedded.past,
        embedded.vectors,
        embedder=embedded.embedder,
        preparation=settings.preparation(),
        rng=np.random.default_rng(choices.seed),
        keep_exemplars=choices.keep_text,
        caller_cap=choices.caller_cap,
        zone=choices.zone,
        progress=lambda what: report(what, 0),
    )


def build_rates(
    settings: KafkaSettings,
    stretch: Stretch,
    *,
    zone: str = UTC,
    progress: Callable[[int], None] | None = None,
) -> RatesBaseline:
    """Build a baseline of rates from a stretch of time; it is not stored.

    Args:
        settings: How to reach Kafka.
        stretch: The stretch; windows that reach beyond it are left out.
        zone: Time zone of the hours of a day and of a week.
        progress: Told how many records have been read, now and then.

    Raises:
        RatesBaselineError: The stretch is empty or has no responses.
        TimeRangeError: The log does not hold the stretch from its start.
        LogError: The broker does not answer, or there is no such topic.
    """
    if not stretch.start_ms < stretch.end_ms:
        raise RatesBaselineError(
            f"the stretch of time ends ({stretch.end_ms}) before it starts ({stretch.start_ms})"
        )
    first_ms = stretch.end_ms

    def held(records: Iterable[Record]) -> Iterator[Sketch]:
        nonlocal first_ms
        for sketch in sketches_between(records, stretch.start_ms, stretch.end_ms):
            first_ms = min(first_ms, sketch.window_start_ms)
            if not stretch.leaves_out(
                sketch.segment.model,
                sketch.window_start_ms,
                sketch.window_start_ms + sketch.window_ms,
            ):
                yield sketch

    records = reader.read(settings, SKETCHES, start_ms=stretch.start_ms)
    baseline = build_rates_baseline(held(_counted(records, progress)), zone=zone)
    stretch.check_held(first_ms)
    return baseline


def publish_baseline(
    settings: KafkaSettings,
    baseline: RatesBaseline | DriftBaseline,
    origin: BaselineOrigin | None = None,
) -> str:
    """Store a baseline, with what it promises and what it would notice; it is not activated.

    Args:
        settings: How to reach Kafka.
        baseline: The baseline.
        origin: How it came to be; built by a person if None.

    Returns:
        Its id.

    Raises:
        LogError: The broker does not answer, or did not accept the records.
    """
    kind: BaselineKind
    if isinstance(baseline, RatesBaseline):
        kind, fingerprint, (promise, power) = "rates", FINGERPRINT, _rates_told(baseline)
    else:
        kind, fingerprint, (promise, power) = "drift", baseline.fingerprint, _drift_told(baseline)
    summary = baseline.summary() | {"promise": promise, "power": power}
    return BaselineStore(settings).publish(kind, baseline.to_bytes(), fingerprint, summary, origin)


def _rates_told(baseline: RatesBaseline) -> tuple[str, str]:
    """Return what a baseline promises, and how soon rises would be noticed."""
    missing: dict[str, str] = {}
    for place, why in baseline.left_out.items():
        missing.setdefault(place.partition(" ")[0], why)
    span_ms = baseline.to_ms - baseline.from_ms
    rises = noticed_rises(baseline.references, span_ms)[:_RISES_TOLD]
    promise = promise_sentence(baseline.references, missing, span_ms)
    return promise, " ".join(map(rise_sentence, rises))


def _drift_told(baseline: DriftBaseline) -> tuple[str, str]:
    """Return what a baseline promises, and how soon new topics would be noticed."""
    facts = baseline.facts
    missing = {DRIFT_FOLLOWUPS.name: baseline.no_followups} if baseline.no_followups else {}
    span_ms = facts["to_ms"] - facts["from_ms"] if "from_ms" in facts else None
    promise = promise_sentence(drift_references(baseline), missing, span_ms)
    told = [one for one in noticed_topics(baseline) if one.share == _SHARE_TOLD]
    return promise, " ".join(f"{said[0].upper()}{said[1:]}" for said in map(topic_sentence, told))


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
