from __future__ import annotations

from typing import TYPE_CHECKING

from tests.monitoring.conftest import START_MS

from tidegauge.monitoring.health import log_state, silent_workers
from tidegauge.monitoring.ledger import account
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.findings import State
from tidegauge.schemas.operations import Control
from tidegauge.schemas.sketches import Progress, Tally
from tidegauge.schemas.topics import CONTROLS, HEARTBEATS, REQUESTS, RESPONSES, SKETCHES
from tidegauge.streaming.processor import Jump, Partition
from tidegauge.streaming.progress import (
    BASELINE_REFUSED,
    BEGUN_AGAIN,
    RECORDS_EXPIRED,
    RENUMBERED,
    TOPIC_REMADE,
)

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness, Traffic


def heartbeat(time_ms: int, count: int, dropped: int = 0) -> Heartbeat:
    captured = dict.fromkeys((REQUESTS.name, RESPONSES.name), count - dropped)
    return Heartbeat(
        producer_id="g1",
        time_ms=time_ms,
        served=count,
        captured=captured,
        dropped={RESPONSES.name: {"quota": dropped}} if dropped else {},
        shipped=captured,
    )


def test_a_worker_that_reports_in_part_is_silent_in_part() -> None:
    (verdict,) = silent_workers(
        [],
        {("vitals", 0): 90_000, ("vitals", 3): 10_000},
        now_ms=100_000,
        began_ms=0,
        silent_ms=60_000,
    )
    assert verdict.state == State.NO_DATA
    assert "silent for 90 s on partition 3 of responses.v1" in verdict.sentence


def test_a_worker_that_is_not_expected_may_be_absent() -> None:
    assert silent_workers([], {}, now_ms=100_000, began_ms=0, silent_ms=60_000) == []


def test_dropped_events_alarm_until_closed(harness: Harness, traffic: Traffic) -> None:
    harness.give(heartbeat(traffic.start_of(1), 10), topic=HEARTBEATS)
    harness.tick(traffic.start_of(1))
    assert harness.alerts() == []
    harness.give(heartbeat(traffic.start_of(2), 20, dropped=3), topic=HEARTBEATS)
    harness.tick(traffic.start_of(2))
    (alert,) = harness.alerts("pipeline.capture")
    assert "3 events were dropped before they could be captured (quota: 3)" in alert.summary
    control = Control(
        action="close", monitor="pipeline.*", segment="*", time_ms=harness.now_ms, who="Ada"
    )
    harness.give(control, topic=CONTROLS)
    harness.tick(traffic.start_of(3))
    assert [a.status for a in harness.alerts("pipeline.capture")] == ["firing", "resolved"]
    assert harness.verdicts("pipeline.capture")[-1].state == State.OK
    harness.give(heartbeat(traffic.start_of(4), 21, dropped=4), topic=HEARTBEATS)
    harness.tick(traffic.start_of(4))
    assert "1 events were dropped" in harness.alerts("pipeline.capture")[-1].summary


def test_a_lost_event_alarms_and_one_on_its_way_does_not(
    harness: Harness, traffic: Traffic
) -> None:
    vitals = traffic.writers["vitals"]
    harness.give(heartbeat(traffic.start_of(5), 10), topic=HEARTBEATS)
    harness.give(vitals.progress(5, tallies={"g1": Tally(processed=9)}))
    harness.tick(traffic.start_of(5))
    assert harness.alerts("pipeline.ledger") == []
    later = 5 + harness.plan.settle_ms // traffic.window_ms + 1
    harness.give(vitals.progress(later, tallies={"g1": Tally(processed=9)}))
    harness.tick(traffic.start_of(later))
    (alert,) = harness.alerts("pipeline.ledger")
    assert "1 of responses.v1 never reached the vitals worker" in alert.summary
    assert not harness.monitor.view().ledger.balanced
    harness.give(vitals.progress(later + 1, tallies={"g1": Tally(processed=10)}))
    harness.tick(traffic.start_of(later + 1))
    assert harness.alerts("pipeline.ledger")[-1].status == "resolved", "it was only late"


def test_dead_letters_are_shown_and_raise_no_alarm(harness: Harness, traffic: Traffic) -> None:
    harness.give(traffic.writers["vitals"].progress(1, tallies={"": Tally(dead_lettered=2)}))
    harness.tick(traffic.start_of(1))
    (verdict,) = harness.verdicts("pipeline.dead_letters")
    assert verdict.state == State.INFO
    assert harness.alerts() == []


def test_a_sample_that_does_not_add_up_alarms(harness: Harness, traffic: Traffic) -> None:
    totals = {measures.SAMPLED: 5, measures.JUDGED: 3}
    harness.give(traffic.writers["quality"].progress(1, totals=totals))
    harness.tick(traffic.start_of(1))
    (alert,) = harness.alerts("pipeline.ledger")
    assert "+2 in the judges' sample" in alert.summary


def test_records_that_expired_unread_alarm_until_closed(harness: Harness, traffic: Traffic) -> None:
    totals = {RECORDS_EXPIRED: 15}
    harness.give(traffic.writers["vitals"].progress(1, totals=totals))
    harness.tick(traffic.start_of(1))
    (alert,) = harness.alerts("pipeline.ledger")
    assert "15 of responses.v1 expired before the vitals worker read them" in alert.summary
    harness.give(
        Control(action="close", monitor="pipeline.ledger", segment="*", time_ms=harness.now_ms),
        topic=CONTROLS,
    )
    harness.give(traffic.writers["vitals"].progress(2, totals=totals))
    harness.tick(traffic.start_of(2))
    assert harness.verdicts("pipeline.ledger")[-1].state == State.OK


def test_a_topic_made_again_and_a_producer_that_started_again_alarm(
    harness: Harness, traffic: Traffic
) -> None:
    harness.tick(traffic.start_of(1))
    assert harness.verdicts("pipeline.log")[-1].state == State.OK
    totals = {TOPIC_REMADE: 1, RENUMBERED: 50, BEGUN_AGAIN: 2}
    harness.give(traffic.writers["drift"].progress(1, totals=totals))
    harness.tick(traffic.start_of(1))
    (alert,) = harness.alerts("pipeline.log")
    assert "requests.v1 was deleted and created again" in alert.summary
    assert "50 events of requests.v1 came under sequences" in alert.summary
    assert "the first event of a producer again, no later than its last one (2 times)" in (
        alert.summary
    )


def test_what_the_monitor_itself_missed_alarms_until_it_is_closed(
    harness: Harness, traffic: Traffic
) -> None:
    sketches, heartbeats = Partition(SKETCHES.name, 0), Partition(HEARTBEATS.name, 0)
    harness.monitor.jumped(sketches, Jump(7, expired=7))
    harness.monitor.jumped(sketches, Jump(0, remade=True))
    harness.monitor.jumped(heartbeats, Jump(3, expired=3))
    state = harness.monitor.snapshot(sketches)
    harness.monitor.revoke(sketches)
    harness.monitor.assign(sketches, state)
    harness.tick(traffic.start_of(1))
    (alert,) = harness.alerts("pipeline.log")
    assert "sketches.v1 was deleted and created again" in alert.summary
    assert "7 records of sketches.v1 expired before the monitor read them" in alert.summary
    assert "3 records of heartbeats.v1 expired" in alert.summary
    harness.give(
        Control(action="close", monitor="pipeline.log", segment="*", time_ms=harness.now_ms),
        topic=CONTROLS,
    )
    harness.tick(traffic.start_of(2))
    assert harness.verdicts("pipeline.log")[-1].state == State.OK


def test_wrong_settings_of_topics_alarm_as_long_as_they_are_there() -> None:
    ledger = account([], [], {}, settle_ms=0)
    verdict = log_state(ledger, {}, ["requests.v1: message.timestamp.type is …"], now_ms=5)
    assert verdict.state == State.WARN
    assert "message.timestamp.type" in verdict.sentence
    assert log_state(ledger, {}, [], now_ms=5).state == State.OK


def progress(*notices: str, sequence: int = 1) -> Progress:
    return Progress(
        kind="drift",
        producer_id="drift/1",
        sequence=sequence,
        time_ms=START_MS,
        topic=REQUESTS.name,
        partition=0,
        next_offset=sequence,
        watermark_ms=START_MS,
        tallies={},
        notices=notices,
    )


def test_a_baseline_that_a_worker_refuses_is_critical_until_one_is_used(harness: Harness) -> None:
    harness.give(progress())
    harness.tick(START_MS + 1_000)
    assert harness.verdicts("pipeline.baseline") == []
    harness.give(progress(f"{BASELINE_REFUSED}other_embedder", sequence=2))
    harness.tick(START_MS + 2_000)
    (alert,) = harness.alerts("pipeline.baseline")
    assert alert.severity == "critical"
    assert "The drift worker refuses the baseline in force, since another embedder" in alert.summary
    harness.give(progress(sequence=3))
    harness.tick(START_MS + 3_000)
    assert [alert.status for alert in harness.alerts("pipeline.baseline")] == ["firing", "resolved"]


def test_a_baseline_that_the_monitor_refuses_is_critical_until_one_is_used(
    harness: Harness,
) -> None:
    harness.monitor.refuse("rates", "rates-1 was built for windows of 5 s")
    harness.tick(START_MS)
    (alert,) = harness.alerts("pipeline.baseline")
    assert "cannot use the baseline of rates: rates-1 was built for windows of 5 s" in alert.summary
    harness.monitor.use("rates", "rates-2", {}, START_MS)
    harness.tick(START_MS + 1_000)
    assert harness.alerts("pipeline.baseline")[-1].status == "resolved"
