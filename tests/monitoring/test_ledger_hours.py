from __future__ import annotations

import msgspec
import pytest

from tidegauge.monitoring.ledger import CaptureAccount, DeliveryAccount, JudgeAccount, Ledger
from tidegauge.monitoring.ledger_hours import LedgerHours, LedgerHoursState

MINUTE = 60_000
HOUR = 60 * MINUTE


def ledger(events: int, *, dropped: int = 0, missing: int = 0) -> Ledger:
    capture = CaptureAccount(
        producer_id="g",
        time_ms=0,
        served=events + dropped,
        captured=events,
        dropped={"quota": dropped},
        unaccounted=0,
        final=False,
    )
    delivery = DeliveryAccount(
        topic="responses.v1",
        kind="vitals",
        captured=events,
        shipped=events,
        processed=events - missing,
        dead_lettered=0,
        repeated=0,
        unannounced=0,
        missing=missing,
    )
    judging = JudgeAccount(sampled=0, judged=0, skipped={})
    return Ledger(captures=(capture,), deliveries=(delivery,), judging=judging)


def watched(hours: LedgerHours, start: int, end: int) -> None:
    """Look each minute, with ten requests a minute."""
    for minute in range(start, end):
        hours.look(ledger(10 * minute), minute * MINUTE)


def test_each_hour_has_what_the_ledger_grew_by_in_it() -> None:
    hours = LedgerHours()
    watched(hours, 30, 200)
    found = hours.hours(ledger(2_000), 200 * MINUTE)
    assert [hour.captured for hour in found] == [300, 600, 600, 200]
    assert [hour.processed["vitals"] for hour in found] == [300, 600, 600, 200]
    assert [hour.away_ms for hour in found] == [0, 0, 0, 0]
    assert found[1].start_ms == 60 * MINUTE
    assert found[1].end_ms == found[2].start_ms == 120 * MINUTE


def test_an_hour_in_which_the_monitor_was_away_says_for_how_long() -> None:
    hours = LedgerHours()
    watched(hours, 0, 90)
    hours = LedgerHours(
        msgspec.msgpack.decode(msgspec.msgpack.encode(hours.state()), type=LedgerHoursState)
    )
    watched(hours, 250, 260)
    found = hours.hours(ledger(2_600), 260 * MINUTE)
    assert [(hour.captured, hour.away_ms) for hour in found] == [
        (600, 0),
        (1_900, 161 * MINUTE),
        (100, 0),
    ]


def test_what_was_lost_is_in_the_hour_in_which_that_was_seen() -> None:
    hours = LedgerHours()
    watched(hours, 0, 60)
    hours.look(ledger(600, dropped=4), 60 * MINUTE)
    (over, present) = hours.hours(ledger(700, dropped=4, missing=7), 70 * MINUTE)
    assert (over.dropped, over.missing) == ({"quota": 4}, 0)
    assert (present.dropped, present.missing) == ({"quota": 0}, 7)


def test_a_producer_that_is_forgotten_takes_nothing_away() -> None:
    hours = LedgerHours()
    hours.look(ledger(600), 0)
    (present,) = hours.hours(ledger(20), MINUTE)
    assert (present.captured, present.served) == (0, 0)


@pytest.mark.parametrize("days", [1, 5])
def test_two_days_are_kept(days: int) -> None:
    hours = LedgerHours()
    for hour in range(24 * days + 1):
        hours.look(ledger(hour), hour * HOUR)
    assert len(hours.hours(ledger(0), 24 * days * HOUR)) == min(24 * days, 48) + 1


def test_before_the_first_look_there_is_no_hour() -> None:
    assert LedgerHours().hours(ledger(5), MINUTE) == ()
