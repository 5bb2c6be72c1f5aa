"""From a decision to a verdict: effects with intervals, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.detection.detector import Decision
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.monitoring import detector
from tidegauge.monitoring.callers import callers_of
from tidegauge.monitoring.catalog import signal_of
from tidegauge.monitoring.detector import Detector
from tidegauge.monitoring.sentences import alarm_sentence, name_of, quiet_sentence
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Effect, State, Verdict
from tidegauge.schemas.sketches import Exemplar, Sampled

__all__ = ["VerdictContext", "said", "untested_verdict", "verdict_of"]

Exemplars: TypeAlias = Callable[[str], tuple[Exemplar, ...]]
Sample: TypeAlias = Callable[[int], tuple[Sampled, ...]]

_ALARMED = frozenset({State.INFO, State.WARN, State.PAGE})
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class VerdictContext:
    """When a verdict is given, on how much, and what else is known.

    Attributes:
        end_ms: End of the window.
        window_events: Events asked in the window.
        events: Events asked since the evidence began.
        needed: Events without which nothing is said.
        exemplars: Name of a counted indicator -> requests that show it.
        sample: Moment -> a sample of the requests since then.
        remarks: Sentences to add to an alarm's.
    """

    end_ms: int
    window_events: int
    events: int
    needed: int
    exemplars: Exemplars
    sample: Sample
    remarks: tuple[str, ...] = ()


def verdict_of(
    detector: Detector,
    decision: Decision,
    found: Sequence[detector.IndicatorEffect],
    state: State,
    context: VerdictContext,
) -> Verdict:
    """Return the verdict of a window that was tested.

    Args:
        detector: What was tested.
        decision: What the engine says.
        found: What its parts amount to, first the largest.
        state: What the monitor says.
        context: When, on how much, and what else is known.
    """
    alarmed = state in _ALARMED
    effects = tuple(_effect(detector, effect, context if alarmed else None) for effect in found)
    since = found[0].since_ms if found else None
    owed = math.exp(detector.log_threshold)
    if alarmed and effects:
        sentence = alarm_sentence(
            detector.signal,
            effects,
            since_ms=since,
            mean_seconds_to_false_alarm=owed,
            remarks=[*_borrowed(detector), *context.remarks],
        )
    else:
        sentence = " ".join(
            [
                quiet_sentence(detector.signal, context.events, context.needed),
                *_borrowed(detector),
            ]
        )
    return Verdict(
        monitor=detector.monitor,
        signal=detector.signal,
        segment=detector.segment,
        time_ms=context.end_ms,
        state=state,
        sentence=sentence,
        log_statistic=decision.log_statistic if decision.parts else None,
        log_threshold=decision.log_threshold,
        mean_seconds_to_false_alarm=owed,
        since_ms=since if alarmed else None,
        events=context.window_events,
        baseline=detector.reference.baseline,
        baseline_segment=detector.reference_key if detector.borrowed else "",
        season=detector.reference.season,
        effects=effects,
    )


def untested_verdict(
    monitor: str, segment: Segment, state: State, sentence: str, time_ms: int
) -> Verdict:
    """Return a verdict without a test: no data, no baseline, or a judge that may not speak."""
    return Verdict(
        monitor=monitor,
        signal=signal_of(monitor),
        segment=segment,
        time_ms=time_ms,
        state=state,
        sentence=sentence,
    )


def _borrowed(detector: Detector) -> tuple[str, ...]:
    """Say whose baseline is used, where it is not the segment's own."""
    if not detector.borrowed:
        return ()
    lender = detector.reference.segment
    return (f"It is held to the baseline of {name_of(lender)}, having none of its own.",)


def said(verdict: Verdict) -> str:
    """Return an alert's summary: the segment and the verdict's sentence."""
    return f"{name_of(verdict.segment)}: {verdict.sentence}"


def _effect(
    detector: Detector, found: detector.IndicatorEffect, shown: VerdictContext | None
) -> Effect:
    """Return an effect for people, with the requests that show it if a context has them."""
    reference, j = detector.reference, found.part.indicator
    indicator: Indicator = reference.indicators[j]
    low, high = clopper_pearson(found.hits, found.trials, alpha=1 - _CONFIDENCE)
    counter = indicator.counter
    exemplars: tuple[Exemplar, ...] = ()
    callers = None
    if shown is not None and isinstance(counter, Hits):
        exemplars = shown.exemplars(counter.name)
        if counter.of and found.part.rises:
            callers = callers_of(counter, shown.sample(found.since_ms))
    return Effect(
        indicator=indicator.name,
        title=indicator.title,
        baseline_rate=reference.rate[j],
        low=reference.low[j],
        high=reference.high[j],
        hits=found.hits,
        trials=found.trials,
        rate_low=float(low),
        rate_high=float(high),
        share=found.part.share,
        exemplars=exemplars,
        callers=callers,
    )
