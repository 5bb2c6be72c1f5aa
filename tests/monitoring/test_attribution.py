from __future__ import annotations

from typing import TYPE_CHECKING

from tidegauge.monitoring.attribution import AttributionContext, coincidences, load_ratio
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.monitoring.version_comparison import VersionComparison
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Signal, State

if TYPE_CHECKING:
    from tests.monitoring.conftest import Kit

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
        verdict=untested_verdict(monitor, segment, State.WARN, "", 60_000),
    )


def scene(**known: object) -> AttributionContext:
    fields: dict[str, object] = {"swaps": (), "alarms": (), "load": None, **known}
    return AttributionContext(**fields)  # type: ignore[arg-type] # the test's own keyword arguments


def test_a_swap_just_before_is_named() -> None:
    swap = VersionComparison(
        old=Segment(model="m", version="v1", route="/chat"),
        new=SEGMENT,
        since_ms=50_000,
        contests=(),
    )
    (said,) = coincidences("quality.likelihood", SEGMENT, 60_000, scene(swaps=(swap,)))
    assert said == ("It coincides with the swap from version v1 to v2 at 1970-01-01 00:00:50 UTC.")


def test_shifted_topics_leave_the_cause_open() -> None:
    drift = alarm("drift.topics", "drift", Segment(model="m", route="/chat"))
    (said,) = coincidences("quality.likelihood", SEGMENT, 90_000, scene(alarms=(drift,)))
    assert "since 1970-01-01 00:01:00 UTC" in said
    assert "tidegauge explain quality.likelihood" in said
    elsewhere = alarm("drift.topics", "drift", Segment(model="another"))
    (said,) = coincidences("quality.likelihood", SEGMENT, 90_000, scene(alarms=(elsewhere,)))
    assert said.startswith("No swap")


def test_load_is_named_where_it_grew() -> None:
    (said,) = coincidences("latency.total", SEGMENT, 0, scene(load=2.04))
    assert said == "Load is 2.0 times what it was before."
    (said,) = coincidences("latency.total", SEGMENT, 0, scene(load=1.2))
    assert said.startswith("No swap")


def test_drift_says_whether_anyone_is_harmed() -> None:
    segment = Segment(model="m", route="/chat")
    (said,) = coincidences("drift.topics", segment, 0, scene())
    assert said.startswith("Quality, latency and errors raise no alarm")
    harms = (alarm("quality.x", "quality", SEGMENT), alarm("errors.rate", "errors", SEGMENT))
    (said,) = coincidences("drift.topics", segment, 0, scene(alarms=harms))
    assert said == "In the same traffic errors and quality alarm too."


def test_load_is_events_by_time_over_all_versions(kit: Kit) -> None:
    before = [kit.writers["vitals"].sketch(window, events=10) for window in range(5)]
    after = [
        kit.writers["vitals"].sketch(window, events=10, segment=kit.version(version))
        for window in range(5, 8)
        for version in (1, 2)
    ]
    since = kit.start_of(5)
    assert load_ratio([*before, *after], since) == 2
    assert load_ratio(before, since) is None
    assert load_ratio(after, since) is None
