from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tidegauge.monitoring.ledger import Ledger, Producers, account
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.sketches import Progress, Tally
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.streaming.progress import RECORDS_EXPIRED

if TYPE_CHECKING:
    from tests.monitoring.conftest import WriterOf

SETTLE_MS = 10_000
PARTITIONS = {REQUESTS.name: 1, RESPONSES.name: 2}


def heartbeat(time_ms: int, count: int, *, shipped: int | None = None, **more: object) -> Heartbeat:
    fields: dict[str, object] = {
        "producer_id": "g1",
        "time_ms": time_ms,
        "served": count,
        "captured": {REQUESTS.name: count, RESPONSES.name: count},
        "dropped": {},
        "shipped": dict.fromkeys(
            (REQUESTS.name, RESPONSES.name), count if shipped is None else shipped
        ),
        **more,
    }
    return Heartbeat(**fields)  # type: ignore[arg-type] # the test's own keyword arguments


def draw_up(heartbeats: list[Heartbeat], progress: list[Progress]) -> Ledger:
    producers = Producers(SETTLE_MS)
    for one in heartbeats:
        producers.add(one)
    return account(producers.counts(), progress, PARTITIONS, settle_ms=SETTLE_MS)


def reports(
    writer_of: WriterOf,
    windows: int,
    processed: Mapping[str, tuple[int, ...]],
    **more: Tally,
) -> list[Progress]:
    """Each kind's count of processed events by partition; ``more`` are other tallies."""
    return [
        writer_of(kind, index).progress(
            windows, tallies={"g1": Tally(processed=number), **(more if index == 0 else {})}
        )
        for kind, numbers in (("drift", processed["drift"]), ("vitals", processed["vitals"]))
        for index, number in enumerate(numbers)
    ]


def test_everything_arrived(writer_of: WriterOf) -> None:
    at = writer_of("vitals").start_of(5)
    ledger = draw_up(
        [heartbeat(at, 10)], reports(writer_of, 100, {"drift": (10,), "vitals": (4, 6)})
    )
    assert ledger.balanced
    drift, vitals, quality = ledger.deliveries
    assert (drift.processed, drift.in_flight, vitals.processed, vitals.in_flight) == (10, 0, 10, 0)
    assert (quality.processed, quality.in_flight, quality.missing) == (0, 10, 0)
    assert not ledger.settled, "no judge worker has reported: its events are on their way"


def test_requests_refused_without_an_exchange_are_a_state_of_their_own(
    writer_of: WriterOf,
) -> None:
    at = writer_of("vitals").start_of(5)
    processed = {"drift": (10,), "vitals": (4, 6)}
    ledger = draw_up([heartbeat(at, 10, refused=7)], reports(writer_of, 100, processed))
    (line,) = ledger.captures
    assert (line.served, line.captured, line.refused, line.unaccounted) == (10, 10, 7, 0)
    assert ledger.balanced


def test_events_on_their_way_are_not_missing(writer_of: WriterOf) -> None:
    at = writer_of("vitals").start_of(50)
    ledger = draw_up(
        [heartbeat(at, 10, shipped=8)], reports(writer_of, 52, {"drift": (3,), "vitals": (4, 3)})
    )
    assert ledger.balanced
    assert [line.waiting for line in ledger.deliveries] == [2, 2, 2]
    assert [line.in_flight for line in ledger.deliveries] == [7, 3, 10]


def test_an_event_that_never_came_is_missing_once_the_workers_are_past(
    writer_of: WriterOf,
) -> None:
    at = writer_of("vitals").start_of(50)
    counts = {"drift": (10,), "vitals": (4, 5)}
    early = draw_up([heartbeat(at, 10)], reports(writer_of, 52, counts))
    assert early.balanced, "within the time to settle"
    late = draw_up([heartbeat(at, 10)], reports(writer_of, 56, counts))
    assert not late.balanced
    assert [line.missing for line in late.deliveries] == [0, 1, 0]
    assert late.deliveries[1].in_flight == 0


def test_a_partition_that_has_not_reported_holds_nothing_against_anyone(
    writer_of: WriterOf,
) -> None:
    at = writer_of("vitals").start_of(5)
    one = writer_of("vitals").progress(100, tallies={"g1": Tally(processed=4)})
    assert draw_up([heartbeat(at, 10)], [one]).balanced


def test_a_newer_heartbeat_does_not_hide_an_old_loss(writer_of: WriterOf) -> None:
    """Heartbeats come all the time: an older one is kept until its counts must be there."""
    start = writer_of("vitals").start_of(0)
    beats = [heartbeat(start + second * 1_000, 10 + second) for second in range(40)]
    lossy = {"drift": (49,), "vitals": (20, 15)}
    ledger = draw_up(beats, reports(writer_of, 18, lossy))
    assert ledger.balanced, "35 processed, 29 counted when the workers' point was the present"
    beats = [heartbeat(start + second * 1_000, 40) for second in range(40)]
    ledger = draw_up(beats, reports(writer_of, 18, lossy))
    assert ledger.deliveries[1].missing == 5


def test_dead_letters_are_accounted_for_even_without_a_name(writer_of: WriterOf) -> None:
    at = writer_of("vitals").start_of(5)
    progress = reports(
        writer_of,
        100,
        {"drift": (10,), "vitals": (4, 4)},
        **{"": Tally(dead_lettered=2)},
    )
    ledger = draw_up([heartbeat(at, 10)], progress)
    assert ledger.balanced
    assert ledger.deliveries[1].dead_lettered == 2


def test_a_stranger_is_shown_apart(writer_of: WriterOf) -> None:
    at = writer_of("vitals").start_of(5)
    progress = reports(
        writer_of,
        100,
        {"drift": (10,), "vitals": (4, 6)},
        replay=Tally(processed=3, repeated=1),
    )
    ledger = draw_up([heartbeat(at, 10)], progress)
    vitals = ledger.deliveries[1]
    assert (vitals.unannounced, vitals.in_flight, vitals.repeated) == (3, 0, 1)
    assert ledger.balanced


def test_served_and_neither_captured_nor_dropped() -> None:
    short: dict[str, Any] = {
        "captured": {RESPONSES.name: 8},
        "dropped": {RESPONSES.name: {"quota": 1}},
    }
    running = draw_up([heartbeat(1_000, 10, **short)], [])
    assert running.balanced, "a request is served a moment before it is captured"
    ended = draw_up([heartbeat(1_000, 10, final=True, **short)], [])
    assert not ended.balanced
    assert ended.captures[0].unaccounted == 1
    later = draw_up([heartbeat(1_000, 10, **short), heartbeat(50_000, 11, **short)], [])
    assert later.captures[0].unaccounted == 1


def test_the_judges_sample_adds_up(writer_of: WriterOf) -> None:
    totals = {measures.SAMPLED: 9, measures.JUDGED: 6, measures.skipped("overload"): 3}
    ledger = draw_up([], [writer_of("quality").progress(1, totals=totals)])
    assert ledger.judging.balanced
    assert ledger.judging.skipped == {"overload": 3}
    short = {**totals, measures.SAMPLED: 10}
    ledger = draw_up([], [writer_of("quality").progress(1, totals=short)])
    assert not ledger.balanced
    assert ledger.judging.unaccounted == 1


def test_events_that_expired_are_not_missing(writer_of: WriterOf) -> None:
    at = writer_of("vitals").start_of(5)
    progress = [
        msgspec.structs.replace(report, totals={RECORDS_EXPIRED: 4} if index == 0 else {})
        for index, report in enumerate(reports(writer_of, 100, {"drift": (6,), "vitals": (4, 6)}))
    ]
    drift, vitals, _ = draw_up([heartbeat(at, 10)], progress).deliveries
    assert (drift.expired, drift.missing, drift.in_flight) == (4, 0, 0)
    assert (vitals.expired, vitals.missing) == (0, 0)


def test_of_producers_that_were_forgotten_nothing_is_missing(writer_of: WriterOf) -> None:
    at = writer_of("vitals").start_of(5)
    forgotten = {"": Tally(processed=3)}
    ledger = draw_up(
        [heartbeat(at, 10)],
        reports(writer_of, 100, {"drift": (7,), "vitals": (4, 3)}, **forgotten),
    )
    assert ledger.balanced
