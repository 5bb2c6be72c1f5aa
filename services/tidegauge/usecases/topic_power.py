"""What a drift baseline can notice: how soon a new topic alarms, by monitor."""

from __future__ import annotations

import math

import msgspec

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.power import detection_delay
from tidegauge.monitoring.catalog import DRIFT_FOLLOWUPS, language_monitor
from tidegauge.monitoring.plan import MonitorPlan, log_threshold, monitor_shares
from tidegauge.reports.formatting import count, duration, percent
from tidegauge.schemas.findings import Monitor
from tidegauge.usecases.references import monitor_of

__all__ = ["NoticedTopic", "noticed_topics", "topic_sentence"]

_SHARES = (0.05, 0.1, 0.2)
_DAY_SECONDS = 86_400.0


class NoticedTopic(msgspec.Struct, frozen=True, kw_only=True):
    """How soon a monitor would notice a new topic.

    Attributes:
        monitor: Name of the monitor.
        of: What it counts, for people.
        share: The topic's share of what it counts.
        events: Conversations that it counts until the alarm; infinite (in JSON null) for never.
        seconds: How long it takes for as many to come, at the baseline's mean traffic; None where
            the baseline's requests have no times.
    """

    monitor: str
    of: str
    share: float
    events: float
    seconds: float | None


def noticed_topics(baseline: DriftBaseline) -> tuple[NoticedTopic, ...]:
    """Return how soon each monitor would notice new topics, at the budget of a single segment."""
    known = {monitor_of(unit): (_of(monitor_of(unit)), one) for unit, one in baseline.units.items()}
    known |= {
        language_monitor(code): (f"openings in the language or script {code}", one)
        for code, one in baseline.languages.items()
    }
    shares = monitor_shares(known)
    facts, found = baseline.facts, []
    span = (facts["to_ms"] - facts["from_ms"]) / 1000 if "from_ms" in facts else None
    for monitor, (of, one) in known.items():
        reference = one.references[""]
        promised = math.exp(log_threshold(MonitorPlan(), shares[monitor], rank=1))
        for share in _SHARES:
            events = detection_delay(
                reference,
                one.unseen_topic_rates,
                share,
                false_alarm_days=promised / _DAY_SECONDS,
            )
            found.append(
                NoticedTopic(
                    monitor=monitor.name,
                    of=of,
                    share=share,
                    events=events,
                    seconds=None if span is None else events * span / max(reference.trials),
                )
            )
    return tuple(found)


def topic_sentence(topic: NoticedTopic) -> str:
    """Return how soon a new topic would be noticed, in a sentence.

    Example:
        >>> topic = NoticedTopic(
        ...     monitor="drift.topics", of="openings", share=0.1, events=238.0, seconds=10_800.0
        ... )
        >>> topic_sentence(topic).partition(",")[0]
        'a new topic of 10% of the openings would be noticed after about 240 conversations (3 h)'
    """
    told = f"a new topic of {percent(topic.share)} of the {topic.of}"
    if math.isinf(topic.events):
        return f"{told} would not be noticed: this baseline is too small for it."
    after = "" if topic.seconds is None else f" ({duration(topic.seconds)})"
    return (
        f"{told} would be noticed after about {count(float(f'{topic.events:.2g}'))} "
        f"conversations{after}, at one false alarm of anything in 30 days."
    )


def _of(monitor: Monitor) -> str:
    return "follow-ups" if monitor == DRIFT_FOLLOWUPS else "openings"
