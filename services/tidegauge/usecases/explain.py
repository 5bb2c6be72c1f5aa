"""Taking a verdict apart by topic: the log still has every request's cluster and answer.

Sketches keep no scores by topic; the events do. So for one verdict the events of its
baseline's time and of the time since the change are read again and joined by request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeAlias, TypeVar

import msgspec

from tidegauge.detection.indicators import Hits, Indicator, Tail
from tidegauge.detection.reference import Reference
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.monitoring.errors import MonitoringError
from tidegauge.monitoring.mix_decomposition import Counts, MixDecomposition, decompose
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.quality.context import ContextRule
from tidegauge.quality.hallucination import (
    LABEL,
    CheckedAnswer,
    check_hallucination,
    hits_of,
    is_unsupported,
)
from tidegauge.quality.judged_exchange import SkipReason, judgeable
from tidegauge.reports.standing import ALARMS
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.schemas import DecodeError, Event, Segment, Topic, decode, measures
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.findings import Monitor, Verdict
from tidegauge.schemas.topics import EMBEDDINGS, JUDGMENTS, RESPONSES, VERDICTS
from tidegauge.streaming import histogram
from tidegauge.streaming.extractor import Measurement
from tidegauge.usecases.errors import UnexplainedError
from tidegauge.usecases.time_range import TimeRange
from tidegauge.vitals.customers import Customers
from tidegauge.vitals.extractor import measure_response
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = ["Explanation", "explain", "holds", "latest_verdict"]

E = TypeVar("E", bound=Event)
Where: TypeAlias = dict[str, int]
"""Request -> its cluster."""

_LAG_MS = 600_000
"""Workers may publish this much later than a request's own time."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict taken apart by topic.

    Attributes:
        verdict: The verdict.
        indicator: What was counted: the indicator that contributes most.
        title: The same for people.
        drift_baseline: Whose clusters the topics are.
        titles: Cluster -> its terms.
        mix: The parts of the change.
    """

    verdict: Verdict
    indicator: str
    title: str
    drift_baseline: str
    titles: dict[int, str]
    mix: MixDecomposition


def latest_verdict(
    settings: KafkaSettings, monitor: str, segment: Segment | None, start_ms: int
) -> Verdict:
    """Return the last verdict of a monitor that tested something or alarms.

    Args:
        settings: How to reach Kafka.
        monitor: Its name.
        segment: Its segment; the one with the most evidence if None.
        start_ms: How far back to look, Unix milliseconds.

    Raises:
        UnexplainedError: There is none.
        LogError: The broker does not answer.
    """
    latest: dict[str, Verdict] = {}
    for verdict in _events(settings, VERDICTS, Verdict, start_ms, None):
        wanted = verdict.monitor == monitor and segment in (None, verdict.segment)
        if wanted and (verdict.effects or verdict.state in ALARMS):
            latest[verdict.segment.key] = verdict
    if not latest:
        raise UnexplainedError(
            f"{monitor} has tested nothing and alarmed of nothing since then: look further back "
            "with --since, or check its name on the page"
        )
    return max(latest.values(), key=lambda v: (v.log_statistic or 0.0) - (v.log_threshold or 0.0))


def explain(settings: KafkaSettings, verdict: Verdict, now_ms: int) -> Explanation:
    """Take a verdict on quality, latency, errors or cost apart by topic.

    Args:
        settings: How to reach Kafka.
        verdict: The verdict; its strongest indicator is looked at.
        now_ms: The present, Unix milliseconds.

    Raises:
        UnexplainedError: It is on topics themselves, or too little is known.
        LogError: The broker does not answer, or the baseline is not there.
        RatesBaselineError: The baseline cannot be read.
        BaselineDocumentError: The drift baseline of the topics cannot be read.
    """
    if verdict.signal in ("drift", "swap", "pipeline") or not verdict.baseline:
        raise UnexplainedError(
            f"{verdict.monitor} is not held to a baseline of rates: quality, latency, errors "
            "and cost can be taken apart by topic"
        )
    store = BaselineStore(settings)
    document = RatesBaseline.from_bytes(store.load(verdict.baseline), verdict.baseline)
    reference = _reference(document, verdict)
    indicator = _indicator(reference, verdict)
    then = TimeRange(document.from_ms, document.to_ms)
    since = verdict.since_ms if verdict.since_ms is not None else verdict.time_ms - _LAG_MS
    now = TimeRange(since, now_ms)
    before, after = _clusters(settings, then), _clusters(settings, now)
    baseline_id = _shared_baseline(before, after)
    asked = _asker(Monitor.parse(verdict.monitor), indicator)
    parts = [
        _counts(asked(settings, period), clusters[baseline_id], segment)
        for period, clusters, segment in (
            (then, before, reference.segment),
            (now, after, verdict.segment),
        )
    ]
    drift = DriftBaseline.from_bytes(store.load(baseline_id), baseline_id)
    return Explanation(
        verdict=verdict,
        indicator=indicator.name,
        title=indicator.title,
        drift_baseline=baseline_id,
        titles={k: cluster.title for k, cluster in enumerate(drift.openings.clusters)},
        mix=_mix(*parts),
    )


def _reference(document: RatesBaseline, verdict: Verdict) -> Reference:
    key = verdict.baseline_segment or verdict.segment.key
    found = document.references.get(verdict.monitor, {}).get(key)
    if found is None:
        raise UnexplainedError(
            f"baseline {verdict.baseline} has no reference of {verdict.monitor} for {key}"
        )
    return found


def _indicator(reference: Reference, verdict: Verdict) -> Indicator:
    if not verdict.effects:
        raise UnexplainedError("the verdict names no effect: nothing was tested")
    name = verdict.effects[0].indicator
    return next(indicator for indicator in reference.indicators if indicator.name == name)


def _shared_baseline(before: dict[str, Where], after: dict[str, Where]) -> str:
    """Return the drift baseline by which both times were clustered."""
    shared = before.keys() & after.keys()
    if not shared:
        raise UnexplainedError(
            "the topics of the baseline's time and of the present are not known by the same "
            "drift baseline: build a baseline of rates from a time after the drift baseline "
            "was activated"
        )
    return max(sorted(shared), key=lambda baseline: len(after[baseline]))


def _mix(before: Counts, after: Counts) -> MixDecomposition:
    try:
        return decompose(before, after)
    except MonitoringError as error:
        raise UnexplainedError(str(error)) from error


def _clusters(settings: KafkaSettings, period: TimeRange) -> dict[str, Where]:
    found: dict[str, Where] = {}
    for event in _events(settings, EMBEDDINGS, EmbeddingEvent, period.start_ms, period.end_ms):
        if event.time_ms in period:
            found.setdefault(event.baseline, {})[event.request_id] = event.cluster
    return found


Answer: TypeAlias = tuple[str, Segment, bool]
"""Request, segment, and whether the property held."""


def _asker(
    monitor: Monitor, indicator: Indicator
) -> Callable[[KafkaSettings, TimeRange], Iterator[Answer]]:
    """Return what reads the events that a monitor counts, and asks each for the property."""
    if indicator.name == measures.hallucinated(LABEL):
        return partial(_checked, indicator)
    if monitor.signal == "quality":
        return partial(_judgments, indicator)
    return partial(_responses, indicator)


def _judgments(
    indicator: Indicator, settings: KafkaSettings, period: TimeRange
) -> Iterator[Answer]:
    for event in _events(settings, JUDGMENTS, JudgmentEvent, period.start_ms, period.end_ms):
        if event.time_ms not in period:
            continue
        label = measures.judge_label(event.judge, event.specification_hash)
        values = {measures.score(label, name): value for name, value in event.scores.items()}
        unsupported = bool(values) and is_unsupported(values.values())
        hits = hits_of(label, unsupported=unsupported) if values else ()
        held = holds(indicator, Measurement(values=values, hits=hits))
        if held is not None:
            yield event.request_id, event.segment, held


def _checked(indicator: Indicator, settings: KafkaSettings, period: TimeRange) -> Iterator[Answer]:
    judging = load(JudgeSettings)
    rule = ContextRule.parse(judging.context, judging.context_tags)
    for event in _events(settings, RESPONSES, ResponseEvent, period.start_ms, period.end_ms):
        exchange = judgeable(event) if event.time_ms in period else SkipReason.TOO_OLD
        if isinstance(exchange, SkipReason) or not exchange.answer.strip():
            continue
        found = check_hallucination(exchange, rule)
        if isinstance(found, CheckedAnswer):
            hits = hits_of(LABEL, unsupported=found.hallucinated)
            yield event.request_id, event.segment, indicator.name in hits


def _responses(
    indicator: Indicator, settings: KafkaSettings, period: TimeRange
) -> Iterator[Answer]:
    nobody = Customers(0)
    for event in _events(settings, RESPONSES, ResponseEvent, period.start_ms, period.end_ms):
        if event.time_ms not in period:
            continue
        held = holds(indicator, measure_response(event, nobody))
        if held is not None:
            yield event.request_id, event.segment, held


def holds(indicator: Indicator, measured: Measurement) -> bool | None:
    """Return whether an indicator holds for one event; None where it is not asked of it."""
    counter = indicator.counter
    if isinstance(counter, Hits):
        asked = counter.of in measured.hits if counter.of else counter.name in measured.trials
        return counter.name in measured.hits if asked else None
    if isinstance(counter, Tail):
        value = measured.values.get(counter.value)
        found = None if value is None else (value, counter.bucket)
    else:
        found = next(
            (
                (value, counter.buckets[stratum])
                for name, stratum, value in measured.strata
                if name == counter.value and stratum in counter.buckets
            ),
            None,
        )
    if found is None:
        return None
    value, bucket = found
    above = histogram.bucket_of(value) > bucket
    return above if counter.side == "above" else not above


def _counts(
    answers: Iterable[Answer], clusters: Where, segment: Segment
) -> dict[int, tuple[int, int]]:
    hits: Counter[int] = Counter()
    trials: Counter[int] = Counter()
    seen: set[str] = set()
    for request_id, found, held in answers:
        mine = segment in (found, *found.parents())
        if not mine or request_id not in clusters or request_id in seen:
            continue
        seen.add(request_id)
        trials[clusters[request_id]] += 1
        hits[clusters[request_id]] += held
    return {cluster: (hits[cluster], number) for cluster, number in trials.items()}


def _events(
    settings: KafkaSettings, topic: Topic, kind: type[E], start_ms: int, end_ms: int | None
) -> Iterator[E]:
    """Yield a topic's events published in a period, or some time after it."""
    end = None if end_ms is None else end_ms + _LAG_MS
    for record in reader.read(settings, topic, start_ms=start_ms, end_ms=end):
        try:
            yield decode(record.value, kind)
        except DecodeError:
            continue  # its consumer makes a dead letter of it
