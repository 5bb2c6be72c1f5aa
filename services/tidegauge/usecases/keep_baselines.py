"""Keeps baselines: builds those that are due, and says what the others wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidegauge.drift.errors import TooFewTextsError
from tidegauge.monitoring.baseline_life import (
    KINDS,
    Due,
    LifePlan,
    Waiting,
    next_step,
)
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.runtime.kafka.errors import TopicError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.operations import BaselineKind, BaselineManifest
from tidegauge.usecases.errors import ShortBaselineError
from tidegauge.usecases.latest_verdicts import latest_verdicts
from tidegauge.usecases.made_baselines import Kept
from tidegauge.usecases.make_baseline import BaselineMaker, Wish
from tidegauge.usecases.past_alerts import past_alerts

__all__ = ["keep_baselines", "state_of_log", "wish_of"]


def state_of_log(
    kafka: KafkaSettings, now_ms: int
) -> tuple[tuple[Alert, ...], tuple[Verdict, ...]]:
    """Return the alarms that fire and the latest verdicts, as the log has them.

    Raises:
        LogError: The broker does not answer.
    """
    try:
        alarms = tuple(alert for alert in past_alerts(kafka) if alert.fires)
        return alarms, latest_verdicts(kafka, now_ms)
    except TopicError:
        return (), ()  # no monitor has run yet


def wish_of(due: Due, in_force: BaselineManifest | None, now_ms: int, plan: LifePlan) -> Wish:
    """Return the baseline that is due."""
    accepted = in_force is not None and due.how == "accepted"
    return Wish(
        how=due.how,
        start_ms=now_ms - plan.length_ms,
        end_ms=now_ms,
        since=in_force.origin.since if in_force is not None and accepted else {},
        monitors=in_force.origin.monitors if in_force is not None and accepted else (),
        least_ms=plan.first_ms,
    )


def keep_baselines(
    maker: BaselineMaker,
    manifests: Sequence[BaselineManifest],
    state: Callable[[], tuple[Sequence[Alert], Sequence[Verdict]]],
    *,
    now_ms: int,
    plan: LifePlan,
) -> tuple[Kept, ...]:
    """Build the baselines that are due.

    Building takes minutes. What has begun to alarm meanwhile, or was put in force, stays.

    Args:
        maker: Builds them.
        manifests: All baselines.
        state: Returns the alarms that fire now, and the latest verdicts.
        now_ms: The present, Unix milliseconds.
        plan: The settings.

    Raises:
        TidegaugeError: The broker does not answer, or a library is missing.
    """
    return tuple(_kept(maker, kind, manifests, state, now_ms, plan) for kind in KINDS)


def _kept(  # noqa: PLR0913, PLR0917 - what decides on it
    maker: BaselineMaker,
    kind: BaselineKind,
    manifests: Sequence[BaselineManifest],
    state: Callable[[], tuple[Sequence[Alert], Sequence[Verdict]]],
    now_ms: int,
    plan: LifePlan,
) -> Kept:
    in_force = maker.in_force(kind)

    def look() -> Due | Waiting:
        return next_step(kind, in_force, manifests, *state(), now_ms=now_ms, plan=plan)

    step = look()
    if isinstance(step, Waiting):
        return Kept(kind=kind, said=step.why)
    kept = _build(maker, kind, step, in_force, wish_of(step, in_force, now_ms, plan), look)
    if kept.made is not None and kept.made.active:
        maker.drop_replaced(kind, state()[0])
    return kept


def _build(  # noqa: PLR0913, PLR0917 - what is due, and whether it still is
    maker: BaselineMaker,
    kind: BaselineKind,
    due: Due,
    in_force: BaselineManifest | None,
    wish: Wish,
    look: Callable[[], Due | Waiting],
) -> Kept:
    try:
        draft = maker.draft(kind, wish)
    except (TooFewTextsError, RatesBaselineError, ShortBaselineError) as error:
        return Kept(kind=kind, said=str(error), attempted=True)
    if in_force and in_force.summary.get("to_ms") == draft.baseline.summary().get("to_ms"):
        return Kept(kind=kind, said="there is no traffic that it does not hold", attempted=True)
    if due.how == "provisional" and not draft.promises:
        waits = next(
            (one.refused for found in draft.references.values() for one in found.values()), ""
        )
        return Kept(kind=kind, said=f"nothing can be promised yet: {waits}", attempted=True)
    now_in_force = maker.in_force(kind)
    if (now_in_force and now_in_force.baseline_id) != (in_force and in_force.baseline_id):
        return Kept(kind=kind, said="another one was put in force meanwhile", attempted=True)
    if isinstance(step := look(), Waiting):
        return Kept(kind=kind, said=step.why, attempted=True)
    note = _NOTES[due.how]
    differs = due.how == "renewed" and draft.differs
    if differs:
        note = "it differs from the last baseline that a person decided on"
    made = maker.publish(draft, activate=due.activate and not differs, note=note)
    return Kept(kind=kind, said=made.said, made=made, attempted=True)


_NOTES = {
    "provisional": "provisional, from the traffic so far",
    "accepted": "more traffic since the change that was accepted",
    "renewed": "renewed from the last clean time",
    "built": "built by hand",
}
