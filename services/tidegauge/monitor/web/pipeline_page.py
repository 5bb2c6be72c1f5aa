"""The pipeline's own state as the pages show it: its light, workers and what is not counted. Pure.

Whoever reads a page has to know first whether the pipeline behind it can be believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.monitor.web.segment_page import MonitorLine, monitor_line
from tidegauge.monitoring.ledger_hours import LedgerHour
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.formatting import count, duration
from tidegauge.reports.standing import Tone
from tidegauge.reports.text import plain
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Progress, SketchKind

__all__ = [
    "WORKERS",
    "HourLine",
    "PipelineLight",
    "PipelinePage",
    "WorkerLine",
    "light",
    "pipeline_page",
]

STALE_SECONDS: Final = 120
"""Age from which what a page shows is called old."""

WORKERS: Final[dict[SketchKind, str]] = {
    "drift": "drift worker",
    "vitals": "vitals worker",
    "quality": "judge worker",
}
"""Kind of sketches -> name of the worker that makes them."""


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """How far a worker is in one partition."""

    progress: Progress
    behind_seconds: float
    heard_seconds: float
    late: bool


@dataclass(frozen=True, slots=True)
class HourLine:
    """An hour of the ledger.

    Attributes:
        hour: Its numbers.
        gaps: What is missing of it, and why; empty where everything is there.
    """

    hour: LedgerHour
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PipelineLight:
    """Whether what the pages say can be believed.

    Attributes:
        tone: Its colour.
        word: A word or two.
        sentences: What is wrong.
    """

    tone: Tone
    word: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PipelinePage:
    """The page of the pipeline itself.

    Attributes:
        light: Whether what the pages say can be believed.
        monitors: Verdicts of the monitors of the pipeline itself.
        workers: Progress, late ones first.
        not_tested: Reason -> requests that are not tested for drift, the most frequent first.
        hours: The ledger's hours, the newest first.
        kinds: Kinds of workers that the ledger knows.
    """

    light: PipelineLight
    monitors: tuple[MonitorLine, ...]
    workers: tuple[WorkerLine, ...]
    not_tested: dict[str, int]
    hours: tuple[HourLine, ...]
    kinds: tuple[SketchKind, ...]


def pipeline_page(view: MonitorView, now_ms: int) -> PipelinePage:
    """Return the page of the pipeline itself.

    Args:
        view: What the monitor knows.
        now_ms: The reader's moment.
    """
    workers = _workers(view, now_ms)
    return PipelinePage(
        light=_light(view, workers, now_ms),
        monitors=tuple(
            monitor_line(verdict, verdict.segment, view.silences)
            for verdict in sorted(view.verdicts, key=lambda v: (v.monitor, v.segment))
            if verdict.signal == "pipeline"
        ),
        workers=workers,
        not_tested=_not_tested(view),
        hours=tuple(HourLine(hour, _gaps(hour)) for hour in reversed(view.ledger_hours)),
        kinds=tuple(kind for kind in WORKERS if kind in {d.kind for d in view.ledger.deliveries}),
    )


def _gaps(hour: LedgerHour) -> tuple[str, ...]:
    """Return what is missing of an hour, and why."""
    gaps = []
    if hour.away_ms:
        gaps.append(f"the monitor did not look for {duration(hour.away_ms / 1000)}")
    for reason, number in hour.dropped.items():
        if number:
            gaps.append(f"{count(number)} not captured ({plain(reason).replace('_', ' ')})")
    counted = (
        (hour.dead_lettered, "dead-lettered"),
        (hour.expired, "expired unread"),
        (hour.missing, "missing at its end"),
    )
    gaps += [f"{count(number)} {what}" for number, what in counted if number]
    if hour.captured:
        gaps += [
            f"the {WORKERS[kind]} processed nothing"
            for kind, number in hour.processed.items()
            if not number and kind in WORKERS
        ]
    return tuple(gaps)


def light(view: MonitorView, now_ms: int) -> PipelineLight:
    """Return whether what the pages say can be believed."""
    return _light(view, _workers(view, now_ms), now_ms)


def _light(view: MonitorView, workers: Sequence[WorkerLine], now_ms: int) -> PipelineLight:
    notes = []
    still = (now_ms - view.time_ms) / 1000
    if view.time_ms and still > STALE_SECONDS:
        notes.append(f"The monitor has made no progress for {duration(still)}.")
    told = [moment_ms for item in view.progress for moment_ms in (item.time_ms, item.watermark_ms)]
    ahead = (max((view.time_ms, *told)) - now_ms) / 1000
    if ahead > STALE_SECONDS:
        notes.append(
            f"What is reported lies {duration(ahead)} ahead of this clock: set the clocks right."
        )
    if workers and workers[0].late:
        worst = workers[0]
        behind = duration(max(worst.behind_seconds, worst.heard_seconds))
        name = WORKERS.get(worst.progress.kind, plain(worst.progress.kind))
        notes.append(f"The {name} is {behind} behind: this page may be old.")
    if not view.ledger.balanced:
        notes.append("The ledger does not balance: events are missing.")
    if notes:
        return PipelineLight("warn", "in doubt", tuple(notes))
    if not view.progress:
        return PipelineLight("quiet", "not heard yet", ("No worker has reported yet.",))
    return PipelineLight("ok", "healthy", ())


def _not_tested(view: MonitorView) -> dict[str, int]:
    prefix = measures.skipped("")
    found: Counter[str] = Counter()
    for item in view.progress:
        if item.kind == "drift":
            found.update(
                {
                    name.removeprefix(prefix): number
                    for name, number in item.totals.items()
                    if name.startswith(prefix)
                }
            )
    return dict(found.most_common())


def _workers(view: MonitorView, now_ms: int) -> tuple[WorkerLine, ...]:
    ahead = {line.kind: line.in_flight for line in view.ledger.deliveries}
    lines = []
    for item in view.progress:
        behind = max(0.0, (now_ms - item.watermark_ms) / 1000) if item.watermark_ms > 0 else 0.0
        heard = max(0.0, (now_ms - item.time_ms) / 1000)
        # Without traffic a watermark stands still, and nobody is late.
        late = heard > STALE_SECONDS or (behind > STALE_SECONDS and ahead.get(item.kind, 0) > 0)
        lines.append(WorkerLine(item, behind, heard, late))
    return tuple(sorted(lines, key=lambda w: (not w.late, w.progress.kind, w.progress.partition)))
