"""Replaying: a stretch of the past, judged again with other baselines, embedders or judges."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rerun import ActiveBaselines, in_order, replay_events, replay_sketches
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import DecodeError, Topic, decode, encode
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import Progress, Sketch, SketchKind
from tidegauge.schemas.topics import REQUESTS, RESPONSES, SKETCHES
from tidegauge.streaming.extractor import Extractor
from tidegauge.streaming.processor import Output, Record
from tidegauge.usecases.errors import ReplayError
from tidegauge.usecases.references import LogBaselines
from tidegauge.usecases.time_range import TimeRange
from tidegauge.vitals.extractor import VitalsExtractor
from tidegauge.workers.drift.extractor import DriftExtractor
from tidegauge.workers.drift.follower import refusal
from tidegauge.workers.drift.settings import DriftSettings
from tidegauge.workers.judge.main import make_extractor, make_judge_pool
from tidegauge.workers.judge.settings import JudgeSettings
from tidegauge.workers.vitals.settings import VitalsSettings

__all__ = ["NO_BASELINE", "ReplayResult", "replay"]

NO_BASELINE: Final = "none"
"""In place of a baseline's id: judge without one."""

_JUDGING_SECONDS: Final = 3_600.0


@dataclass(slots=True)
class ReplayResult:
    """What the monitor says of the past.

    Attributes:
        verdicts: Verdicts written.
        alerts: Alerts raised and resolved, in order.
        standing: The last verdict of each monitor and segment.
    """

    verdicts: int = 0
    alerts: list[Alert] = field(default_factory=list)
    standing: tuple[Verdict, ...] = ()


def replay(  # noqa: PLR0913 - what, with what, and where to
    kafka: KafkaSettings,
    plan: MonitorPlan,
    period: TimeRange,
    *,
    baselines: Mapping[BaselineKind, str],
    measure: Collection[SketchKind],
    out: Path,
    progress: Callable[[], None],
) -> ReplayResult:
    """Judge a stretch of the past again; nothing is written to the log.

    Workers' sketches are taken from the log, but for the kinds that are measured again from
    the events, with the embedder and the judges of the environment's settings.

    Args:
        kafka: How to reach Kafka.
        plan: The monitor's plan.
        period: The stretch.
        baselines: Kind -> id; empty for the one in force, ``NO_BASELINE`` for none.
        measure: Kinds to measure again.
        out: File for all verdicts and alerts, as JSON lines; replaced when all is done.
        progress: Called for each record of a sketch.

    Raises:
        ReplayError: The stretch is empty, or the choices do not fit together.
        TidegaugeError: The log cannot be read, or there is no such baseline or embedder.
    """
    if period.start_ms >= period.end_ms:
        raise ReplayError(f"the stretch {period} is empty: its start must lie before its end")
    in_use = _baselines(kafka, baselines)
    known = {state.topic.name: state.partitions for state in list_topics(kafka)}
    partitions = {name: known.get(name) or number for name, number in plan.partitions.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    result = ReplayResult()
    with ExitStack() as stack, part.open("wb") as file:
        stack.callback(part.unlink, missing_ok=True)

        def take(output: Output) -> None:
            file.write(encode(output.event) + b"\n")
            if isinstance(output.event, Alert):
                result.alerts.append(output.event)
            elif isinstance(output.event, Verdict):
                result.verdicts += 1

        again = [
            _measured_again(kafka, kind, period, in_use, stack) for kind in dict.fromkeys(measure)
        ]
        kept = _sketches(kafka, period, measure)
        records = _counted(in_order([kept, *again]), progress)
        view = replay_sketches(replace(plan, partitions=partitions), in_use, records, take)
        file.flush()
        part.replace(out)
    result.standing = tuple(view.verdicts)
    return result


def _baselines(kafka: KafkaSettings, named: Mapping[BaselineKind, str]) -> ActiveBaselines:
    documents = LogBaselines(kafka)
    chosen = {kind: name or documents.active(kind) for kind, name in named.items()}
    return {
        kind: (baseline_id, documents.references(kind, baseline_id))
        for kind, baseline_id in chosen.items()
        if baseline_id is not None and baseline_id != NO_BASELINE
    }


def _measured_again(
    kafka: KafkaSettings,
    kind: SketchKind,
    period: TimeRange,
    in_use: ActiveBaselines,
    stack: ExitStack,
) -> Iterator[Record]:
    """Return the records of a kind's sketches, measured again."""
    topic = REQUESTS if kind == "drift" else RESPONSES
    records = in_order(_by_partition(kafka, topic, period))
    sketching = load(VitalsSettings).sketching()
    group = f"replay-{kind}"
    if kind == "vitals":
        return replay_events(VitalsExtractor(), group, sketching, records)
    if kind == "quality":
        extractor = stack.enter_context(_quality_extractor())
        return replay_events(extractor, group, sketching, records)
    if "drift" not in in_use:
        raise ReplayError("--measure drift needs a baseline of drift: name one by --drift")
    return replay_events(_drift_extractor(kafka, in_use["drift"][0]), group, sketching, records)


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


def _sketches(
    kafka: KafkaSettings, period: TimeRange, left_out: Collection[SketchKind]
) -> Iterator[Record]:
    """Yield the log's own sketches, but for the kinds that are measured again."""
    for record in reader.read(kafka, SKETCHES, start_ms=period.start_ms, end_ms=period.end_ms):
        try:
            event: Sketch | Progress = decode(record.value, Sketch, Progress)
        except DecodeError:
            continue  # the monitor reports such a record as a dead letter
        if event.kind not in left_out:
            yield record


def _counted(records: Iterator[Record], progress: Callable[[], None]) -> Iterator[Record]:
    for record in records:
        yield record
        progress()
