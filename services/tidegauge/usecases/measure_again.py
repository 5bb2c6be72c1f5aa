"""Measuring a stretch of the past again, with the embedder and the judges of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.monitoring.rerun import EventPosition, EventReplay, in_order
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import Topic
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.sketches import SketchKind
from tidegauge.schemas.topics import REQUESTS, RESPONSES, SKETCHES
from tidegauge.streaming.extractor import Extractor
from tidegauge.streaming.processor import Partition, Record
from tidegauge.usecases.errors import ReplayError
from tidegauge.usecases.replay_folder import Step
from tidegauge.usecases.time_range import TimeRange
from tidegauge.vitals.extractor import VitalsExtractor
from tidegauge.workers.drift.extractor import DriftExtractor
from tidegauge.workers.drift.follower import refusal
from tidegauge.workers.drift.settings import DriftSettings
from tidegauge.workers.judge.main import make_extractor, make_judge_pool
from tidegauge.workers.judge.settings import JudgeSettings
from tidegauge.workers.vitals.settings import VitalsSettings

__all__ = ["measure_again", "measured", "settings_of"]

_JUDGING_SECONDS: Final = 3_600.0
_PARTITIONS: Final[dict[SketchKind, int]] = {"drift": 1, "vitals": 2, "quality": 3}
"""Kind -> index of the partition in which its records are told from the log's own, which is 0."""

_line = msgspec.json.Decoder(tuple[int, msgspec.Raw])


def settings_of(kind: SketchKind) -> str:
    """Return every setting that measuring a kind depends on, to be compared."""
    settings: dict[SketchKind, Callable[[], object]] = {
        "drift": lambda: load(DriftSettings),
        "vitals": lambda: load(VitalsSettings),
        "quality": lambda: load(JudgeSettings),
    }
    return repr(settings[kind]())


def measure_again(  # noqa: PLR0913 - what, with what, and where to
    kafka: KafkaSettings,
    kind: SketchKind,
    period: TimeRange,
    step: Step[EventPosition],
    *,
    drift_baseline: str | None,
    progress: Callable[[int], None],
    due: Callable[[], bool],
) -> None:
    """Measure a kind's events again, into a step's file, from where the step has got to.

    Args:
        kafka: How to reach Kafka.
        kind: What to measure.
        period: The stretch.
        step: Takes the sketches.
        drift_baseline: The baseline of drift to project with; only for drift.
        progress: Called with the time that has been reached, Unix milliseconds.
        due: Whether it is time to save the position.

    Raises:
        TidegaugeError: The log cannot be read, or the baseline or the embedder cannot be used.
    """
    records = in_order(_by_partition(kafka, REQUESTS if kind == "drift" else RESPONSES, period))
    sketching = load(VitalsSettings).sketching()
    with _extractor(kafka, kind, drift_baseline) as extractor, step.appending():
        replay: EventReplay[Any] = EventReplay(
            extractor, f"replay-{kind}", sketching, step.position
        )
        for part in replay.sketch(records):
            for record in part:
                step.write(b"[%d,%b]" % (record.timestamp_ms, record.value))
            if due():
                position = replay.position
                step.save(position)
                progress(position.now_ms)
        step.save(replay.position, done=True)


def measured(kind: SketchKind, step: Step[EventPosition]) -> Iterator[Record]:
    """Yield the records that a step has measured."""
    partition = Partition(SKETCHES.name, _PARTITIONS[kind])
    with step.path.open("rb") as file:
        for number, line in enumerate(file):
            time_ms, event = _line.decode(line)
            yield Record(partition, number, bytes(event), timestamp_ms=time_ms)


@contextmanager
def _extractor(
    kafka: KafkaSettings, kind: SketchKind, drift_baseline: str | None
) -> Iterator[Extractor[Any]]:
    if kind == "vitals":
        yield VitalsExtractor()
    elif kind == "quality":
        with _quality_extractor() as extractor:
            yield extractor
    elif drift_baseline is None:
        raise ReplayError("--measure drift needs a baseline of drift: name one by --drift")
    else:
        yield _drift_extractor(kafka, drift_baseline)


def _drift_extractor(kafka: KafkaSettings, baseline_id: str) -> DriftExtractor:
    settings = load(DriftSettings)
    baseline = DriftBaseline.from_bytes(BaselineStore(kafka).load(baseline_id), baseline_id)
    embedder = open_embedder(
        settings.model,
        backend=settings.backend,
        most_tokens=settings.most_tokens,
        threads=settings.threads,
    )
    reason = refusal(baseline, embedder.fingerprint, settings.preparation())
    if reason is not None:
        raise ReplayError(
            f"baseline {baseline_id} cannot be used ({reason}): set TIDEGAUGE_DRIFT_MODEL, "
            "_BACKEND, _MOST_TOKENS, _SELECTION and _MOST_CHARACTERS to what it was built "
            "with, or name another by --drift"
        )
    extractor = DriftExtractor(
        embedder,
        settings.preparation(),
        window_ms=settings.sketching().window_ms,
        publish_vectors=False,
    )
    extractor.use(baseline)
    return extractor


@contextmanager
def _quality_extractor() -> Iterator[Extractor[ResponseEvent]]:
    """Yield an extractor that asks the judges however old answers are, and waits for them."""
    settings = load(JudgeSettings).model_copy(
        update={"max_age_seconds": 0.0, "deadline_seconds": _JUDGING_SECONDS}
    )
    pool = make_judge_pool(settings)
    pool.start()
    try:
        yield make_extractor(settings, pool)
    finally:
        pool.close()


def _by_partition(
    kafka: KafkaSettings, topic: Topic, period: TimeRange
) -> Iterator[Iterator[Record]]:
    known = next(state.partitions for state in list_topics(kafka) if state.topic.name == topic.name)
    for index in range(known or 0):
        yield reader.read(
            kafka, topic, start_ms=period.start_ms, end_ms=period.end_ms, partitions=[index]
        )
