"""The first page as one value: status, incidents, segments by signal, pipeline. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.monitor.web.incident_lines import (
    IncidentLine,
    firing_incidents,
    incident_line,
    is_loud,
)
from tidegauge.monitor.web.pipeline_page import PipelineLight, light
from tidegauge.monitor.web.segment_page import SIGNALS, Name, name
from tidegauge.monitoring.incidents import Incident
from tidegauge.monitoring.trends import TrendPoint
from tidegauge.monitoring.view import MonitorView, SegmentView
from tidegauge.reports.formatting import (
    UNKNOWN,
    count,
    dollars,
    duration,
    milliseconds,
    number,
    percent,
)
from tidegauge.reports.sparkline import Sparkline, sparkline
from tidegauge.reports.standing import ALARMS, Standing, Tone, overall, standing
from tidegauge.schemas import measures
from tidegauge.schemas.findings import Signal, State, Verdict
from tidegauge.schemas.segments import Segment
from tidegauge.streaming import histogram

__all__ = ["CHARTED", "Cell", "Headline", "MatrixRow", "Now", "now"]

CHARTED: Final = 24
"""Rows with charts and definitions; the further ones, none of which alarms unless these do, have
numbers."""
_LISTED: Final = 20
"""Incidents that are listed unless one asks for all of them."""
_WIDTH, _HEIGHT = 64, 16


@dataclass(frozen=True, slots=True)
class Headline:
    """What the first page says first.

    Attributes:
        tone: ``critical``, ``warn``, ``info``, ``ok`` or ``quiet``.
        title: A few words.
        sentences: What else to know before reading on.
    """

    tone: Tone
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One signal of one segment.

    Attributes:
        standing: What its monitors say together; None without a monitor.
        value: Its number over the display range, empty without one.
        chart: The same over time, None where it is not drawn.
    """

    standing: Standing | None
    value: str
    chart: Sparkline | None


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One segment with its five signals, in the order of ``SIGNALS``."""

    name: Name
    requests: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Now:
    """The first page.

    Attributes:
        time_ms: When the monitor's state was taken.
        headline: What the page says first.
        incidents: What fires: what is silenced last, the loudest first.
        further: How many incidents more fire.
        rows: Segments: alarming ones first, the busiest of the rest next.
        light: Whether all this can be believed.
        display_range: Length of the display range, in words.
    """

    time_ms: int
    headline: Headline
    incidents: tuple[IncidentLine, ...]
    further: int
    rows: tuple[MatrixRow, ...]
    light: PipelineLight
    display_range: str


def now(view: MonitorView, *, now_ms: int, every_incident: bool = False) -> Now:
    """Return the first page.

    Args:
        view: What the monitor knows.
        now_ms: The reader's moment.
        every_incident: Whether all incidents are listed, however many there are.
    """
    pipeline = light(view, now_ms)
    firing = firing_incidents(view)
    loud = [found for found in firing if is_loud(found, view)]
    first = {found.incident_id for found in loud}
    ranked = [*loud, *(found for found in firing if found.incident_id not in first)]
    listed = ranked if every_incident else ranked[:_LISTED]
    by_segment: dict[Segment, list[Verdict]] = {}
    for verdict in view.verdicts:
        by_segment.setdefault(verdict.segment, []).append(verdict)
    concerned = [(found, _standings(found.segment, by_segment)) for found in view.segments]
    ordered = sorted(
        concerned, key=lambda item: (_order(item[1]), -_requests(item[0]), item[0].segment)
    )
    return Now(
        time_ms=view.time_ms,
        headline=_headline(view, loud, len(firing) - len(loud), pipeline),
        incidents=tuple(incident_line(found, view, now_ms) for found in listed),
        further=len(ranked) - len(listed),
        rows=tuple(
            _row(found, standings, charted=place < CHARTED)
            for place, (found, standings) in enumerate(ordered)
        ),
        light=pipeline,
        display_range=duration(view.display_range_ms / 1000),
    )


def _headline(
    view: MonitorView, loud: Sequence[Incident], quieter: int, pipeline: PipelineLight
) -> Headline:
    states = [verdict.state for verdict in view.verdicts if verdict.signal in SIGNALS]
    testing = sum(state in ALARMS or state == State.OK for state in states)
    blind = _blind(states)
    if loud:
        critical = sum(found.severity == "critical" for found in loud)
        title = f"{len(loud)} incident{'s' if len(loud) > 1 else ''}"
        if critical:
            title += f", {critical} critical"
        if quieter:
            title += f"; {quieter} silenced or minor"
        return Headline("critical" if critical else "warn", title, blind)
    quiet = f", {quieter} silenced or minor" if quieter else ""
    if not view.segments:
        said = "No window has closed yet: check that traffic reaches the workers."
        return Headline("quiet", "Nothing measured yet", (said, *blind))
    if not testing:
        said = "Nothing is tested at the moment, so nothing can alarm."
        return Headline("quiet", "No alarm is possible", (said, *blind))
    said = f"{testing} of {len(states)} monitors are testing and find no significant change."
    if quieter:
        said = f"{testing} of {len(states)} monitors are testing."
    notes = (said, *blind)
    if pipeline.tone == "warn":
        return Headline("warn", f"No alarm{quiet}", notes)
    if 2 * testing < len(states):
        return Headline("quiet", f"No alarm{quiet}, but little is tested", notes)
    return Headline("info" if quieter else "ok", f"No alarm{quiet}", notes)


def _blind(states: Sequence[State]) -> tuple[str, ...]:
    """Return how many monitors cannot test, and why, in one sentence."""
    reasons = (
        (State.NO_BASELINE, "without a baseline"),
        (State.REFUSED, "on a baseline that can promise nothing"),
        (State.NO_DATA, "without recent data"),
        (State.LOW_DATA, "with too few events yet"),
        (State.UNQUALIFIED, "with a judge that is not qualified"),
    )
    found = [f"{states.count(state)} {words}" for state, words in reasons if state in states]
    if not found:
        return ()
    return (f"Not tested, of {len(states)} monitors: {', '.join(found)}.",)


def _standings(
    segment: Segment, by_segment: Mapping[Segment, Sequence[Verdict]]
) -> dict[Signal, Standing | None]:
    concerned = [
        verdict
        for wanted in {segment, *segment.parents()}
        for verdict in by_segment.get(wanted, ())
    ]
    found: dict[Signal, Standing | None] = {}
    for signal in SIGNALS:
        state = overall(verdict.state for verdict in concerned if verdict.signal == signal)
        found[signal] = standing(state) if state else None
    return found


def _order(standings: Mapping[Signal, Standing | None]) -> int:
    tones = {item.tone for item in standings.values() if item is not None}
    return next((place for place, tone in enumerate(("critical", "warn")) if tone in tones), 2)


def _requests(found: SegmentView) -> int:
    vitals = found.display_range.get("vitals")
    return vitals.events if vitals else 0


def _row(
    found: SegmentView, standings: Mapping[Signal, Standing | None], *, charted: bool
) -> MatrixRow:
    values = _values(found)
    charts = _charts(found.trend) if charted else {}
    return MatrixRow(
        name=name(found.segment),
        requests=count(_requests(found)),
        cells=tuple(
            Cell(standings[signal], values.get(signal, ""), charts.get(signal))
            for signal in SIGNALS
        ),
    )


def _values(found: SegmentView) -> dict[Signal, str]:
    vitals = found.display_range.get("vitals")
    values: dict[Signal, str] = {}
    if vitals is not None:
        latencies = vitals.histograms.get(measures.LATENCY_MS)
        values["latency"] = (
            milliseconds(histogram.quantile(latencies, 0.95)) if latencies else UNKNOWN
        )
        trials = vitals.trials.get(measures.ERROR, vitals.events)
        failed = vitals.hits.get(measures.ERROR, 0)
        values["errors"] = percent(failed / trials if trials else None)
        cost = vitals.moments.get(measures.COST_USD)
        values["cost"] = dollars(cost.total if cost and cost.n else None)
    scores = next((point.scores for point in reversed(found.trend) if point.scores), None)
    if scores:
        values["quality"] = number(scores[min(scores)])
    return values


def _charts(trend: Sequence[TrendPoint]) -> dict[Signal, Sparkline]:
    scored = sorted({key for point in trend for key in point.scores})
    numbers: dict[Signal, list[float | None]] = {
        "latency": [point.latency_p95_ms for point in trend],
        "errors": [p.errors / p.requests if p.requests else None for p in trend],
        "cost": [p.cost_usd / p.requests if p.requests else None for p in trend],
    }
    if scored:
        numbers["quality"] = [point.scores.get(scored[0]) for point in trend]
    drawn = {
        signal: sparkline(values, width=_WIDTH, height=_HEIGHT, from_zero=signal != "quality")
        for signal, values in numbers.items()
    }
    return {signal: line for signal, line in drawn.items() if line.known > 1 and line.most}
