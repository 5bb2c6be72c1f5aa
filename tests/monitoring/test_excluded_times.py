"""A baseline leaves out the times of incidents, each for its model alone."""

from __future__ import annotations

import msgspec
from tests.monitoring.test_incidents import MINUTE, Night, v

from tidegauge.monitoring.incidents import incident_times, is_excluded, within
from tidegauge.schemas.findings import Alert


def ended(alarm: Alert, at: float) -> Alert:
    return msgspec.structs.replace(alarm, status="resolved", time_ms=round(at * MINUTE))


def test_an_incident_is_left_out_from_its_onset_until_its_last_alarm_ended() -> None:
    night = Night()
    slow = ended(night.raise_("latency.total", v(1), since=100, raised=110), 150)
    dear = ended(night.raise_("cost.request", v(1), since=101, raised=112), 180)
    (found,) = incident_times([slow, dear], 1_000 * MINUTE)
    assert (found.start_ms, found.end_ms, found.model) == (100 * MINUTE, 180 * MINUTE, "m")
    assert f"incident {slow.alert_id}" in found.reason
    assert "answers are slower" in found.reason


def test_an_incident_that_fires_is_left_out_until_now() -> None:
    night = Night()
    (found,) = incident_times([night.raise_("errors.rate", v(1), 100, 110)], 130 * MINUTE)
    assert (found.start_ms, found.end_ms) == (100 * MINUTE, 130 * MINUTE)
    assert is_excluded([found], "m", 129 * MINUTE, 131 * MINUTE)
    assert not is_excluded([found], "another", 129 * MINUTE, 131 * MINUTE)
    assert within([found], 0, 100 * MINUTE) == ()
    assert within([found], 0, 101 * MINUTE) == (found,)


def test_infos_the_pipelines_own_alarms_and_what_a_person_accepted_are_kept() -> None:
    night = Night()
    info = night.raise_("latency.total", v(1), 10, 20, severity="info")
    ours = night.raise_("pipeline.vitals", v(1), 100, 110)
    accepted = night.raise_("drift.topics", v(1), 200, 210)
    assert incident_times([info, ours, accepted], 0, accepted={accepted.alert_id}) == ()
