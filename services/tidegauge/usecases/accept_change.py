"""Declares a change normal: builds a baseline from the time since, and puts it in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tidegauge.detection.reference import nearest
from tidegauge.drift.errors import TooFewTextsError
from tidegauge.monitoring.baseline_life import LifePlan
from tidegauge.monitoring.catalog import baseline_kind
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.incidents import Incident, incidents
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.reports.formatting import duration, moment
from tidegauge.reports.reference_text import refusal_sentence
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.findings import Alert, Monitor
from tidegauge.schemas.operations import BaselineKind
from tidegauge.usecases.errors import AcceptanceError
from tidegauge.usecases.made_baselines import MadeBaseline
from tidegauge.usecases.make_baseline import BaselineMaker, Draft, Wish
from tidegauge.usecases.past_alerts import past_alerts

__all__ = ["accept_change", "find_change", "left_to_close"]

_TESTED = frozenset({"drift", "quality", "latency", "errors", "cost"})


def find_change(kafka: KafkaSettings, name: str) -> Incident:
    """Return the incident that an alarm or an incident's id names, with its firing alarms.

    Args:
        kafka: How to reach Kafka.
        name: ``alert_id`` of an alarm, or an incident's id.

    Raises:
        AcceptanceError: No alarm of this name fires, or none that a baseline is for.
        LogError: The broker does not answer.
    """
    known = past_alerts(kafka)
    wanted = {a.incident or a.alert_id for a in known if name in {a.alert_id, a.incident}}
    firing = [a for a in known if (a.incident or a.alert_id) in wanted and a.fires]
    if not firing:
        raise AcceptanceError(
            f"no alarm that fires has the id {name[:80]!r}: `tidegauge alerts` lists them"
        )
    tested = [alarm for alarm in firing if alarm.signal in _TESTED]
    if not tested:
        monitors = ", ".join(sorted({alarm.monitor for alarm in firing}))
        raise AcceptanceError(
            f"{monitors} is not tested against a baseline: close it instead with `tidegauge close`"
        )
    return incidents(tested)[0]


def left_to_close(kafka: KafkaSettings, change: Incident) -> tuple[Alert, ...]:
    """Return the incident's alarms that no baseline ends: comparisons of two versions."""
    return tuple(
        alarm
        for alarm in past_alerts(kafka, change.incident_id)
        if alarm.fires and alarm.signal == "swap"
    )


def accept_change(  # noqa: PLR0913 - the change, and who says what of it
    maker: BaselineMaker, change: Incident, *, who: str, note: str, now_ms: int, plan: LifePlan
) -> tuple[MadeBaseline, ...]:
    """Build baselines from the time since a change, and put them in force.

    Rates get new references for the monitors of the incident on its model, and keep all others
    with their evidence. A drift baseline is fitted anew, without the model's requests of before
    the change. Nothing is put in force unless every alarm's monitor is promised on the new time.

    Args:
        maker: Builds baselines.
        change: The incident.
        who: Who declares it normal.
        note: Why.
        now_ms: The present, Unix milliseconds.
        plan: How long baselines are.

    Returns:
        The baselines, one for each kind that the incident's alarms concern.

    Raises:
        AcceptanceError: There is too little since the change: what is missing, and from when
            there may be enough.
        TidegaugeError: The broker does not answer, or a library is missing.
    """
    by_kind: dict[BaselineKind, list[Alert]] = defaultdict(list)
    for alarm in change.alarms:
        by_kind[baseline_kind(Monitor.parse(alarm.monitor))].append(alarm)
    onset_ms = change.onset.time_ms
    drafts = []
    for kind, alarms in sorted(by_kind.items(), reverse=True):
        wish = Wish(
            how="accepted",
            start_ms=min(now_ms - plan.length_ms, onset_ms),
            end_ms=now_ms,
            who=who,
            accepts=tuple(alarm.alert_id for alarm in change.alarms),
            since={change.model: onset_ms},
            monitors=tuple(sorted({alarm.monitor for alarm in alarms})) if kind == "rates" else (),
        )
        try:
            draft = maker.draft(kind, wish)
        except (TooFewTextsError, RatesBaselineError) as error:
            raise AcceptanceError(
                f"{_since(onset_ms, now_ms)}: {error}; try again when there is more"
            ) from error
        if missing := _missing(draft, alarms, onset_ms, now_ms):
            raise AcceptanceError(" ".join(missing))
        drafts.append(draft)
    said = f"the change since {moment(onset_ms)} is the new normal"
    by = f", says {who}" if who else ""
    why = f"{said}{by}{': ' + note if note else ''}"
    return tuple(maker.publish(draft, activate=True, note=why) for draft in drafts)


def _missing(draft: Draft, alarms: Sequence[Alert], onset_ms: int, now_ms: int) -> list[str]:
    """Return what cannot be promised of the alarms' monitors, and from when it may be."""
    said = []
    for alarm in alarms:
        found = nearest(draft.references.get(alarm.monitor, {}), alarm.segment)
        where = f"{alarm.monitor} on {alarm.segment.key}"
        if found is None:
            why = "there is too little traffic since"
            if isinstance(draft.baseline, RatesBaseline):
                place = f"{alarm.monitor} {alarm.segment.key}"
                why = draft.baseline.left_out.get(place, why)
            said.append(f"{_since(onset_ms, now_ms)}: {where} has no reference ({why}).")
        elif found[1].refused:
            wanted_ms = found[1].wanted_ms
            again = f" Try again from {moment(onset_ms + wanted_ms)} on." if wanted_ms else ""
            said.append(f"{_since(onset_ms, now_ms)}, {where}: {refusal_sentence(found[1])}{again}")
    return said


def _since(onset_ms: int, now_ms: int) -> str:
    return f"On the {duration((now_ms - onset_ms) / 1000)} since {moment(onset_ms)}"
