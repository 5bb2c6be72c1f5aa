"""Replaying: a stretch of the past, judged again with other baselines, embedders or judges.

Measuring a kind again takes as long as the embedder or the judges need, testing the sketches
minutes. Both go on where they were when they are killed: see ``replay_folder``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rerun import (
    ActiveBaselines,
    EventPosition,
    SketchPosition,
    SketchReplay,
    in_order,
)
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode, encode
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import Progress, Sketch, SketchKind
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.processor import Record
from tidegauge.usecases.errors import ReplayError
from tidegauge.usecases.measure_again import measure_again, measured, settings_of
from tidegauge.usecases.references import LogBaselines
from tidegauge.usecases.replay_folder import ReplayFolder, ReplayRequest, ResolvedRequest, Step
from tidegauge.usecases.time_range import TimeRange, parse_moment

__all__ = ["NO_BASELINE", "ReplayProgress", "ReplayResult", "replay"]

NO_BASELINE: Final = "none"
"""In place of a baseline's id: judge without one."""

_SAVE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a step of a replay has got.

    Attributes:
        step: What it does: ``testing``, or ``measuring drift``.
        share: The part of the stretch that is done, 0 to 1.
    """

    step: str
    share: float


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


class _Tested(msgspec.Struct, frozen=True):
    """The position of testing, and what it has found so far."""

    position: SketchPosition
    verdicts: int
    alerts: list[bytes]


def replay(  # noqa: PLR0913 - what, with what, and where to
    kafka: KafkaSettings,
    plan: MonitorPlan,
    stretch: tuple[str, str],
    *,
    now_ms: int,
    baselines: Mapping[BaselineKind, str],
    measure: Collection[SketchKind],
    out: Path,
    progress: Callable[[ReplayProgress], None],
    resumed: Callable[[TimeRange, Path], None] = lambda *_: None,
    save_seconds: float = _SAVE_SECONDS,
) -> ReplayResult:
    """Judge a stretch of the past again; nothing is written to the log.

    Workers' sketches are taken from the log, but for the kinds that are measured again from
    the events, with the embedder and the judges of the environment's settings. The same arguments
    go on with a replay that did not come to its end, on the stretch and with the baselines of
    before.

    Args:
        kafka: How to reach Kafka.
        plan: The monitor's plan.
        stretch: Start and end, as ``parse_moment`` reads them, or in Unix milliseconds.
        now_ms: The present.
        baselines: Kind -> id; empty for the one in force, ``NO_BASELINE`` for none.
        measure: Kinds to measure again.
        out: File for all verdicts and alerts, as JSON lines; replaced when all is done.
        progress: Called whenever a position has been saved.
        resumed: Called with the stretch and the folder if it goes on with an earlier replay.
        save_seconds: Time between two saved positions.

    Raises:
        ReplayError: The stretch is empty, or the choices do not fit together.
        TidegaugeError: The log cannot be read, or there is no such baseline or embedder.
    """
    kinds = tuple(sorted(set(measure)))
    settings = repr((plan, [settings_of(kind) for kind in kinds]))
    request = ReplayRequest(
        start=stretch[0],
        end=stretch[1],
        baselines=dict(baselines),
        measure=kinds,
        settings=hashlib.sha256(settings.encode()).hexdigest(),
    )
    folder = ReplayFolder(out)
    resolved = folder.begun(request)
    if resolved is None:
        resolved = _resolve(kafka, request, now_ms)
    else:
        resumed(resolved.period, folder.path)
    in_use = _references(kafka, resolved)
    with folder.held(resolved):
        due = _every(save_seconds)
        steps = {kind: folder.step(kind, EventPosition) for kind in kinds}
        for kind, step in steps.items():
            if not step.done:
                measure_again(
                    kafka,
                    kind,
                    resolved.period,
                    step,
                    drift_baseline=resolved.in_use.get("drift"),
                    progress=_shares(f"measuring {kind}", resolved.period, progress),
                    due=due,
                )
        records = in_order(
            [
                _sketches(kafka, resolved.period, kinds),
                *(measured(kind, step) for kind, step in steps.items()),
            ]
        )
        tested = folder.step("verdicts", _Tested)
        known = {state.topic.name: state.partitions for state in list_topics(kafka)}
        partitions = {name: known.get(name) or number for name, number in plan.partitions.items()}
        result = _test(
            replace(plan, partitions=partitions),
            in_use,
            records,
            tested,
            progress=_shares("testing", resolved.period, progress),
            due=due,
        )
        folder.finish(tested.path, out)
    return result


def _resolve(kafka: KafkaSettings, request: ReplayRequest, now_ms: int) -> ResolvedRequest:
    period = TimeRange(_moment(request.start, now_ms), _moment(request.end, now_ms))
    if period.start_ms >= period.end_ms:
        raise ReplayError(f"the stretch {period} is empty: its start must lie before its end")
    documents = LogBaselines(kafka)
    chosen = {kind: name or documents.active(kind) for kind, name in request.baselines.items()}
    in_use = {kind: name for kind, name in chosen.items() if name and name != NO_BASELINE}
    if "drift" in request.measure and "drift" not in in_use:
        raise ReplayError("--measure drift needs a baseline of drift: name one by --drift")
    return ResolvedRequest(
        request=request, start_ms=period.start_ms, end_ms=period.end_ms, in_use=in_use
    )


def _moment(text: str, now_ms: int) -> int:
    return int(text) if text.isdecimal() else parse_moment(text, now_ms)


def _references(kafka: KafkaSettings, resolved: ResolvedRequest) -> ActiveBaselines:
    documents = LogBaselines(kafka)
    return {
        kind: (baseline_id, documents.references(kind, baseline_id))
        for kind, baseline_id in resolved.in_use.items()
    }


def _test(  # noqa: PLR0913 - what, with what, and where to
    plan: MonitorPlan,
    in_use: ActiveBaselines,
    records: Iterator[Record],
    step: Step[_Tested],
    *,
    progress: Callable[[int], None],
    due: Callable[[], bool],
) -> ReplayResult:
    """Test sketches from where the step has got to, and write the verdicts to its file."""
    before = step.position
    monitor = SketchReplay(plan, in_use, before.position if before else None)
    verdicts = before.verdicts if before else 0
    alerts = list(before.alerts) if before else []
    with step.appending():
        for outputs in monitor.test(records):
            for output in outputs:
                line = encode(output.event)
                step.write(line)
                verdicts += isinstance(output.event, Verdict)
                if isinstance(output.event, Alert):
                    alerts.append(line)
            if due():
                step.save(_Tested(monitor.position, verdicts, alerts))
                progress(monitor.view().time_ms)
        step.save(_Tested(monitor.position, verdicts, alerts), done=True)
    return ReplayResult(
        verdicts=verdicts,
        alerts=[decode(alert, Alert) for alert in alerts],
        standing=tuple(monitor.view().verdicts),
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


def _shares(
    step: str, period: TimeRange, progress: Callable[[ReplayProgress], None]
) -> Callable[[int], None]:
    """Return a function that reports a time that a step has reached as a share of the stretch."""

    def report(now_ms: int) -> None:
        share = (now_ms - period.start_ms) / (period.end_ms - period.start_ms)
        progress(ReplayProgress(step, min(1.0, max(0.0, share))))

    return report


def _every(seconds: float) -> Callable[[], bool]:
    """Return a function that is true once in so many seconds."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < seconds:
            return False
        last = now
        return True

    return due
