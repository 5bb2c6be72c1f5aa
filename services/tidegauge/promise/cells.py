"""One cell of the measurement: streams of one kind of traffic against one length of baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.errors import DriftError
from tidegauge.monitoring.catalog import DRIFT_TOPICS
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.promise.drawn_conversations import (
    SEGMENT,
    DrawnRange,
    Sources,
    draw_pools,
    draw_requests,
    other_script,
    without_some_topics,
)
from tidegauge.promise.path import (
    Alarm,
    References,
    allowed_alarms,
    drift_baseline,
    drift_sketches,
    first_alarms,
    plugged_in,
    rates_baseline,
    refusals,
)
from tidegauge.promise.response_sketches import response_sketches
from tidegauge.promise.scenarios import (
    BaselineSpan,
    ConversationTraffic,
    ServiceTraffic,
    StreamChange,
)
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.findings import Signal
from tidegauge.schemas.sketches import Sketch
from tidegauge.simulation.rhythm import Recorded
from tidegauge.simulation.service import SimulatedService, exchanges
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.usecases.references import drift_references

__all__ = [
    "StreamOutcome",
    "StreamPlan",
    "conversation_outcomes",
    "service_outcomes",
]

Counts: TypeAlias = NDArray[np.int64]

START_MS = 1_767_571_200_000
"""Monday 2026-01-05, 00:00 UTC."""
_DAY = 86_400.0
_CHANGED_DAYS = 14.0
"""Greatest length of a stream with a change: it ends with its alarms."""
_SPARE = 0.97
"""Part of the scripts that a stream is expected to use: more may be drawn than expected."""
_RATES_MONITORS = ("cost.request", "errors.rate", "latency.first_token", "latency.total")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """One stream.

    Attributes:
        number: Its number: everything is drawn anew for each.
        days: Its greatest length.
        window_ms: Length of a window.
        plugged_in: Whether the usual shortcut is taken: requests are the units, and the
            estimated rates are taken for the truth.
        seed: Of every draw.
    """

    number: int
    days: float
    window_ms: int = 10_000
    plugged_in: bool = False
    seed: int = 0

    def settings(self) -> SketchSettings:
        """Return how its events are sketched."""
        return SketchSettings(window_ms=self.window_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOutcome:
    """What came of one stream.

    Attributes:
        traffic: Name of the traffic.
        baseline: Name of the baseline's length.
        change: What was changed; empty for nothing.
        signal: The signal that the change shows in; empty without a change.
        number: Number of the stream.
        days: Length of the stream.
        refused: Monitor -> why it promises nothing on this baseline.
        allowed: Monitor that promises something -> false alarms that it may raise in the stream.
        alarms: The first alarms of the monitors that promise something; with a change only the
            first alarm of its signal.
        delays: Monitor -> units from the change to the alarm: conversations or requests.
        units: All units of the stream.
    """

    traffic: str
    baseline: str
    change: str
    signal: Signal | Literal[""] = ""
    number: int
    days: float
    refused: dict[str, str] = field(default_factory=dict)
    allowed: dict[str, float] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    delays: dict[str, int] = field(default_factory=dict)
    units: int


def conversation_outcomes(
    traffic: ConversationTraffic,
    span: BaselineSpan,
    changes: Sequence[StreamChange],
    plan: StreamPlan,
    sources: Sources,
) -> list[StreamOutcome]:
    """Draw a baseline, and test a stream for each change against it.

    Args:
        traffic: The traffic.
        span: Length of the baseline.
        changes: With the first that has new topics, the baseline lacks some topics.
        plan: The streams.
        sources: What they are drawn from.
    """
    # Openings and whole conversations lack the same topics and open at the same moments with the
    # same words, so that their delays can be compared.
    names = changes[0].name or f"{traffic.name}/{span.name}"
    rng = np.random.default_rng([plan.seed, plan.number, *names.encode()])
    pools = draw_pools(traffic, sources, rng)
    if changes[0].new_topics:
        pools = without_some_topics(pools, rng)
    per_day = max(traffic.rhythm.per_day, traffic.fewest / span.seconds * _DAY)
    past = DrawnRange(START_MS, span.seconds, per_day)
    known = draw_requests(traffic, (pools.past, [], 0.0), past, sources.recorded, rng)
    baseline: DriftBaseline | str
    try:
        baseline = drift_baseline(
            _units(known.events, plan),
            sources.vectors,
            [plan.seed, plan.number],
            timed=span.timed,
        )
    except DriftError as error:
        baseline = str(error)
    outcomes = []
    for change in changes:
        most = _CHANGED_DAYS if change.name else plan.days
        days = min(most, _SPARE * len(pools.coming) / per_day)
        within = DrawnRange(START_MS + int(span.seconds * 1000), days * _DAY, per_day)
        scripts = (
            (pools.coming, other_script(sources), change.other_script)
            if change.other_script
            else (pools.coming, pools.strange, change.new_topics)
        )
        own = np.random.default_rng([plan.seed, plan.number, *f"{names}/{change.name}".encode()])
        stream = draw_requests(traffic, scripts, within, sources.recorded, own)
        outcome = StreamOutcome(
            traffic=traffic.name,
            baseline=span.name,
            change=change.name,
            signal=change.signal or "",
            number=plan.number,
            days=days,
            units=len(stream.openings_ms),
        )
        if isinstance(baseline, str):
            outcomes.append(replace(outcome, refused={DRIFT_TOPICS.name: baseline}))
            continue
        events = _units(stream.events, plan)
        sketches = drift_sketches(events, baseline, sources.vectors, plan.settings())
        references = drift_references(baseline)
        outcomes.append(_tested(outcome, references, sketches, stream.openings_ms, plan))
    return outcomes


def _units(events: list[RequestEvent], plan: StreamPlan) -> list[RequestEvent]:
    return _separate(events) if plan.plugged_in else events


def _separate(events: list[RequestEvent]) -> list[RequestEvent]:
    """Return each request as a conversation of its own."""
    return [
        msgspec.structs.replace(
            event, messages=event.messages[-1:], conversation_id=event.request_id, turn=1
        )
        for event in events
    ]


def _tested(
    outcome: StreamOutcome,
    references: References,
    sketches: Iterable[Sketch],
    units_ms: Counts,
    plan: StreamPlan,
) -> StreamOutcome:
    """Test a stream and return what came of it.

    Args:
        outcome: The stream.
        references: What it is tested against.
        sketches: Its sketches, in order of time.
        units_ms: When each of its units arrived, ascending.
        plan: How it was drawn.
    """
    if plan.plugged_in:
        references = plugged_in(references)
    start_ms = int(units_ms[0]) if len(units_ms) else 0
    alarms = first_alarms(references, sketches, start_ms=start_ms, signal=outcome.signal or None)
    return replace(
        outcome,
        refused=refusals(references),
        allowed=allowed_alarms(references, outcome.days),
        alarms=tuple(alarms),
        delays={
            one.monitor: int(
                np.searchsorted(units_ms, start_ms + one.days * _DAY * 1000, side="right")
            )
            for one in alarms
        },
    )


def service_outcomes(
    traffic: ServiceTraffic, changes: Sequence[StreamChange], plan: StreamPlan, recorded: Recorded
) -> list[StreamOutcome]:
    """Draw a past and a stream for each change, and test each against each baseline.

    Args:
        traffic: The traffic.
        changes: What changes in each stream; those that change something are tested against
            one baseline only.
        plan: The streams.
        recorded: Recorded arrivals.
    """
    rng = np.random.default_rng([plan.seed, plan.number, *traffic.name.encode()])
    longest = max(span.seconds for span in traffic.baselines)
    start_ms = START_MS + int(longest * 1000)
    known, _ = _served(traffic.service, START_MS, longest, plan, recorded, rng)
    baselines: dict[str, RatesBaseline | str] = {}
    for span in traffic.baselines:
        since = start_ms - int(span.seconds * 1000)
        try:
            baselines[span.name] = rates_baseline(
                one for one in known if one.window_start_ms >= since
            )
        except RatesBaselineError as error:
            baselines[span.name] = str(error)
    outcomes = []
    for change in changes:
        days = min(plan.days, _CHANGED_DAYS) if change.name else plan.days
        service = replace(
            traffic.service,
            changed_from=0.0 if change.name else None,
            slower=change.slower,
            errors_after=change.errors,
        )
        coming, arrived = _served(service, start_ms, days * _DAY, plan, recorded, rng)
        for name, baseline in baselines.items():
            if change.name and name != traffic.changed.name:
                continue
            outcome = StreamOutcome(
                traffic=traffic.name,
                baseline=name,
                change=change.name,
                signal=change.signal or "",
                number=plan.number,
                days=days,
                units=len(arrived),
            )
            if isinstance(baseline, str):
                refused = dict.fromkeys(_RATES_MONITORS, baseline)
                outcomes.append(replace(outcome, refused=refused))
            else:
                outcomes.append(_tested(outcome, baseline.references, coming, arrived, plan))
    return outcomes


def _served(  # noqa: PLR0913, PLR0917 - a stretch of traffic
    service: SimulatedService,
    start_ms: int,
    seconds: float,
    plan: StreamPlan,
    recorded: Recorded,
    rng: np.random.Generator,
) -> tuple[list[Sketch], Counts]:
    """Return the sketches of a stretch of time, and when its requests arrived."""
    found = exchanges(service, start_ms, seconds, recorded, rng)
    sketches = response_sketches(
        found, start_ms=start_ms, segment=SEGMENT, window_ms=plan.window_ms
    )
    return sketches, start_ms + (found.seconds * 1000).astype(np.int64)
