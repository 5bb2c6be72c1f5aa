from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidegauge.monitoring.attribution import AttributionContext, coincidences, load_ratio
from tidegauge.monitoring.catalog import MonitorKey
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.monitoring.version_comparison import VersionComparison
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Monitor, Signal, State

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

SEGMENT = Segment(model="m", version="v2", route="/chat")


def alarm(monitor: str, signal: Signal, segment: Segment) -> Alert:
    return Alert(
        alert_id="a",
        monitor=monitor,
        signal=signal,
        segment=segment,
        severity="warn",
        status="firing",
        starts_ms=60_000,
        time_ms=60_000,
        summary="",
        verdict=untested_verdict(
            MonitorKey(Monitor.parse(monitor), segment), State.WARN, "", 60_000
        ),
    )


def context(**known: object) -> AttributionContext:
    fields: dict[str, object] = {"comparisons": (), "alarms": (), "load_ratio": None, **known}
    return AttributionContext(**fields)  # type: ignore[arg-type] # the test's own keyword arguments


def test_a_swap_just_before_is_named() -> None:
    swap = VersionComparison(
        old=Segment(model="m", version="v1", route="/chat"),
        new=SEGMENT,
        since_ms=50_000,
        metrics=(),
    )
    (found,) = coincidences(
        Monitor.parse("quality.likelihood"), SEGMENT, 60_000, context(comparisons=(swap,))
    )
    assert found == ("It coincides with the swap from version v1 to v2 at 1970-01-01 00:00:50 UTC.")


def test_shifted_topics_leave_the_cause_open() -> None:
    drift = alarm("drift.topics", "drift", Segment(model="m", route="/chat"))
    (found,) = coincidences(
        Monitor.parse("quality.likelihood"), SEGMENT, 90_000, context(alarms=(drift,))
    )
    assert "since 1970-01-01 00:01:00 UTC" in found
    assert "tidegauge explain quality.likelihood" in found
    elsewhere = alarm("drift.topics", "drift", Segment(model="another"))
    (found,) = coincidences(
        Monitor.parse("quality.likelihood"), SEGMENT, 90_000, context(alarms=(elsewhere,))
    )
    assert found.startswith("No swap")


def test_the_first_shift_of_topics_is_named() -> None:
    traffic = Segment(model="m", route="/chat")
    first, then = (
        alarm("drift.followups", "drift", traffic),
        alarm("drift.topics", "drift", traffic),
    )
    then = msgspec.structs.replace(then, starts_ms=120_000)
    for alarms in ((first, then), (then, first)):
        (found,) = coincidences(Monitor.parse("errors.rate"), SEGMENT, 0, context(alarms=alarms))
        assert "Topics have shifted as well, since 1970-01-01 00:01:00 UTC" in found


def test_drift_says_whether_the_other_turns_have_changed_as_well() -> None:
    traffic = Segment(model="m", route="/chat")
    both = alarm("drift.topics", "drift", traffic), alarm("drift.followups", "drift", traffic)
    found, _ = coincidences(Monitor.parse("drift.topics"), traffic, 0, context(alarms=both))
    assert found == (
        "Follow-ups of conversations have changed as well, since 1970-01-01 00:01:00 UTC."
    )
    found, _ = coincidences(Monitor.parse("drift.followups"), traffic, 0, context(alarms=both))
    assert found.startswith("Openings of conversations have changed as well")


def test_load_is_named_where_it_grew() -> None:
    (found,) = coincidences(Monitor.parse("latency.total"), SEGMENT, 0, context(load_ratio=2.04))
    assert found == "Load is 2.0 times what it was before."
    (found,) = coincidences(Monitor.parse("latency.total"), SEGMENT, 0, context(load_ratio=1.2))
    assert found.startswith("No swap")


def test_drift_says_whether_anyone_is_harmed() -> None:
    segment = Segment(model="m", route="/chat")
    (found,) = coincidences(Monitor.parse("drift.topics"), segment, 0, context())
    assert found.startswith("Quality, latency and errors raise no alarm")
    harms = (alarm("quality.x", "quality", SEGMENT), alarm("errors.rate", "errors", SEGMENT))
    (found,) = coincidences(Monitor.parse("drift.topics"), segment, 0, context(alarms=harms))
    assert found == "In the same traffic errors and quality alarm as well."


def test_load_is_events_by_time_over_all_versions(traffic: Traffic) -> None:
    before = [traffic.writers["vitals"].sketch(window, events=10) for window in range(5)]
    after = [
        traffic.writers["vitals"].sketch(window, events=10, segment=traffic.version(version))
        for window in range(5, 8)
        for version in (1, 2)
    ]
    since = traffic.start_of(5)
    assert load_ratio([*before, *after], since) == 2
    assert load_ratio(before, since) is None
    assert load_ratio(after, since) is None
