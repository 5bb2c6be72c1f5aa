"""One cause is one incident, two causes are two."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from tidegauge.monitoring.catalog import MonitorKey
from tidegauge.monitoring.incidents import Incident, incidents, joined, onset_of
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Monitor, Severity, State

WINDOW_MS = 10_000
MINUTE = 60_000
CHAT, ASK = "/chat", "/ask"


def v(number: int, route: str = CHAT, model: str = "m") -> Segment:
    return Segment(model=model, version=f"v{number}", route=route)


def both(route: str = CHAT) -> Segment:
    return Segment(model="m", route=route)


class Night:
    """Alarms as they are raised, one after the other."""

    def __init__(self, swaps: Mapping[Segment, int] | None = None) -> None:
        self.swaps = swaps or {}
        self.alarms: list[Alert] = []

    def raise_(
        self,
        monitor: str,
        segment: Segment,
        since: float | None,
        raised: float,
        severity: Severity = "warn",
    ) -> Alert:
        """Raise an alarm at a minute of the night on a change since a minute."""
        found = Monitor.parse(monitor)
        at = round(raised * MINUTE)
        verdict = msgspec.structs.replace(
            untested_verdict(MonitorKey(found, segment), State.WARN, "It changed.", at),
            since_ms=None if since is None else round(since * MINUTE),
        )
        alarm = Alert(
            alert_id=f"{monitor} {segment.key}",
            monitor=monitor,
            signal=found.signal,
            segment=segment,
            severity=severity,
            status="firing",
            starts_ms=at,
            time_ms=at,
            summary="It changed.",
            verdict=verdict,
        )
        self.alarms.append(joined(alarm, self.alarms, self.swaps, window_ms=WINDOW_MS))
        return self.alarms[-1]

    @property
    def incidents(self) -> tuple[Incident, ...]:
        return incidents(self.alarms)


def test_one_swap_is_one_incident_whatever_it_harms_on_whichever_route() -> None:
    night = Night({v(2): 100 * MINUTE, v(2, ASK): 103 * MINUTE})
    night.raise_("quality.likelihood", v(2), 101, 104)
    night.raise_("latency.total", v(2), 100, 108)
    night.raise_("quality.likelihood", v(2, ASK), 104, 120)
    night.raise_("swap.quality.likelihood.fluency", v(2), 100, 160)
    (found,) = night.incidents
    assert found.incident_id == night.alarms[0].alert_id
    assert found.onset.time_ms == 100 * MINUTE
    assert found.routes == (ASK, CHAT)
    assert found.title() == (
        "v2 since 1970-01-01 01:40:00 UTC: answers are worse on 2 of 2 routes; "
        "answers are slower on 1 of 2 routes"
    )


def test_invented_facts_are_told_before_worse_answers() -> None:
    night = Night({v(2): 100 * MINUTE})
    night.raise_("quality.likelihood", v(2), 100, 104)
    night.raise_("quality.hallucination", v(2), 100, 106)
    night.raise_("quality.hallucination.groundedness", v(2), 100, 107)
    (found,) = night.incidents
    assert found.changes() == (
        "more answers say what their context does not hold",
        "answers are worse",
    )
    assert found.alarms[0].monitor == "quality.hallucination"


def test_a_shift_of_topics_on_all_routes_is_one_incident() -> None:
    night = Night()
    night.raise_("drift.topics", both(), 60, 64)
    night.raise_("drift.followups", both(), 61.5, 70)
    night.raise_("drift.topics", both(ASK), 59, 69)
    (found,) = night.incidents
    assert found.title() == (
        "m since 1970-01-01 01:00:00 UTC: people ask for something else on 2 of 2 routes"
    )


def test_other_questions_first_and_a_worse_version_later_are_two() -> None:
    night = Night({v(2): 75 * MINUTE})
    night.raise_("drift.topics", both(), 60, 64)
    night.raise_("quality.likelihood", v(2), 75, 78, "critical")
    worse, asked = night.incidents
    assert worse.title().startswith("v2 since 1970-01-01 01:15:00 UTC: answers are worse")
    assert asked.title().startswith("m since 1970-01-01 01:00:00 UTC: people ask")
    assert (worse.severity, asked.severity) == ("critical", "warn")


def test_two_causes_on_two_routes_are_two() -> None:
    night = Night()
    night.raise_("errors.rate", v(1), 60, 62)
    night.raise_("latency.total", v(1, ASK), 90, 95)
    assert len(night.incidents) == 2


def test_two_models_are_two_and_the_pipeline_is_a_third() -> None:
    night = Night()
    night.raise_("errors.rate", v(1), 60, 62)
    night.raise_("errors.rate", v(1, model="other"), 60, 62)
    night.raise_("pipeline.capture", Segment(model=""), None, 62)
    assert [one.model for one in night.incidents] == ["m", "other", ""]
    assert night.incidents[2].title() == ("the pipeline since 1970-01-01 01:02:00 UTC: It changed")


def test_trouble_of_a_version_long_after_its_swap_is_an_incident_of_its_own() -> None:
    night = Night({v(2): 100 * MINUTE})
    night.raise_("quality.likelihood", v(2), 100, 104)
    night.raise_("latency.total", v(2), 400, 406)
    slow, worse = night.incidents
    assert (slow.onset.version, worse.onset.version) == ("", "v2")
    assert slow.onset.time_ms == 400 * MINUTE


@pytest.mark.parametrize(("raised", "number"), [(64, 2), (100, 1)])
def test_the_longer_it_took_to_find_a_change_the_less_is_known_of_its_onset(
    raised: int, number: int
) -> None:
    night = Night()
    night.raise_("errors.rate", v(1), 60, 61)
    night.raise_("latency.total", v(1), 50, raised)
    assert len(night.incidents) == number


def test_an_incident_does_not_grow_by_chains() -> None:
    night = Night()
    for minute in range(0, 40, 2):
        night.raise_("errors.rate", v(1, f"/{minute}"), minute, minute + 4)
    assert len(night.incidents) > 5


def test_it_keeps_its_identity_when_its_first_alarm_has_ended() -> None:
    night = Night()
    first = night.raise_("errors.rate", v(1), 60, 62)
    night.raise_("latency.total", v(1), 60, 63)
    before = night.incidents[0].incident_id
    night.alarms.remove(first)
    late = night.raise_("cost.request", v(1), 60, 65)
    assert late.incident == before == night.incidents[0].incident_id


def test_it_fires_as_long_as_one_of_its_alarms_does_and_is_owned_when_all_are() -> None:
    night = Night()
    first = night.raise_("errors.rate", v(1), 60, 62)
    second = night.raise_("latency.total", v(1), 60, 63)
    had = msgspec.structs.replace(first, status="acknowledged", owner="Ada")
    over = msgspec.structs.replace(second, status="resolved")
    night.alarms = [had, second]
    assert (night.incidents[0].fires, night.incidents[0].owner) == (True, "")
    night.alarms = [had, over]
    assert (night.incidents[0].fires, night.incidents[0].owner) == (True, "Ada")
    night.alarms = [over]
    assert not night.incidents[0].fires


def test_a_change_without_a_known_beginning_began_when_it_was_found() -> None:
    alarm = Night().raise_("pipeline.ledger", Segment(model=""), None, 7)
    assert onset_of(alarm.verdict, alarm.starts_ms, {}, window_ms=WINDOW_MS).time_ms == 7 * MINUTE
