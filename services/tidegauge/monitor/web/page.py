"""The overview page as one value, made from a ``MonitorView``. Pure: the clock is passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tidegauge.monitor.web.alarms import AlarmLine, ChangeLine, alarm_lines, change_line
from tidegauge.monitor.web.segments import (
    SIGNALS,
    MonitorLine,
    Name,
    SegmentPage,
    describe,
    monitor_line,
    name,
)
from tidegauge.monitoring.view import BaselineInUse, MonitorView, VersionComparisonView
from tidegauge.reports.drift_card import Card, card
from tidegauge.reports.formatting import duration, moment
from tidegauge.reports.quality import Estimator
from tidegauge.reports.standing import ALARMS, promise
from tidegauge.reports.text import plain
from tidegauge.schemas import measures
from tidegauge.schemas.findings import State
from tidegauge.schemas.sketches import Progress

__all__ = [
    "CardLine",
    "Headline",
    "Page",
    "PageLimits",
    "SwapLine",
    "WorkerLine",
    "page",
]

_STALE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class PageLimits:
    """How much of everything a page shows at most.

    Attributes:
        details: Segments shown in full; alarming ones come first.
        cards: Verdicts shown in full.
        history: Changes of state.
        quote: Characters of an exemplar.
    """

    details: int = 8
    cards: int = 6
    history: int = 30
    quote: int = 240


@dataclass(frozen=True, slots=True)
class Headline:
    """What the overview page says first.

    Attributes:
        tone: ``critical``, ``warn``, ``info``, ``ok`` or ``quiet``.
        title: A few words.
        sentences: What else to know before reading on.
    """

    tone: str
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CardLine:
    """A verdict of drift in full, whether it alarms or not."""

    line: MonitorLine
    name: Name
    card: Card


@dataclass(frozen=True, slots=True)
class SwapLine:
    """A new version compared with the one before."""

    swap: VersionComparisonView
    old: Name
    new: Name
    since: str
    sentence: str


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """How far a worker is in one partition."""

    progress: Progress
    behind_seconds: float
    heard_seconds: float
    late: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page.

    Attributes:
        view: What it was made from.
        now_ms: When it was made.
        headline: What the page says first.
        alarms: The firing alerts, the most severe first.
        segments: Every segment, alarming ones first, the busiest of the rest next.
        details: Those of them that are shown in full.
        cards: What is known of drift, alarming or not.
        not_tested: Reason -> requests that are not tested for drift, the most frequent first.
        swaps: Version comparisons, newest first.
        changes: State changes, newest first; a first state counts only if it is an alarm.
        pipeline: Verdicts of the monitors of the pipeline itself.
        workers: Progress, late ones first.
        baselines: Baselines in force.
        promise: The deployment's promise.
        display_range: Length of the display range, in words.
    """

    view: MonitorView
    now_ms: int
    headline: Headline
    alarms: tuple[AlarmLine, ...]
    segments: tuple[SegmentPage, ...]
    details: tuple[SegmentPage, ...]
    cards: tuple[CardLine, ...]
    not_tested: dict[str, int]
    swaps: tuple[SwapLine, ...]
    changes: tuple[ChangeLine, ...]
    pipeline: tuple[MonitorLine, ...]
    workers: tuple[WorkerLine, ...]
    baselines: tuple[BaselineInUse, ...]
    promise: str
    display_range: str


def page(
    view: MonitorView,
    *,
    now_ms: int,
    false_alarm_days: float,
    estimator: Estimator,
    limits: PageLimits | None = None,
) -> Page:
    """Return the page of a view.

    Args:
        view: What the monitor knows.
        now_ms: The reader's moment.
        false_alarm_days: The deployment's promise.
        estimator: Computes the judges' means.
        limits: How much to show at most.
    """
    most = limits or PageLimits()
    segments = sorted(
        (describe(found, view, estimator) for found in view.segments),
        key=lambda item: (not item.alarming, -item.requests, item.segment),
    )
    alarms = alarm_lines(
        view, now_ms=now_ms, false_alarm_days=false_alarm_days, quote_limit=most.quote
    )
    workers = _workers(view, now_ms)
    return Page(
        view=view,
        now_ms=now_ms,
        headline=_headline(view, alarms, workers, now_ms),
        alarms=alarms,
        segments=tuple(segments),
        details=tuple(segments[: most.details]),
        cards=_cards(view, now_ms, false_alarm_days, most),
        not_tested=_not_tested(view),
        swaps=tuple(_swap(swap, now_ms) for swap in reversed(view.version_comparisons)),
        changes=_changes(view, now_ms, most.history),
        pipeline=tuple(
            monitor_line(verdict, verdict.segment, view.silences)
            for verdict in sorted(view.verdicts, key=lambda v: (v.monitor, v.segment))
            if verdict.signal == "pipeline"
        ),
        workers=workers,
        baselines=view.baselines,
        promise=promise(false_alarm_days),
        display_range=duration(view.display_range_ms / 1000),
    )


def _changes(view: MonitorView, now_ms: int, most: int) -> tuple[ChangeLine, ...]:
    """Return the newest changes; a monitor's first state is one only if it is an alarm."""
    found = [item for item in view.history if item.before is not None or item.after in ALARMS]
    newest = sorted(found, key=lambda item: item.time_ms, reverse=True)
    return tuple(change_line(item, now_ms) for item in newest[:most])


def _headline(
    view: MonitorView, alarms: Sequence[AlarmLine], workers: Sequence[WorkerLine], now_ms: int
) -> Headline:
    states = [verdict.state for verdict in view.verdicts if verdict.signal in SIGNALS]
    testing = sum(state in ALARMS or state == State.OK for state in states)
    troubles = _troubles(view, workers, now_ms)
    blind = _blind(states)
    alerting = [line for line in alarms if line.alert.severity != "info"]
    if alerting:
        critical = any(line.alert.severity == "critical" for line in alerting)
        number = f"{len(alerting)} alarm{'s' if len(alerting) > 1 else ''}"
        return Headline("critical" if critical else "warn", number, (*troubles, *blind))
    if not view.segments:
        said = "No window has closed yet: check that traffic reaches the workers."
        return Headline("quiet", "Nothing measured yet", (said, *troubles, *blind))
    if not testing:
        said = "Nothing is tested at the moment, so nothing can alarm."
        return Headline("quiet", "No alarm is possible", (said, *troubles, *blind))
    said = f"{testing} of {len(states)} monitors are testing and find no significant change."
    notes = (said, *troubles, *blind)
    if troubles:
        return Headline("warn", "No alarm", notes)
    if 2 * testing < len(states):
        return Headline("quiet", "No alarm, but little is tested", notes)
    return Headline("ok", "No alarm", notes)


def _troubles(view: MonitorView, workers: Sequence[WorkerLine], now_ms: int) -> tuple[str, ...]:
    """Return reasons to doubt everything else on the page."""
    notes = []
    if not view.ledger.balanced:
        notes.append("The ledger does not balance: events are missing, see Pipeline.")
    if workers and workers[0].late:
        worst = workers[0]
        behind = duration(max(worst.behind_seconds, worst.heard_seconds))
        notes.append(
            f"The {plain(worst.progress.kind)} worker is {behind} behind: this page may be old."
        )
    still = (now_ms - view.time_ms) / 1000
    if view.time_ms and still > _STALE_SECONDS:
        notes.append(f"The monitor has made no progress for {duration(still)}.")
    return tuple(notes)


def _blind(states: Sequence[State]) -> tuple[str, ...]:
    """Return how many monitors cannot test, and why."""
    reasons = (
        (State.NO_BASELINE, "have no baseline"),
        (State.REFUSED, "can promise nothing on their baseline"),
        (State.NO_DATA, "have no recent data"),
        (State.LOW_DATA, "have too few events yet"),
        (State.UNQUALIFIED, "use a judge that is not qualified"),
    )
    return tuple(
        f"{states.count(state)} of {len(states)} monitors {words}."
        for state, words in reasons
        if state in states
    )


def _cards(view: MonitorView, now_ms: int, days: float, most: PageLimits) -> tuple[CardLine, ...]:
    verdicts = sorted(
        (verdict for verdict in view.verdicts if verdict.signal == "drift"),
        key=lambda v: (v.state not in ALARMS, -(v.log_statistic or 0.0), v.monitor, v.segment),
    )
    return tuple(
        CardLine(
            line=monitor_line(verdict, verdict.segment, view.silences),
            name=name(verdict.segment),
            card=card(verdict, now_ms=now_ms, false_alarm_days=days, quote_limit=most.quote),
        )
        for verdict in verdicts[: most.cards]
    )


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


def _swap(swap: VersionComparisonView, now_ms: int) -> SwapLine:
    old, new = name(swap.old), name(swap.new)
    by_outcome = {
        outcome: [item.metric for item in swap.metrics if item.outcome == outcome]
        for outcome in ("worse", "better", "not worse", "undecided")
    }
    parts = [
        f"{outcome} in {', '.join(plain(measure) for measure in found)}"
        for outcome, found in by_outcome.items()
        if found
    ]
    versions = (
        f"{plain(swap.new.version) or new.text} against {plain(swap.old.version) or old.text}"
    )
    return SwapLine(
        swap=swap,
        old=old,
        new=new,
        since=moment(swap.since_ms, now_ms),
        sentence=f"{versions}: {'; '.join(parts)}." if parts else f"{versions}: no metric yet.",
    )


def _workers(view: MonitorView, now_ms: int) -> tuple[WorkerLine, ...]:
    ahead = {line.kind: line.in_flight for line in view.ledger.deliveries}
    lines = []
    for item in view.progress:
        behind = max(0.0, (now_ms - item.watermark_ms) / 1000) if item.watermark_ms > 0 else 0.0
        heard = max(0.0, (now_ms - item.time_ms) / 1000)
        # Without traffic a watermark stands still, and nobody is late.
        late = heard > _STALE_SECONDS or (behind > _STALE_SECONDS and ahead.get(item.kind, 0) > 0)
        lines.append(WorkerLine(item, behind, heard, late))
    return tuple(sorted(lines, key=lambda w: (not w.late, w.progress.kind, w.progress.partition)))
