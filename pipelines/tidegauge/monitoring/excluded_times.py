"""Times that a baseline leaves out: those of incidents, and those that a person names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tidegauge.monitoring.incidents import Incident, incidents
from tidegauge.reports.text import clip
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.operations import ExcludedTime

__all__ = ["incident_times", "is_excluded", "within"]

_PIPELINE = "pipeline"
_REASON = 120


def incident_times(
    alerts: Iterable[Alert], now_ms: int, *, accepted: Collection[str] = ()
) -> tuple[ExcludedTime, ...]:
    """Return the times of incidents, each from its onset until its last alarm ended.

    Alarms of the pipeline's own health say nothing of the traffic, and infos are no alarms.

    Args:
        alerts: Alarms, firing or ended; the latest state of each.
        now_ms: The present, at which incidents that fire end for now.
        accepted: Alarms whose change a person has declared normal, by ``alert_id``.
    """
    counted = [
        alert
        for alert in alerts
        if alert.signal != _PIPELINE and alert.severity != "info" and alert.alert_id not in accepted
    ]
    found = [_time_of(incident, now_ms) for incident in incidents(counted)]
    return tuple(sorted(found, key=lambda one: (one.start_ms, one.end_ms, one.model)))


def _time_of(incident: Incident, now_ms: int) -> ExcludedTime:
    end_ms = now_ms if incident.fires else max(alarm.time_ms for alarm in incident.alarms)
    begins = [alarm.starts_ms for alarm in incident.alarms]
    begins += [alarm.onset_ms for alarm in incident.alarms if alarm.onset_ms is not None]
    start_ms = min(incident.onset.time_ms, *begins)
    return ExcludedTime(
        start_ms=start_ms,
        end_ms=max(end_ms, start_ms),
        model=incident.model,
        reason=clip(f"incident {incident.incident_id}: {'; '.join(incident.changes())}", _REASON),
    )


def within(times: Iterable[ExcludedTime], start_ms: int, end_ms: int) -> tuple[ExcludedTime, ...]:
    """Return the times that reach into a stretch of time."""
    return tuple(one for one in times if one.start_ms < end_ms and one.end_ms > start_ms)


def is_excluded(times: Sequence[ExcludedTime], model: str, start_ms: int, end_ms: int) -> bool:
    """Return whether a window of a model's traffic, or a moment of it, is left out.

    Args:
        times: What is left out.
        model: The model that the traffic is for.
        start_ms: Start of the window.
        end_ms: Its end; the same as the start for a moment.

    Example:
        >>> outage = ExcludedTime(start_ms=10, end_ms=20, model="m")
        >>> is_excluded([outage], "m", 0, 11), is_excluded([outage], "m", 20, 30)
        (True, False)
        >>> is_excluded([outage], "another", 0, 11)
        False
    """
    return any(
        one.start_ms < max(end_ms, start_ms + 1)
        and start_ms < one.end_ms
        and one.model in {"", model}
        for one in times
    )
