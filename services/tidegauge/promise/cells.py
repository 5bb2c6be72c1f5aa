"""One cell of the measurement: streams of one kind of traffic against one length of baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.promise.files import Question
from tidegauge.promise.path import (
    Alarm,
    drift_baseline,
    drift_references,
    drift_sketches,
    first_alarms,
    rates_baseline,
    vitals_sketches,
)
from tidegauge.promise.scenarios import BaselineSpan, ConversationTraffic, ServiceTraffic
from tidegauge.promise.stored_vectors import StoredVectors
from tidegauge.schemas import Segment
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.simulation.conversations import Script, play, request_events, topical_scripts
from tidegauge.simulation.rhythm import Recorded, arrivals
from tidegauge.simulation.service import SimulatedService, exchanges, response_events

__all__ = [
    "Outcome",
    "Sources",
    "StreamPlan",
    "conversation_outcome",
    "scripts_for",
    "service_outcomes",
]

Counts: TypeAlias = NDArray[np.int64]

_SEGMENT = Segment(model="m", version="v1", route="/v1/chat/completions")
START_MS = 1_767_571_200_000
"""Monday 2026-01-05, 00:00 UTC."""
_DAY = 86_400.0
_HELD_OUT = 0.1


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
        new_topics: Share of its conversations that are on topics that the baseline lacks.
        seed: Of every draw.
    """

    number: int
    days: float
    new_topics: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one stream.

    Attributes:
        traffic: Name of the traffic.
        baseline: Name of the baseline's length.
        change: What was changed; empty for nothing.
        number: Number of the stream.
        days: Length of the stream.
        refused: Why nothing was promised; empty where something was.
        monitors: The monitors that were tested.
        alarms: Their first alarms.
        delays: Monitor -> units from the change to the alarm: conversations or requests.
        units: All units of the stream.
    """

    traffic: str
    baseline: str
    change: str
    number: int
    days: float
    refused: str = ""
    monitors: tuple[str, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    delays: dict[str, int]
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
    numbers = rng.integers(10_000, 99_999, count) % 50
    return [
        Script(
            ((f"Classify the ticket number {10_000 + n} as billing, outage or other.", "other"),),
            "template",
            customer="batch",
        )
        for n in numbers.tolist()
    ]


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
    traffic: ConversationTraffic, span: BaselineSpan, plan: StreamPlan, sources: Sources
) -> Outcome:
    """Draw a baseline and a stream, and test the stream."""
    rng = np.random.default_rng(
        [plan.seed, plan.number, *traffic.name.encode(), *span.name.encode()]
    )
    past, coming = scripts_for(traffic, sources, rng)
    strange: list[Script] = []
    if plan.new_topics:
        past, coming, strange = _hold_out(past, coming, rng)
    per_day = max(traffic.rhythm.per_day, traffic.fewest / span.seconds * _DAY)
    days = min(plan.days, 0.97 * len(coming) / per_day)
    change = f"new topics {plan.new_topics:.0%}" if plan.new_topics else ""
    known, _ = _events(traffic, past, (0.0, []), 0.0, span.seconds, per_day, sources.recorded, rng)
    stream, openings = _events(
        traffic,
        coming,
        (plan.new_topics, strange),
        span.seconds,
        days * _DAY,
        per_day,
        sources.recorded,
        rng,
    )
    outcome = Outcome(
        traffic=traffic.name,
        baseline=span.name,
        change=change,
        number=plan.number,
        days=days,
        delays={},
        units=len(openings),
    )
    try:
        baseline = drift_baseline(
            known, sources.vectors, [plan.seed, plan.number], timed=span.timed
        )
    except TidegaugeError as error:
        return replace(outcome, refused=str(error))
    sketches = drift_sketches(stream, baseline, sources.vectors)
    references = drift_references(baseline)
    alarms = first_alarms(references, sketches)
    return replace(
        outcome,
        monitors=tuple(references),
        alarms=tuple(alarms),
        delays={
            one.monitor: int(np.searchsorted(openings, one.time_ms, side="right")) for one in alarms
        },
    )


def service_outcomes(
    traffic: ServiceTraffic,
    plan: StreamPlan,
    recorded: Recorded,
    changes: Iterable[tuple[str, SimulatedService]] = (),
) -> list[Outcome]:
    """Draw a past and streams without and with changes, and test them against each baseline.

    Args:
        traffic: The traffic.
        plan: The stream without a change.
        recorded: Recorded arrivals.
        changes: Name and service of each stream with a change.
    """
    rng = np.random.default_rng([plan.seed, plan.number, *traffic.name.encode()])
    longest = max(span.seconds for span in traffic.baselines)
    past = exchanges(traffic.service, START_MS, longest, recorded, rng)
    known = vitals_sketches(
        response_events(past, start_ms=START_MS, segment=_SEGMENT, producer_id="past")
    )
    start_ms = START_MS + int(longest * 1000)
    outcomes = []
    for change, service in (("", traffic.service), *changes):
        found = exchanges(service, start_ms, plan.days * _DAY, recorded, rng)
        coming = vitals_sketches(
            response_events(found, start_ms=start_ms, segment=_SEGMENT, producer_id="stream")
        )
        arrived = start_ms + (found.seconds * 1000).astype(np.int64)
        for span in traffic.baselines:
            since = start_ms - int(span.seconds * 1000)
            outcome = Outcome(
                traffic=traffic.name,
                baseline=span.name,
                change=change,
                number=plan.number,
                days=plan.days,
                delays={},
                units=len(arrived),
            )
            try:
                baseline = rates_baseline(one for one in known if one.window_start_ms >= since)
            except TidegaugeError as error:
                outcomes.append(replace(outcome, refused=str(error)))
                continue
            alarms = first_alarms(baseline.references, coming)
            outcomes.append(
                replace(
                    outcome,
                    monitors=tuple(baseline.references),
                    alarms=tuple(alarms),
                    delays={
                        one.monitor: int(np.searchsorted(arrived, one.time_ms, side="right"))
                        for one in alarms
                    },
                )
            )
    return outcomes
