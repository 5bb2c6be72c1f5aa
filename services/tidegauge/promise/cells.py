"""One cell of the measurement: streams of one kind of traffic against one length of baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.monitoring.catalog import DRIFT_TOPICS
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.promise.files import Question
from tidegauge.promise.path import (
    Alarm,
    References,
    allowed_alarms,
    drift_baseline,
    drift_references,
    drift_sketches,
    first_alarms,
    plugged_in,
    rates_baseline,
    refusals,
    vitals_sketches,
)
from tidegauge.promise.scenarios import (
    BaselineSpan,
    Change,
    ConversationTraffic,
    ServiceTraffic,
)
from tidegauge.promise.stored_vectors import StoredVectors
from tidegauge.schemas import Segment
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.sketches import Sketch
from tidegauge.simulation.conversations import Script, play, request_events, topical_scripts
from tidegauge.simulation.rhythm import Recorded, arrivals
from tidegauge.simulation.service import SimulatedService, exchanges, response_events
from tidegauge.streaming.partitions import SketchSettings

__all__ = [
    "Outcome",
    "Sources",
    "StreamPlan",
    "conversation_outcome",
    "fixed_texts",
    "scripts_for",
    "service_outcomes",
]

Counts: TypeAlias = NDArray[np.int64]

_SEGMENT = Segment(model="m", version="v1", route="/v1/chat/completions")
START_MS = 1_767_571_200_000
"""Monday 2026-01-05, 00:00 UTC."""
_DAY = 86_400.0
_TICKETS = 60
_HELD_OUT = 0.1
"""Least share of the conversations whose topics a baseline lacks, to be drawn from."""
_SPARE = 0.97
_CHANGED_DAYS = 4.0
RATES_MONITORS = ("cost.request", "errors.rate", "latency.first_token", "latency.total")


@dataclass(frozen=True, slots=True)
class Sources:
    """What traffic is drawn from.

    Attributes:
        conversations: Recorded conversations.
        questions: Single questions; empty where there are none.
        recorded: Recorded arrivals.
        vectors: Vectors of all texts.
    """

    conversations: Sequence[Script]
    questions: Sequence[Question]
    recorded: Recorded
    vectors: StoredVectors


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """One stream.

    Attributes:
        number: Its number: everything is drawn anew for each.
        days: Its greatest length.
        window_ms: Length of a window.
        longest: Length of the longest baseline of rates, seconds.
        plugged_in: Whether the usual shortcut is taken: requests are the units, and the
            estimated rates are taken for the truth.
        seed: Of every draw.
    """

    number: int
    days: float
    window_ms: int = 10_000
    longest: float = 14 * 86_400.0
    plugged_in: bool = False
    seed: int = 0

    def settings(self) -> SketchSettings:
        """Return how its events are sketched."""
        return SketchSettings(window_ms=self.window_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one stream.

    Attributes:
        traffic: Name of the traffic.
        baseline: Name of the baseline's length.
        change: What was changed; empty for nothing.
        number: Number of the stream.
        days: Length of the stream.
        refused: Monitor -> why it promises nothing on this baseline.
        allowed: Monitor that promises something -> false alarms that it may raise in the stream.
        alarms: The first alarms of the monitors that promise something.
        delays: Monitor -> units from the change to the alarm: conversations or requests.
        units: All units of the stream.
    """

    traffic: str
    baseline: str
    change: str
    number: int
    days: float
    refused: dict[str, str] = field(default_factory=dict)
    allowed: dict[str, float] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    delays: dict[str, int] = field(default_factory=dict)
    units: int


def scripts_for(
    traffic: ConversationTraffic, sources: Sources, rng: np.random.Generator
) -> tuple[list[Script], list[Script]]:
    """Return scripts for the baseline and, disjoint from them, for the stream."""
    if traffic.scripts in {"questions", "topical"} and sources.questions:
        questions = [one for one in sources.questions if one.topic != "oos"]
        order = rng.permutation(len(questions))
        halves = order[: len(order) // 2], order[len(order) // 2 :]
        if traffic.scripts == "questions":
            found = [
                [Script(((questions[i].text, "Done."),), questions[i].topic) for i in half]
                for half in halves
            ]
            return found[0], found[1]
        shares = rng.gamma(1.0, 1.0, len({one.topic for one in questions}))
        made = []
        for part in halves:
            by_topic: dict[str, list[str]] = {}
            for i in sorted(part.tolist(), key=lambda i: questions[i].topic):
                by_topic.setdefault(questions[i].topic, []).append(questions[i].text)
            made.append(topical_scripts(list(by_topic.items()), shares, 3_500, rng))
        return made[0], made[1]
    order = rng.permutation(len(sources.conversations))
    chosen = [sources.conversations[i] for i in order]
    if traffic.scripts != "conversations":
        chosen = [replace(one, turns=one.turns[:1]) for one in chosen]
    if traffic.short_replies:
        chosen = [_shortened(one, traffic.short_replies, rng) for one in chosen]
    middle = len(chosen) // 2
    return chosen[:middle], chosen[middle:]


def fixed_texts(sources: Sources) -> Iterator[str]:
    """Yield every text that a user can send, copies included."""
    yield from (asked for one in sources.conversations for asked, _ in one.turns)
    yield from (one.text for one in sources.questions)
    yield from _SHORT
    yield from (_ticket(number) for number in range(_TICKETS))


_SHORT = ("yes", "Yes.", "ok", "no thanks", "thank you", "sure")


def _shortened(script: Script, share: float, rng: np.random.Generator) -> Script:
    """Replace some of the user's later messages by short replies."""
    short = rng.random(len(script.turns)) < share
    words = rng.choice(len(_SHORT), len(script.turns))
    return replace(
        script,
        turns=tuple(
            (_SHORT[word] if is_short and number else asked, answered)
            for number, ((asked, answered), is_short, word) in enumerate(
                zip(script.turns, short, words, strict=True)
            )
        ),
    )


def _hold_out(
    past: list[Script], coming: list[Script], rng: np.random.Generator
) -> tuple[list[Script], list[Script], list[Script]]:
    """Return both without some topics, and the conversations of the second on those topics."""
    topics = sorted({one.topic for one in past})
    order = [topics[i] for i in rng.permutation(len(topics))]
    held: set[str] = set()
    while sum(one.topic in held for one in past) < _HELD_OUT * len(past):
        held.add(order.pop())
    return (
        [one for one in past if one.topic not in held],
        [one for one in coming if one.topic not in held],
        [one for one in coming if one.topic in held],
    )


def _template_scripts(count: int, rng: np.random.Generator) -> list[Script]:
    """Return requests of a batch client, which differ by a number."""
    numbers = rng.integers(0, _TICKETS, count).tolist()
    return [Script(((_ticket(n), "other"),), "template", customer="batch") for n in numbers]


def _ticket(number: int) -> str:
    return f"Classify ticket {10_000 + 37 * number} as billing, outage or other."


def _events(  # noqa: PLR0913, PLR0917 - a stretch of traffic
    traffic: ConversationTraffic,
    scripts: list[Script],
    new: tuple[float, list[Script]],
    from_seconds: float,
    seconds: float,
    per_day: float,
    recorded: Recorded,
    rng: np.random.Generator,
) -> tuple[list[RequestEvent], Counts]:
    """Return the requests of a stretch of time, and when its conversations open."""
    start_ms = START_MS + int(from_seconds * 1000)
    rhythm = replace(traffic.rhythm, per_day=per_day)
    times, _ = arrivals(rhythm, start_ms, seconds, recorded, rng)
    times = times[: len(scripts)]
    chosen = np.arange(len(times))
    share, strange = new
    pool = [*scripts, *strange]
    if strange:
        swapped = np.flatnonzero(rng.random(len(times)) < share)
        chosen[swapped] = len(scripts) + np.arange(len(swapped)) % len(strange)
    if traffic.template:
        batch, _ = arrivals(
            replace(rhythm, per_day=per_day * traffic.template, day=0.0, wave=None),
            start_ms,
            float(times[-1]) if len(times) else seconds,
            recorded,
            rng,
        )
        chosen = np.concatenate([chosen, len(pool) + np.arange(len(batch))])
        pool += _template_scripts(len(batch), rng)
        times = np.concatenate([times, batch])
        order = np.argsort(times, kind="stable")
        times, chosen = times[order], chosen[order]
    played = play(pool, chosen, times, rng)
    producer = f"g{from_seconds:.0f}"
    events = request_events(played, pool, start_ms=start_ms, segment=_SEGMENT, producer_id=producer)
    return list(events), start_ms + (times * 1000).astype(np.int64)


def conversation_outcome(
    traffic: ConversationTraffic,
    span: BaselineSpan,
    change: Change,
    plan: StreamPlan,
    sources: Sources,
) -> Outcome:
    """Draw a baseline and a stream, and test the stream."""
    names = f"{traffic.name}/{span.name}/{change.name}"
    rng = np.random.default_rng([plan.seed, plan.number, *names.encode()])
    past, coming = scripts_for(traffic, sources, rng)
    strange: list[Script] = []
    if change.new_topics:
        past, coming, strange = _hold_out(past, coming, rng)
    per_day = max(traffic.rhythm.per_day, traffic.fewest / span.seconds * _DAY)
    days = min(plan.days, _SPARE * len(coming) / per_day)
    known, _ = _events(traffic, past, (0.0, []), 0.0, span.seconds, per_day, sources.recorded, rng)
    stream, openings = _events(
        traffic,
        coming,
        (change.new_topics, strange),
        span.seconds,
        days * _DAY,
        per_day,
        sources.recorded,
        rng,
    )
    if plan.plugged_in:
        known, stream = _separate(known), _separate(stream)
    outcome = Outcome(
        traffic=traffic.name,
        baseline=span.name,
        change=change.name,
        number=plan.number,
        days=days,
        units=len(openings),
    )
    try:
        baseline = drift_baseline(
            known, sources.vectors, [plan.seed, plan.number], timed=span.timed
        )
    except TidegaugeError as error:
        return replace(outcome, refused={DRIFT_TOPICS.name: str(error)})
    sketches = drift_sketches(stream, baseline, sources.vectors, plan.settings())
    return _tested(outcome, drift_references(baseline), sketches, openings, plan)


def _separate(events: list[RequestEvent]) -> list[RequestEvent]:
    """Return each request as a conversation of its own."""
    return [
        msgspec.structs.replace(
            event, messages=event.messages[-1:], conversation_id=event.request_id, turn=1
        )
        for event in events
    ]


def _tested(
    outcome: Outcome,
    references: References,
    sketches: Iterable[Sketch],
    units_ms: Counts,
    plan: StreamPlan,
) -> Outcome:
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
    alarms = first_alarms(references, sketches, start_ms=start_ms)
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
    traffic: ServiceTraffic, changes: Sequence[Change], plan: StreamPlan, recorded: Recorded
) -> list[Outcome]:
    """Draw a past and a stream for each change, and test each against each baseline.

    Args:
        traffic: The traffic.
        changes: What changes in each stream; those that change something are tested against
            one baseline only.
        plan: The streams.
        recorded: Recorded arrivals.
    """
    rng = np.random.default_rng([plan.seed, plan.number, *traffic.name.encode()])
    longest = max(span.seconds for span in traffic.baselines if span.seconds <= plan.longest)
    start_ms = START_MS + int(longest * 1000)
    known, _ = _served(traffic.service, START_MS, longest, plan, recorded, rng)
    baselines: dict[str, RatesBaseline | str] = {}
    for span in traffic.baselines:
        if span.seconds > longest:
            continue
        since = start_ms - int(span.seconds * 1000)
        try:
            baselines[span.name] = rates_baseline(
                one for one in known if one.window_start_ms >= since
            )
        except TidegaugeError as error:
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
            outcome = Outcome(
                traffic=traffic.name,
                baseline=name,
                change=change.name,
                number=plan.number,
                days=days,
                units=len(arrived),
            )
            if isinstance(baseline, str):
                refused = dict.fromkeys(RATES_MONITORS, baseline)
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
    events = response_events(found, start_ms=start_ms, segment=_SEGMENT, producer_id=f"g{start_ms}")
    arrived = start_ms + (found.seconds * 1000).astype(np.int64)
    return vitals_sketches(events, plan.settings()), arrived
