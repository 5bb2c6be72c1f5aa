from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.errors import MonitorStateError
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import State
from tidegauge.schemas.operations import BaselineActivation, Control
from tidegauge.schemas.sketches import Sketch
from tidegauge.schemas.topics import BASELINES, CONTROLS, HEARTBEATS, SKETCHES
from tidegauge.streaming.processor import Partition, Record

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness, Traffic

LATENCY, QUALITY, ERRORS = "latency.total", "quality.likelihood", "errors.rate"


@pytest.fixture
def baseline(traffic: Traffic) -> RatesBaseline:
    document = build_rates_baseline(traffic.baseline_windows()).to_bytes()
    return RatesBaseline.from_bytes(document, "rates-1")


@pytest.fixture
def held(harness: Harness, baseline: RatesBaseline) -> Harness:
    harness.monitor.use("rates", "rates-1", baseline.references, harness.now_ms)
    return harness


def run(harness: Harness, traffic: Traffic, windows: range, **change: float) -> None:
    """Process windows of traffic: ``shift`` of the scores, the rest as ``Traffic.vitals``."""
    shift = change.pop("shift", 0.0)
    segment = traffic.version(int(change.get("version", 1)))
    for window in windows:
        harness.give(
            traffic.vitals(window, 4, **change),
            traffic.writers["vitals"].progress(window + 1),
            traffic.quality(window, 4, shift=shift, segment=segment),
            traffic.writers["quality"].progress(window + 1),
        )


def run_side_by_side(harness: Harness, traffic: Traffic, windows: range, shift: float) -> None:
    """Process windows in which two versions answer: ``shift`` of the second one's scores."""
    for window in windows:
        harness.give(
            traffic.vitals(window, 4),
            traffic.vitals(window, 4, version=2),
            traffic.writers["vitals"].progress(window + 1),
            traffic.quality(window, 4),
            traffic.quality(window, 4, shift=shift, segment=traffic.version(2)),
            traffic.writers["quality"].progress(window + 1),
        )


def test_nothing_alarms_while_nothing_changes(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(100))
    assert held.alerts() == []
    states = {v.monitor: v.state for v in held.monitor.view().verdicts}
    assert states == dict.fromkeys((LATENCY, QUALITY, ERRORS, "cost.request"), State.OK)


def test_a_little_data_is_said_to_be_little(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(2))
    assert {v.state for v in held.monitor.view().verdicts} == {State.LOW_DATA}


def test_worse_answers_alarm_within_sixty_judged_ones(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(50))
    assert held.alerts() == []
    run(held, traffic, range(50, 65), shift=0.8)
    (alert,) = held.alerts()
    assert (alert.monitor, alert.severity, alert.status) == (QUALITY, "warn", "firing")
    since = alert.verdict.since_ms
    assert since is not None
    assert abs(since - traffic.start_of(50)) <= 5 * traffic.window_ms
    assert "below" in alert.verdict.effects[0].indicator
    assert "judged worse" in alert.summary
    assert "No swap, no shift of topics" in alert.summary


def test_an_alarm_is_latched_until_it_is_closed(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(30), slower=3.0)
    run(held, traffic, range(30, 60))
    view = held.monitor.view()
    verdict = view.verdict(LATENCY, traffic.version(1))
    assert verdict is not None
    assert verdict.state == State.WARN
    control = Control(action="close", monitor=LATENCY, segment="*", time_ms=held.now_ms, who="Ada")
    held.give(control, topic=CONTROLS)
    assert [a.status for a in held.alerts(LATENCY)] == ["firing", "resolved"]
    assert held.alerts(LATENCY)[0].alert_id == held.alerts(LATENCY)[1].alert_id
    held.give(control, topic=CONTROLS)
    run(held, traffic, range(60, 90))
    assert len(held.alerts(LATENCY)) == 2, "the same control twice, and a fresh detector"
    verdict = held.monitor.view().verdict(LATENCY, traffic.version(1))
    assert verdict is not None
    assert verdict.state == State.OK


def test_a_silenced_monitor_goes_on_testing(held: Harness, traffic: Traffic) -> None:
    until = held.now_ms + 1_000
    silence = Control(
        action="silence",
        monitor="latency.*",
        segment="*",
        time_ms=held.now_ms,
        until_ms=until,
        note="load test",
    )
    held.give(silence, topic=CONTROLS)
    run(held, traffic, range(30), slower=3.0)
    assert held.alerts() == []
    assert held.verdicts(LATENCY)[-1].state == State.WARN
    assert [s.note for s in held.monitor.view().silences] == ["load test"]
    held.tick(until)
    assert [a.monitor for a in held.alerts()] == [LATENCY]


def test_two_harms_at_once_page(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(40), shift=0.9, slower=3.0)
    last = {a.monitor: a.severity for a in held.alerts()}
    assert last == {LATENCY: "critical", QUALITY: "critical"}
    assert {v.state for v in held.monitor.view().verdicts if v.monitor in last} == {State.CRITICAL}


def test_without_a_baseline_nothing_is_tested_and_that_is_said_once(
    harness: Harness, traffic: Traffic
) -> None:
    run(harness, traffic, range(20), slower=5.0)
    verdicts = harness.verdicts(LATENCY)
    assert [v.state for v in verdicts] == [State.NO_BASELINE]
    assert "tidegauge baseline build" in verdicts[0].sentence
    assert harness.alerts() == []


def test_a_new_version_is_held_to_its_models_baseline_and_compared(
    held: Harness, traffic: Traffic
) -> None:
    run(held, traffic, range(40))
    run(held, traffic, range(40, 75), version=2, shift=0.9)
    quality = next(a for a in held.alerts() if a.monitor == QUALITY)
    assert quality.segment == traffic.version(2)
    assert quality.verdict.baseline_segment == Segment(model="m", route="/chat").key
    assert "since it has none of its own" in quality.summary
    assert "swap from version v1 to v2" in quality.summary
    (swap,) = held.monitor.view().version_comparisons
    assert (swap.old, swap.new) == (traffic.version(1), traffic.version(2))
    # One after the other, within minutes: nothing tells the versions from the time of day.
    assert {c.outcome for c in swap.metrics} == {"undecided"}
    assert {c.way for c in swap.metrics} == {"one after the other"}


def test_versions_side_by_side_are_compared(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(40))
    run_side_by_side(held, traffic, range(40, 100), shift=0.9)
    (swap,) = held.monitor.view().version_comparisons
    outcomes = {c.metric: c.outcome for c in swap.metrics}
    assert outcomes["quality.likelihood.fluency"] == "worse"
    assert outcomes["latency"] != "worse"
    assert "swap.quality.likelihood.fluency" in {a.monitor for a in held.alerts()}


def test_a_closed_comparison_stays_quiet(held: Harness, traffic: Traffic) -> None:
    monitor = "swap.quality.likelihood.fluency"
    run(held, traffic, range(30))
    run_side_by_side(held, traffic, range(30, 90), shift=0.9)
    control = Control(action="close", monitor=monitor, segment="*", time_ms=held.now_ms)
    held.give(control, topic=CONTROLS)
    run_side_by_side(held, traffic, range(90, 100), shift=0.9)
    assert [a.status for a in held.alerts(monitor)] == ["firing", "resolved"]
    assert held.verdicts(monitor)[-1].state == State.INFO


def test_going_back_to_a_version_is_no_swap(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(20))
    run(held, traffic, range(20, 25), version=2)
    run(held, traffic, range(25, 30))
    assert [s.new.version for s in held.monitor.view().version_comparisons] == ["v2"]


def unqualified(traffic: Traffic, window: int) -> Sketch:
    sketch = traffic.quality(window, 4, shift=2.0)
    return msgspec.structs.replace(sketch, hits={measures.unqualified(traffic.judge): 4})


def test_a_judge_that_fails_its_golden_answers_is_told_from_worse_answers(
    held: Harness, traffic: Traffic
) -> None:
    quality = traffic.writers["quality"]
    for window in range(30):
        held.give(unqualified(traffic, window), quality.progress(window + 1))
    assert [v.state for v in held.verdicts(QUALITY)] == [State.UNQUALIFIED]
    (alert,) = held.alerts()
    assert alert.monitor == "pipeline.judge.likelihood"
    assert "the answers need not have" in alert.summary
    held.give(traffic.quality(30, 4), quality.progress(31))
    assert [a.status for a in held.alerts()] == ["firing", "resolved"]


def test_a_judge_that_never_passed_is_no_news(harness: Harness, traffic: Traffic) -> None:
    harness.give(unqualified(traffic, 0), traffic.writers["quality"].progress(1))
    assert [v.state for v in harness.verdicts(QUALITY)] == [State.UNQUALIFIED]
    assert harness.alerts() == []


def test_another_epoch_of_the_judge_has_no_baseline(held: Harness, traffic: Traffic) -> None:
    other = measures.score("likelihood@ffffffff", "fluency")
    writer = traffic.writers["quality"]
    held.give(writer.sketch(0, values={other: [-5.0] * 9}), writer.progress(1))
    (verdict,) = held.verdicts(QUALITY)
    assert verdict.state == State.NO_BASELINE
    assert "likelihood@ffffffff" in verdict.sentence


def test_a_new_baseline_ends_the_alarms_of_the_old(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(30), slower=3.0)
    alert = held.alerts()[0]
    slow = build_rates_baseline(traffic.baseline_windows(slower=3.0)).to_bytes()
    activation = BaselineActivation(baseline_id="rates-2", kind="rates", time_ms=held.now_ms)
    held.give(activation, topic=BASELINES)
    assert held.monitor.wanted == {"rates": "rates-2"}
    new = RatesBaseline.from_bytes(slow, "rates-2")
    held.monitor.use("rates", "rates-2", new.references, held.now_ms)
    assert held.monitor.wanted == {}
    run(held, traffic, range(30, 60), slower=3.0)
    ended = held.alerts()[-1]
    assert (ended.alert_id, ended.status) == (alert.alert_id, "resolved")
    assert "rates-2 is active" in ended.summary
    assert {v.baseline for v in held.monitor.view().verdicts if v.state == State.OK} == {"rates-2"}


def test_segments_beyond_the_cap_are_counted_together(traffic: Traffic) -> None:
    harness = traffic.harness(most_segments=2)
    writer = traffic.writers["vitals"]
    for window in range(2):
        for number in range(5):
            harness.give(
                writer.sketch(
                    window,
                    segment=Segment(model=f"m{number}"),
                    values={measures.LATENCY_MS: [1.0]},
                )
            )
        harness.give(writer.progress(window + 1))
    segments = {view.segment.model: view for view in harness.monitor.view().segments}
    assert set(segments) == {"m0", "m1", "other"}
    assert segments["other"].total["vitals"].events == 6


def test_a_restored_monitor_goes_on_bit_by_bit(
    held: Harness, traffic: Traffic, baseline: RatesBaseline
) -> None:
    run(held, traffic, range(25), slower=1.3)
    sketches, controls = Partition(SKETCHES.name, 0), Partition(CONTROLS.name, 0)
    heartbeats = Partition(HEARTBEATS.name, 0)
    other = MonitorProcessor(held.plan)
    other.use("rates", "rates-1", baseline.references, held.now_ms)
    for partition in (controls, heartbeats, sketches):
        other.assign(partition, held.monitor.snapshot(partition))
    assert other.snapshot(sketches) == held.monitor.snapshot(sketches)
    records = [
        Record(sketches, 0, value)
        for window in range(25, 60)
        for value in traffic.encoded(
            traffic.vitals(window, 4), traffic.writers["vitals"].progress(window + 1)
        )
    ]
    first = held.monitor.process(records, held.now_ms)
    second = other.process(records, held.now_ms)
    assert first == second
    assert other.snapshot(sketches) == held.monitor.snapshot(sketches)


def test_records_that_come_again_change_nothing(held: Harness, traffic: Traffic) -> None:
    sketches = Partition(SKETCHES.name, 0)
    records = [
        Record(sketches, 0, value)
        for window in range(10)
        for value in traffic.encoded(
            traffic.vitals(window, 4), traffic.writers["vitals"].progress(window + 1)
        )
    ]
    held.monitor.process(records, held.now_ms)
    before = held.monitor.snapshot(sketches)
    outcome = held.monitor.process(records, held.now_ms)
    assert outcome.outputs == ()
    assert held.monitor.snapshot(sketches) == before


def test_a_snapshot_of_other_windows_is_refused(held: Harness, traffic: Traffic) -> None:
    sketches = Partition(SKETCHES.name, 0)
    other = traffic.harness(window_ms=5_000).monitor
    with pytest.raises(MonitorStateError, match="TIDEGAUGE_WINDOW_SECONDS"):
        other.assign(sketches, held.monitor.snapshot(sketches))
    with pytest.raises(MonitorStateError, match="cannot be read"):
        other.assign(sketches, b"\x01nonsense")
    with pytest.raises(MonitorStateError, match="one partition"):
        other.assign(Partition(SKETCHES.name, 1), None)


def test_a_snapshot_of_another_version_is_refused(harness: Harness) -> None:
    older = msgspec.msgpack.encode({"version": 1, "window_ms": harness.plan.window_ms})
    with pytest.raises(MonitorStateError, match=r"version 1 .* under another group"):
        harness.monitor.assign(Partition(SKETCHES.name, 0), older)


def test_evidence_of_another_baseline_is_dropped_on_restoring(
    held: Harness, traffic: Traffic
) -> None:
    run(held, traffic, range(30), slower=3.0)
    sketches = Partition(SKETCHES.name, 0)
    other = traffic.harness()
    references = RatesBaseline.from_bytes(
        build_rates_baseline(traffic.baseline_windows()).to_bytes(), "rates-2"
    ).references
    other.monitor.use("rates", "rates-2", references, held.now_ms)
    other.monitor.assign(sketches, held.monitor.snapshot(sketches))
    other.tick(held.now_ms)
    assert [(a.monitor, a.status) for a in other.alerts()] == [(LATENCY, "resolved")]


def test_an_undecodable_record_is_put_aside(harness: Harness) -> None:
    record = Record(Partition(SKETCHES.name, 0), 3, b"{]")
    (rejection,) = harness.monitor.process([record], harness.now_ms).rejections
    assert (rejection.record, rejection.reason) == (record, "malformed_json")


def test_a_silent_worker_alarms_and_recovers(harness: Harness, traffic: Traffic) -> None:
    harness.give(traffic.vitals(0, 4), traffic.writers["vitals"].progress(1))
    harness.tick(harness.now_ms)
    harness.tick(harness.now_ms + harness.plan.silent_ms + 1)
    silent = {a.monitor for a in harness.alerts()}
    assert silent == {"pipeline.vitals", "pipeline.drift", "pipeline.quality"}
    assert harness.verdicts("pipeline.vitals")[-1].state == State.NO_DATA
    harness.give(traffic.vitals(1, 4), traffic.writers["vitals"].progress(2))
    harness.tick(harness.now_ms + 1)
    assert [a.status for a in harness.alerts("pipeline.vitals")] == ["firing", "resolved"]


def test_a_segment_without_events_says_so(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(20))
    tested = held.verdicts(LATENCY)[-1]
    later = 20 + held.plan.no_data_ms // traffic.window_ms + 2
    held.give(traffic.writers["vitals"].progress(later))
    idle = held.verdicts(LATENCY)[-1]
    assert idle.state == State.NO_DATA
    assert idle.log_statistic is not None, "the detector still has its evidence"
    assert (idle.log_statistic, idle.baseline) == (tested.log_statistic, tested.baseline)


def test_an_acknowledged_alarm_has_an_owner_and_goes_on_firing(
    held: Harness, traffic: Traffic, baseline: RatesBaseline
) -> None:
    run(held, traffic, range(30), slower=3.0)
    control = Control(
        action="acknowledge",
        monitor=LATENCY,
        segment="*",
        time_ms=held.now_ms,
        who="Ada",
        note="looking",
    )
    held.give(control, topic=CONTROLS)
    assert [a.status for a in held.alerts(LATENCY)] == ["firing", "acknowledged"]
    (alarm,) = held.monitor.view().alerts
    assert (alarm.owner, alarm.note, alarm.fires) == ("Ada", "looking", True)
    restored = MonitorProcessor(held.plan)
    restored.use("rates", "rates-1", baseline.references, held.now_ms)
    for topic in (SKETCHES, CONTROLS):
        partition = Partition(topic.name, 0)
        restored.assign(partition, held.monitor.snapshot(partition))
    assert restored.view().alerts == (alarm,)


def test_an_alarms_rate_is_followed_from_before_its_onset(held: Harness, traffic: Traffic) -> None:
    run(held, traffic, range(150))
    run(held, traffic, range(150, 200), slower=3.0)
    (alarm,) = (a for a in held.monitor.view().alerts if a.monitor == LATENCY)
    trend = held.monitor.view().alarm_trends[alarm.alert_id]
    since = alarm.verdict.since_ms
    assert since is not None
    assert trend.indicator in {effect.indicator for effect in alarm.verdict.effects}
    rates = {point.time_ms: point.hits / point.trials for point in trend.points}
    before = [rate for time_ms, rate in rates.items() if time_ms < since - trend.slot_ms]
    after = [rate for time_ms, rate in rates.items() if time_ms >= since]
    assert max(before, default=1.0) < 0.3 < min(after)
    control = Control(action="close", monitor="*", segment="*", time_ms=held.now_ms)
    held.give(control, topic=CONTROLS)
    run(held, traffic, range(200, 203))
    assert held.monitor.view().alarm_trends == {}
