"""From a detector's decision to a verdict: effects with intervals, callers, a sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.detection.e_detector import Decision
from tidegauge.detection.indicators import Hits, Indicator, StratifiedTail
from tidegauge.monitoring.catalog import (
    DRIFT_FOLLOWUPS,
    HALLUCINATION,
    MonitorKey,
    monitored_language,
)
from tidegauge.monitoring.detector import Detector, IndicatorEffect
from tidegauge.reports.formatting import count, duration, moment, percent
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import (
    Callers,
    CallerShare,
    Effect,
    JudgedAnswers,
    Monitor,
    Signal,
    State,
    Verdict,
)
from tidegauge.schemas.sketches import Exemplar, Sampled

__all__ = [
    "VerdictContext",
    "alarm_sentence",
    "alert_summary",
    "callers_of",
    "quiet_sentence",
    "segment_title",
    "untested_verdict",
    "verdict_of",
    "with_coincidences",
    "with_evidence",
]

Exemplars: TypeAlias = Callable[[str], tuple[Exemplar, ...]]
Sample: TypeAlias = Callable[[int], tuple[Sampled, ...]]
AnswersShown: TypeAlias = Callable[[int, str], tuple[JudgedAnswers, ...]]

_ALARMED = frozenset({State.INFO, State.WARN, State.CRITICAL})
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class VerdictContext:
    """The parts of a verdict besides the detector's decision.

    Attributes:
        end_ms: End of the window.
        window_events: Events counted in the window.
        events: Events counted since the evidence began.
        needed: Number of events below which the state is ``low_data``.
        exemplars: Function from a counted indicator's name to requests that show it.
        sample: Function from a moment to a sample of the requests since then.
        evidence: Function from a moment and a score to judged answers since then, and of before.
        size: A sentence on how large the change is, if it alarms.
        coincidences: Sentences on what else happened at the change point.
        findings: Sentences on what else is unusual now, also where nothing alarms.
    """

    end_ms: int
    window_events: int
    events: int
    needed: int
    exemplars: Exemplars
    sample: Sample
    evidence: AnswersShown = lambda *_: ()
    size: tuple[str, ...] = ()
    coincidences: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def verdict_of(
    detector: Detector,
    decision: Decision,
    found: Sequence[IndicatorEffect],
    state: State,
    context: VerdictContext,
) -> Verdict:
    """Return the verdict of a window that was tested.

    Args:
        detector: The detector.
        decision: Its decision after the window.
        found: Effects of the indicators that contribute, largest first.
        state: The verdict's state.
        context: The other parts of the verdict.
    """
    alarmed = state in _ALARMED
    hits, trials = [one.hits for one in found], [one.trials for one in found]
    intervals = zip(*clopper_pearson(hits, trials, alpha=1 - _CONFIDENCE), strict=True)
    effects = tuple(
        _effect(detector, effect, interval, context if alarmed else None)
        for effect, interval in zip(found, intervals, strict=True)
    )
    since = found[0].since_ms if found else None
    mean_seconds = math.exp(detector.log_threshold)
    if alarmed and effects:
        sentence = alarm_sentence(
            detector.monitor,
            effects,
            since_ms=since,
            mean_seconds_to_false_alarm=mean_seconds,
            details=[
                *_caveats(detector),
                *context.size,
                *context.coincidences,
                *context.findings,
            ],
        )
    else:
        sentence = " ".join(
            [
                quiet_sentence(detector.monitor, context.events, context.needed),
                *_caveats(detector),
                *context.findings,
            ]
        )
    return Verdict(
        monitor=detector.monitor.name,
        signal=detector.monitor.signal,
        segment=detector.segment,
        time_ms=context.end_ms,
        state=state,
        sentence=sentence,
        log_statistic=decision.log_statistic if decision.parts else None,
        log_threshold=decision.log_threshold,
        mean_seconds_to_false_alarm=mean_seconds,
        since_ms=since if alarmed else None,
        events=context.window_events,
        baseline=detector.reference.baseline,
        baseline_segment=detector.reference_key if detector.borrowed else "",
        season=detector.reference.season,
        effects=effects,
        coincidences=context.coincidences if alarmed and effects else (),
        back_test=detector.back_test,
        evidence=_evidence(detector, found[0], context) if alarmed and found else (),
    )


def with_coincidences(verdict: Verdict, found: tuple[str, ...]) -> Verdict:
    """Return an alarm's verdict that tells of other coincidences than before.

    Args:
        verdict: The verdict.
        found: What coincides with the change by now, a sentence each.
    """
    before = " ".join(verdict.coincidences)
    if not before:
        return verdict
    return msgspec.structs.replace(
        verdict,
        coincidences=found,
        sentence=verdict.sentence.replace(before, " ".join(found)),
    )


def untested_verdict(key: MonitorKey, state: State, sentence: str, time_ms: int) -> Verdict:
    """Return a verdict without a test: ``no_data``, ``no_baseline``, or one on health."""
    return Verdict(
        monitor=key.monitor.name,
        signal=key.monitor.signal,
        segment=key.segment,
        time_ms=time_ms,
        state=state,
        sentence=sentence,
    )


def with_evidence(verdict: Verdict, before: Verdict | None) -> Verdict:
    """Return a verdict without a test with the evidence of before, which the detector still has."""
    if before is None:
        return verdict
    return msgspec.structs.replace(
        verdict,
        log_statistic=before.log_statistic,
        log_threshold=before.log_threshold,
        baseline=before.baseline,
    )


def _caveats(detector: Detector) -> tuple[str, ...]:
    """Return sentences on what the reference does not measure, and on whose baseline it is of."""
    remark = detector.reference.remark
    found = (remark,) if remark else ()
    if not detector.borrowed:
        return found
    lender = segment_title(detector.reference.segment)
    return (
        *found,
        f"It is held to the baseline of {lender}, since it has none of its own.",
    )


def alert_summary(verdict: Verdict) -> str:
    """Return an alert's summary: the segment and the verdict's sentence."""
    return f"{segment_title(verdict.segment)}: {verdict.sentence}"


def _evidence(
    detector: Detector, leading: IndicatorEffect, context: VerdictContext
) -> tuple[JudgedAnswers, ...]:
    counter = detector.reference.indicators[leading.contribution.indicator].counter
    if isinstance(counter, StratifiedTail):
        return ()
    value = counter.name if isinstance(counter, Hits) else counter.value
    return context.evidence(leading.since_ms, value)


def _effect(
    detector: Detector,
    found: IndicatorEffect,
    interval: tuple[float, float],
    context: VerdictContext | None,
) -> Effect:
    """Return an effect for people; with a context, it includes the requests that show it."""
    reference, j = detector.reference, found.contribution.indicator
    indicator: Indicator = reference.indicators[j]
    counter = indicator.counter
    exemplars: tuple[Exemplar, ...] = ()
    callers = None
    if context is not None and isinstance(counter, Hits):
        exemplars = context.exemplars(counter.name)
        if counter.of and found.contribution.rises:
            callers = callers_of(counter, context.sample(found.since_ms))
    return Effect(
        indicator=indicator.name,
        title=indicator.title,
        baseline_rate=reference.rate[j],
        low=reference.low[j],
        high=reference.high[j],
        hits=found.hits,
        trials=found.trials,
        rate_low=float(interval[0]),
        rate_high=float(interval[1]),
        share=found.contribution.share,
        exemplars=exemplars,
        callers=callers,
    )


_LARGEST_CALLERS = 5
_CALLER_ALPHA = 0.05 / _LARGEST_CALLERS
"""Error rate of one caller's interval: all intervals hold together with probability 95%."""


def callers_of(indicator: Hits, sample: Iterable[Sampled]) -> Callers | None:
    """Return who sends the requests that show an indicator; None where no such request is sampled.

    A caller stands apart if the interval of its share of the requests that show the indicator
    lies above the interval of its share of the other requests. The intervals are exact, so
    this holds for samples of any size.

    Args:
        indicator: Names of the counts of hits and of trials.
        sample: Sampled requests since the change.
    """
    asked = [found for found in sample if indicator.of in found.shows]
    showing = Counter(found.customer for found in asked if indicator.name in found.shows)
    if not showing:
        return None
    all_requests = Counter(found.customer for found in asked)
    hits, rest = showing.total(), len(asked) - showing.total()
    largest = sorted(showing.items(), key=lambda item: (-item[1], item[0]))[:_LARGEST_CALLERS]
    shares = []
    for customer, number in largest:
        low, _ = clopper_pearson(number, hits, alpha=_CALLER_ALPHA)
        _, high = clopper_pearson(all_requests[customer] - number, rest, alpha=_CALLER_ALPHA)
        shares.append(
            CallerShare(
                customer=customer,
                hits=number,
                trials=all_requests[customer],
                apart=bool(low > high),
            )
        )
    return Callers(hits=hits, trials=len(asked), shares=tuple(shares))


_LEADS: MappingProxyType[Signal, str] = MappingProxyType(
    {
        "drift": "People ask for something else",
        "quality": "Answers are judged worse",
        "latency": "Answers are slower",
        "errors": "More goes wrong",
        "cost": "Requests cost more",
    }
)
_NORMAL: MappingProxyType[Signal, str] = MappingProxyType(
    {
        "drift": "Requests are as in the baseline",
        "quality": "Answers are judged as in the baseline",
        "latency": "Answers are as fast as in the baseline",
        "errors": "No more goes wrong than in the baseline",
        "cost": "Requests cost what they did in the baseline",
    }
)
_FOLLOWUPS_LEAD = "Conversations go on with something else"
_FOLLOWUPS_NORMAL = "Follow-ups are as in the baseline"
_HALLUCINATION_LEAD = "More answers say what their context does not hold"
_HALLUCINATION_NORMAL = "As many answers are supported by their context as in the baseline"
_MAIN_SHARE = 0.1


def segment_title(segment: Segment) -> str:
    """Return a segment's name for people.

    Example:
        >>> segment_title(Segment(model="m", version="v2", route="/chat"))
        'm, version v2, route /chat'
    """
    parts = [segment.model or "all traffic"]
    if segment.version:
        parts.append(f"version {segment.version}")
    if segment.route:
        parts.append(f"route {segment.route}")
    if segment.customer:
        parts.append(f"customer {segment.customer}")
    return ", ".join(parts)


def alarm_sentence(
    monitor: Monitor,
    effects: Sequence[Effect],
    *,
    since_ms: int | None,
    mean_seconds_to_false_alarm: float,
    details: Sequence[str] = (),
) -> str:
    """Return what changed, by how much, since when, and how often such an alarm is false.

    Args:
        monitor: The monitor.
        effects: Effects that contribute, largest first; at least one.
        since_ms: Estimated start of the change.
        mean_seconds_to_false_alarm: Mean time to a false alarm that the threshold guarantees.
        details: Further sentences: on the baseline used, on coincidences.
    """
    since = f" since {moment(since_ms)}" if since_ms is not None else ""
    others = [effect.title for effect in effects[1:] if effect.share >= _MAIN_SHARE]
    also = f"; also {', '.join(others)}" if others else ""
    said = _FOLLOWUPS_LEAD if monitor == DRIFT_FOLLOWUPS else _LEADS[monitor.signal]
    if monitor.kind.startswith(HALLUCINATION):
        said = _HALLUCINATION_LEAD
    if language := monitored_language(monitor):
        said = f"{said} in the language or script {language}"
    lead = f"{said}{since}: {_measured(effects[0])}{also}."
    promise = (
        "With nothing changed, an alarm like this comes once in "
        f"{duration(mean_seconds_to_false_alarm)} or less often."
    )
    return " ".join([lead, *details, promise])


def quiet_sentence(monitor: Monitor, events: int, needed: int) -> str:
    """Return a sentence that nothing has changed, or that there are too few events to tell."""
    if events < needed:
        return (
            f"{count(events)} events so far; {count(needed)} are needed to say that nothing "
            "has changed."
        )
    said = _FOLLOWUPS_NORMAL if monitor == DRIFT_FOLLOWUPS else _NORMAL[monitor.signal]
    if monitor.kind.startswith(HALLUCINATION):
        said = _HALLUCINATION_NORMAL
    if language := monitored_language(monitor):
        said = f"{said} in the language or script {language}"
    return f"{said}, as far as {count(events)} events show."


def _measured(effect: Effect) -> str:
    rate = effect.hits / effect.trials if effect.trials else 0.0
    normal = (
        f"up to {percent(effect.high)} is normal"
        if rate >= effect.baseline_rate
        else f"no less than {percent(effect.low)} is normal"
    )
    return (
        f"{effect.title}: {percent(rate)} of {count(effect.trials)} "
        f"(between {percent(effect.rate_low)} and {percent(effect.rate_high)}) against "
        f"{percent(effect.baseline_rate)} in the baseline, where {normal}"
    )
