"""A stretch of the log that a baseline is built from, and the times that are left out of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tidegauge.monitoring.incidents import incident_times, is_excluded, within
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.errors import TopicError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.operations import ExcludedTime
from tidegauge.usecases.errors import TimeRangeError
from tidegauge.usecases.past_alerts import past_alerts
from tidegauge.usecases.time_range import check_held, parse_range

__all__ = ["Stretch", "excluded_by_name", "incidents_of_log"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of event time without the times that are left out.

    Attributes:
        start_ms: Its start, Unix milliseconds.
        end_ms: Its end, excluded.
        excluded: The times that are left out.
        must_be_held: Whether the log must hold it from about its start; else what it holds counts.
    """

    start_ms: int
    end_ms: int
    excluded: tuple[ExcludedTime, ...] = ()
    must_be_held: bool = True

    def leaves_out(self, model: str, start_ms: int, end_ms: int = 0) -> bool:
        """Return whether a moment, or a window, of a model's traffic is left out."""
        return bool(self.excluded) and is_excluded(self.excluded, model, start_ms, end_ms)

    def check_held(self, first_ms: int) -> None:
        """Check that the log holds the stretch from about its start.

        Args:
            first_ms: Time of the first event that the log holds of it.

        Raises:
            TimeRangeError: It does not.
        """
        if self.must_be_held:
            check_held(self.start_ms, self.end_ms, first_ms)


def excluded_by_name(texts: Sequence[str], now_ms: int) -> tuple[ExcludedTime, ...]:
    """Return the times that a person leaves out, each written ``FROM/TO``.

    Raises:
        TimeRangeError: One cannot be read.

    Example:
        >>> excluded_by_name(["1970-01-01T00:01/1970-01-01T00:02"], 0)[0].end_ms
        120000
    """
    found = []
    for text in texts:
        start, slash, end = text.partition("/")
        if not slash:
            raise TimeRangeError(
                f"{text[:80]!r} is no range of time: write FROM/TO, such as "
                "2026-01-31T22:00/2026-01-31T23:30 or -3h/-2h"
            )
        named = parse_range(start, end, now_ms)
        found.append(
            ExcludedTime(start_ms=named.start_ms, end_ms=named.end_ms, reason="left out by name")
        )
    return tuple(found)


def incidents_of_log(
    kafka: KafkaSettings,
    start_ms: int,
    end_ms: int,
    now_ms: int,
    *,
    accepted: Collection[str] = (),
) -> tuple[ExcludedTime, ...]:
    """Return the times of the log's incidents in a stretch of time.

    Incidents whose change a person has declared normal are none any more.

    Args:
        kafka: How to reach Kafka.
        start_ms: Start of the stretch.
        end_ms: Its end.
        now_ms: The present, Unix milliseconds.
        accepted: Alarms whose change is being declared normal, by ``alert_id``.

    Raises:
        LogError: The broker does not answer.
    """
    normal = set(accepted).union(
        *(manifest.origin.accepts for manifest in BaselineStore(kafka).list())
    )
    try:
        alerts = past_alerts(kafka)
    except TopicError:
        return ()  # no monitor has run yet
    return within(incident_times(alerts, now_ms, accepted=normal), start_ms, end_ms)
