"""When a baseline is due, and what it waits for."""

from __future__ import annotations

import math

import msgspec
import pytest
from tests.monitoring.test_incidents import Night, v

from tidegauge.monitoring.baseline_life import Due, LifePlan, Waiting, next_step, replaced
from tidegauge.monitoring.errors import PlanError
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.operations import BaselineManifest, BaselineOrigin, Making

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PLAN = LifePlan()


def baseline(
    how: Making, from_ms: int, to_ms: int, since: dict[str, int] | None = None
) -> BaselineManifest:
    return BaselineManifest(
        baseline_id="rates-1",
        kind="rates",
        fingerprint="f",
        created_ms=to_ms,
        parts=1,
        sha256="",
        summary={"from_ms": str(from_ms), "to_ms": str(to_ms)},
        origin=BaselineOrigin(how=how, since=since or {}),
    )


def step(  # noqa: PLR0913 - what decides on it
    in_force: BaselineManifest | None,
    now_ms: int,
    *,
    plan: LifePlan = PLAN,
    alarms: tuple[Alert, ...] = (),
    verdicts: tuple[Verdict, ...] = (),
    tested_ms: int | None = None,
    known: tuple[BaselineManifest, ...] = (),
) -> Due | Waiting:
    """Return the next step; a monitor with little evidence was tested just now, or when it says."""
    tested = quiet(now_ms if tested_ms is None else tested_ms)
    seen = (*verdicts, tested)
    return next_step("rates", in_force, known, alarms, seen, now_ms=now_ms, plan=plan)


def quiet(time_ms: int) -> Verdict:
    alarm = Night().raise_("cost.request", v(1), since=100, raised=110)
    return msgspec.structs.replace(
        alarm.verdict, baseline="rates-1", time_ms=time_ms, log_threshold=10.0, log_statistic=1.0
    )


def test_without_a_baseline_the_first_traffic_makes_one_unless_that_is_off() -> None:
    assert step(None, HOUR) == Due("provisional")
    off = step(None, HOUR, plan=LifePlan(provisional=False))
    assert isinstance(off, Waiting)
    assert "switched off" in off.why


def test_a_provisional_baseline_doubles_until_it_has_its_full_length() -> None:
    found = step(baseline("provisional", 0, HOUR), HOUR + HOUR // 2)
    assert isinstance(found, Waiting)
    assert "covers 1 h of 14 days" in found.why
    assert step(baseline("provisional", 0, HOUR), 2 * HOUR) == Due("provisional")
    assert step(baseline("provisional", 0, 10 * DAY), 13 * DAY) != Due("provisional")
    assert step(baseline("provisional", 0, 10 * DAY), 14 * DAY) == Due("renewed")
    stays = step(baseline("provisional", 0, HOUR), 2 * HOUR, plan=LifePlan(grow=False))
    assert isinstance(stays, Waiting)


def test_growth_stops_at_an_alarm_and_a_person_decides() -> None:
    alarm = Night().raise_("latency.total", v(1), since=100, raised=110)
    known = baseline("provisional", 0, HOUR)
    found = step(known, 2 * HOUR, alarms=(alarm,))
    assert isinstance(found, Waiting)
    assert "latency.total" in found.why
    assert f"tidegauge baseline accept {alarm.incident}" in found.why
    info = msgspec.structs.replace(alarm, severity="info")
    ours = Night().raise_("pipeline.vitals", v(1), since=100, raised=110)
    assert step(known, 2 * HOUR, alarms=(info, ours)) == Due("provisional")


@pytest.mark.parametrize(("part", "waits"), [(0.1, True), (0.01, False)])
def test_growth_waits_while_evidence_gathers(part: float, *, waits: bool) -> None:
    alarm = Night().raise_("latency.total", v(1), since=100, raised=110)
    verdict = msgspec.structs.replace(
        alarm.verdict,
        baseline="rates-1",
        log_threshold=10.0,
        log_statistic=10.0 + math.log(part),
    )
    found = step(baseline("provisional", 0, HOUR), 2 * HOUR, verdicts=(verdict,))
    assert isinstance(found, Waiting) is waits
    other = msgspec.structs.replace(verdict, baseline="rates-0", log_statistic=10.0)
    assert step(baseline("provisional", 0, HOUR), 2 * HOUR, verdicts=(other,)) == Due("provisional")


def test_growth_waits_while_no_evidence_is_known() -> None:
    known = baseline("provisional", 0, HOUR)
    assert step(known, 2 * HOUR, tested_ms=2 * HOUR - 9 * MINUTE) == Due("provisional")
    late = step(known, 2 * HOUR, tested_ms=2 * HOUR - 11 * MINUTE)
    assert isinstance(late, Waiting)
    assert "no evidence is known" in late.why
    never = next_step("rates", known, (known,), (), (), now_ms=2 * HOUR, plan=PLAN)
    assert isinstance(never, Waiting)
    assert "nothing against it in the last 10 min" in never.why
    of_another = msgspec.structs.replace(quiet(2 * HOUR), monitor="drift.topics")
    one = next_step("rates", known, (known,), (), (of_another,), now_ms=2 * HOUR, plan=PLAN)
    assert isinstance(one, Waiting)


def test_evidence_against_references_that_were_kept_counts_as_well() -> None:
    known = baseline("accepted", 0, 10 * DAY, since={"m": 10 * DAY - HOUR})
    origin = msgspec.structs.replace(known.origin, monitors=("errors.rate",))
    known = msgspec.structs.replace(known, origin=origin)
    alarm = Night().raise_("latency.total", v(1), since=100, raised=110)
    kept = msgspec.structs.replace(
        alarm.verdict, baseline="rates-0", log_threshold=10.0, log_statistic=10.0
    )
    assert isinstance(step(known, 10 * DAY + HOUR, verdicts=(kept,)), Waiting)
    segment = msgspec.structs.replace(kept.segment, model="m")
    replaced = msgspec.structs.replace(kept, monitor="errors.rate", segment=segment)
    assert step(known, 10 * DAY + HOUR, verdicts=(replaced,)) == Due("accepted")


def test_an_accepted_baseline_grows_from_the_change_on() -> None:
    known = baseline("accepted", 0, 10 * DAY, since={"m": 10 * DAY - HOUR})
    assert isinstance(step(known, 10 * DAY), Waiting)
    assert step(known, 10 * DAY + HOUR) == Due("accepted")


def test_a_baseline_of_full_length_is_renewed_at_its_age_and_proposed() -> None:
    known = baseline("built", 0, 14 * DAY)
    assert isinstance(step(known, 43 * DAY), Waiting)
    assert step(known, 44 * DAY) == Due("renewed", activate=False)
    assert step(known, 44 * DAY, plan=LifePlan(renewal="activate")) == Due("renewed")
    assert isinstance(step(known, 44 * DAY, plan=LifePlan(renewal="off")), Waiting)
    renewed = baseline("renewed", 30 * DAY, 44 * DAY)
    assert isinstance(step(known, 50 * DAY, known=(known, renewed)), Waiting)
    alarm = Night().raise_("errors.rate", v(1), since=1, raised=2)
    assert isinstance(step(known, 44 * DAY, alarms=(alarm,)), Waiting)


def made(name: str, how: Making, at: int, **origin: object) -> BaselineManifest:
    known = baseline(how, 0, at)
    more = msgspec.structs.replace(known.origin, **origin)
    return msgspec.structs.replace(known, baseline_id=name, origin=more)


def test_a_provisional_baseline_is_dropped_once_nothing_needs_it() -> None:
    first, second = made("a", "provisional", 1), made("b", "provisional", 2, replaces="a")
    third = made("c", "provisional", 3, replaces="b")
    by_hand, drift = made("h", "built", 1), msgspec.structs.replace(first, kind="drift")
    known = (first, second, third, by_hand)
    assert replaced(third, known, ()) == ("a",)
    assert replaced(third, (msgspec.structs.replace(first, dropped_ms=9), second), ()) == ()
    assert replaced(third, (drift,), ()) == ()
    alarm = Night().raise_("latency.total", v(1), since=100, raised=110)
    against = msgspec.structs.replace(
        alarm, verdict=msgspec.structs.replace(alarm.verdict, baseline="a")
    )
    assert replaced(third, known, (against,)) == ()
    whole = made("d", "accepted", 4, replaces="c")
    partial = made("d", "accepted", 4, replaces="c", monitors=("latency.total",))
    assert replaced(whole, known, ()) == ("a", "b")
    assert replaced(partial, known, ()) == ("a", "b"), "c's references are c's own"
    grown = made("e", "accepted", 5, replaces="d", monitors=("latency.total",))
    assert replaced(grown, (*known, partial), ()) == ("a", "b"), "some of c's references are in it"
    assert replaced(made("r", "renewed", 6, replaces="e", anchor="a"), known, ()) == ("b", "c")


def test_lengths_that_cannot_be_are_refused() -> None:
    with pytest.raises(PlanError, match="least length"):
        LifePlan(first_ms=2 * DAY, length_ms=DAY)
