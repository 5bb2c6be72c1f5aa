"""A segment's five signals, as the page and the API show them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlencode

from tidegauge.monitoring.view import MonitorView, SegmentView, SilenceInForce
from tidegauge.reports.check_votes import CheckVotes, check_votes
from tidegauge.reports.hallucination_rate import (
    ContextCounts,
    Hallucination,
    context_counts,
    hallucinations,
)
from tidegauge.reports.quality import Estimator, Judged, quality
from tidegauge.reports.sparkline import Sparkline, sparkline
from tidegauge.reports.standing import EvidenceStanding, Standing, evidence, overall, standing
from tidegauge.reports.text import clip
from tidegauge.reports.vitals import Cost, Errors, Timing, cost, errors, timings
from tidegauge.schemas.findings import Signal, Verdict
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Sketch, SketchKind

__all__ = [
    "SIGNALS",
    "MonitorLine",
    "Name",
    "SegmentPage",
    "alarm_query",
    "describe",
    "monitor_line",
    "name",
    "query",
    "silence_of",
]

SIGNALS: Final[Mapping[Signal, str]] = {
    "latency": "Latency",
    "quality": "Quality",
    "drift": "Drift",
    "errors": "Errors",
    "cost": "Cost",
}
"""The five signals and their titles, in the page's order."""

EVERYTHING: Final = "all traffic"
"""Name of the segment that has no model: the pipeline's own monitors watch it."""

_SENTENCE = 900


@dataclass(frozen=True, slots=True)
class Name:
    """A segment's name for people.

    Attributes:
        model: The model.
        details: Version, route and customer, as far as it has them.
        text: All of it on one line.
        query: Query string of its page.
    """

    model: str
    details: tuple[str, ...]
    text: str
    query: str


@dataclass(frozen=True, slots=True)
class MonitorLine:
    """One monitor's latest verdict.

    Attributes:
        verdict: The verdict.
        standing: Its state, for people.
        evidence: How far it is from an alarm; None where it tests nothing.
        sentence: What it says; empty where the line before has said it.
        wider: Name of the wider segment that it watches, empty for this one.
        silence: The silence in force, if any.
        query: Query string of its own page.
    """

    verdict: Verdict
    standing: Standing
    evidence: EvidenceStanding | None
    sentence: str
    wider: str
    silence: SilenceInForce | None
    query: str


@dataclass(frozen=True, slots=True)
class SegmentPage:
    """One segment.

    Attributes:
        segment: Which.
        name: For people.
        first_ms: Start of its first window.
        last_ms: End of its last window with events.
        quiet_ms: How long ago that was.
        requests: Responses in the display range.
        total_requests: Responses since the monitor's state began.
        signals: Signal -> what its monitors say together; None without a monitor.
        monitors: Signal -> its monitors, in order of name.
        timings: Latencies of the display range.
        errors: Failures of the display range.
        cost: Cost of the display range.
        total_cost: Cost since the monitor's state began.
        judged: Judges' scores of the display range.
        hallucinations: Shares of answers that their context does not support, by what checked them.
        context: Answers of the display range by what is known of their context.
        votes: Rates of checks that judges vote on, corrected by their votes.
        latency_trend: P95 of the latency over the display range.
        error_trend: Share of failed requests.
        cost_trend: Dollars per request.
        score_trends: Judge and score -> weighted means.
    """

    segment: Segment
    name: Name
    first_ms: int
    last_ms: int
    quiet_ms: int
    requests: int
    total_requests: int
    signals: Mapping[Signal, Standing | None]
    monitors: Mapping[Signal, tuple[MonitorLine, ...]]
    timings: tuple[Timing, ...]
    errors: Errors | None
    cost: Cost | None
    total_cost: Cost | None
    judged: tuple[Judged, ...]
    hallucinations: tuple[Hallucination, ...]
    context: ContextCounts | None
    votes: tuple[CheckVotes, ...]
    latency_trend: Sparkline
    error_trend: Sparkline
    cost_trend: Sparkline
    score_trends: Mapping[str, Sparkline]

    @property
    def leading(self) -> Judged | None:
        """The first judge that may alarm and has a score, None without one."""
        return next((judge for judge in self.judged if judge.qualified and judge.scores), None)


def query(segment: Segment) -> str:
    """Return a segment as a query string; nothing of it becomes part of a path."""
    fields = {
        "model": segment.model,
        "version": segment.version,
        "route": segment.route,
        "customer": segment.customer,
    }
    return urlencode({key: value for key, value in fields.items() if value})


def alarm_query(monitor: str, segment: Segment) -> str:
    """Return the query string of a monitor's page for a segment."""
    return urlencode({"monitor": monitor, "segment": segment.key})


def name(segment: Segment) -> Name:
    """Return a segment's name for people."""
    details = (
        segment.version,
        segment.route,
        f"customer {segment.customer}" if segment.customer else "",
    )
    shown = tuple(clip(item, 60) for item in details if item)
    model = clip(segment.model, 60) or EVERYTHING
    return Name(model, shown, " \N{MIDDLE DOT} ".join((model, *shown)), query(segment))


def silence_of(verdict: Verdict, silences: Sequence[SilenceInForce]) -> SilenceInForce | None:
    """Return the silence that a monitor is under; its names may be patterns."""
    for item in silences:
        if fnmatchcase(verdict.monitor, item.monitor) and fnmatchcase(
            verdict.segment.key, item.segment
        ):
            return item
    return None


def monitor_line(
    verdict: Verdict, segment: Segment, silences: Sequence[SilenceInForce] = ()
) -> MonitorLine:
    """Return one monitor's verdict as it concerns a segment."""
    return MonitorLine(
        verdict=verdict,
        standing=standing(verdict.state),
        evidence=evidence(verdict),
        sentence=clip(verdict.sentence, _SENTENCE),
        wider="" if verdict.segment == segment else name(verdict.segment).text,
        silence=silence_of(verdict, silences),
        query=alarm_query(verdict.monitor, verdict.segment),
    )


def describe(found: SegmentView, view: MonitorView, estimator: Estimator) -> SegmentPage:
    """Return everything that there is to say of one segment.

    Args:
        found: The segment.
        view: The whole, for the verdicts.
        estimator: Computes the judges' means.
    """
    segment = found.segment
    concerned = sorted(view.verdicts_on(segment), key=lambda v: (v.monitor, v.segment))
    monitors = {
        signal: _once(
            monitor_line(verdict, segment, view.silences)
            for verdict in concerned
            if verdict.signal == signal
        )
        for signal in SIGNALS
    }
    vitals, total = found.display_range.get("vitals"), found.total.get("vitals")
    judged = found.display_range.get("quality")
    signals = {}
    for signal, lines in monitors.items():
        state = overall(line.verdict.state for line in lines)
        signals[signal] = standing(state) if state else None
    trend = found.trend
    scores = sorted({key for point in trend for key in point.scores})
    return SegmentPage(
        segment=segment,
        name=name(segment),
        first_ms=found.first_ms,
        last_ms=found.last_ms,
        quiet_ms=max(0, view.time_ms - found.last_ms),
        requests=vitals.events if vitals else 0,
        total_requests=total.events if total else 0,
        signals=signals,
        monitors=monitors,
        timings=timings(vitals) if vitals else (),
        errors=errors(vitals) if vitals else None,
        cost=cost(vitals) if vitals else None,
        total_cost=cost(total) if total else None,
        judged=_judged(found.display_range, vitals, estimator),
        hallucinations=hallucinations(judged) if judged else (),
        context=context_counts(judged) if judged else None,
        votes=check_votes(judged, vitals) if judged and vitals else (),
        latency_trend=sparkline([point.latency_p95_ms for point in trend]),
        error_trend=sparkline([p.errors / p.requests if p.requests else None for p in trend]),
        cost_trend=sparkline([p.cost_usd / p.requests if p.requests else None for p in trend]),
        score_trends={
            key: sparkline([point.scores.get(key) for point in trend], from_zero=False)
            for key in scores
        },
    )


def _once(lines: Iterable[MonitorLine]) -> tuple[MonitorLine, ...]:
    """Return the lines; what one has said, the next need not repeat."""
    said: set[str] = set()
    found = []
    for line in lines:
        found.append(replace(line, sentence="") if line.sentence in said else line)
        said.add(line.sentence)
    return tuple(found)


def _judged(
    display_range: Mapping[SketchKind, Sketch], vitals: Sketch | None, estimator: Estimator
) -> tuple[Judged, ...]:
    found = display_range.get("quality")
    if found is None:
        return ()
    return quality(found, vitals.events if vitals else None, estimator)
