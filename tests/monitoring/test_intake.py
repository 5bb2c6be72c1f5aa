"""What the monitor refuses: counts that cannot be, and times that would hide later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.intake import bounded_heartbeat, check_progress, check_sketch
from tidegauge.schemas import DecodeError, Segment
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.segments import NAME_CHARACTERS
from tidegauge.schemas.sketches import Histogram, Moments, Progress, Sketch, SourceRange, Tally
from tidegauge.schemas.topics import HEARTBEATS

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness

NOW = 1_800_000_000_000
YEAR_2099 = 4_070_908_800_000
FINE = Moments(n=2, total=3.0, squares=5.0, least=1.0, most=2.0)

SKETCH = Sketch(
    kind="vitals",
    producer_id="vitals/responses.v1-0",
    sequence=1,
    segment=Segment(model="m"),
    window_start_ms=NOW - 30_000,
    window_ms=10_000,
    source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=5),
    events=5,
    hits={"error": 1},
    trials={"error": 5},
    moments={"latency_ms": FINE},
    histograms={"latency_ms": Histogram(accuracy=0.01, positive={3: 2})},
    totals={"cost": {"acme": 5}},
)
PROGRESS = Progress(
    kind="vitals",
    producer_id="vitals/responses.v1-0",
    sequence=2,
    time_ms=NOW,
    topic="responses.v1",
    partition=0,
    next_offset=6,
    watermark_ms=NOW - 30_000,
    tallies={"gateway/1": Tally(processed=5)},
)
HEARTBEAT = Heartbeat(
    producer_id="gateway/1", time_ms=NOW, served=5, captured={"x": 5}, dropped={}, shipped={"x": 5}
)


def test_what_can_be_is_accepted() -> None:
    check_sketch(SKETCH, NOW)
    check_progress(PROGRESS, NOW)
    assert bounded_heartbeat(HEARTBEAT, NOW) == HEARTBEAT


@pytest.mark.parametrize(
    "changes",
    [
        {"events": -1},
        {"late": -1},
        {"sequence": 2**63},
        {"hits": {"error": -1}},
        {"trials": {"error": -5}},
        {"totals": {"cost": {"acme": -1_000_000}}},
        {"histograms": {"latency_ms": Histogram(accuracy=0.01, positive={3: -2})}},
        {"histograms": {"latency_ms": Histogram(accuracy=0.01, positive={}, zero=-2)}},
        {"strata": {"latency_ms": {"s": Histogram(accuracy=0.01, positive={3: -2})}}},
        {"moments": {"latency_ms": msgspec.structs.replace(FINE, n=-1)}},
        {"moments": {"latency_ms": msgspec.structs.replace(FINE, total=float("nan"))}},
        {"moments": {"latency_ms": msgspec.structs.replace(FINE, squares=float("inf"))}},
        {"window_start_ms": YEAR_2099},
    ],
)
def test_a_sketch_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        check_sketch(msgspec.structs.replace(SKETCH, **changes), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": -1},
        {"totals": {"looked_at": -1}},
        {"tallies": {"g": Tally(processed=-5)}},
        {"tallies": {f"g{n}": Tally() for n in range(5_000)}},
        {"tallies": {"g" * 10_000: Tally()}},
        {"notices": tuple(map(str, range(1_000)))},
        {"watermark_ms": YEAR_2099},
        {"time_ms": YEAR_2099},
    ],
)
def test_a_progress_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        check_progress(msgspec.structs.replace(PROGRESS, **changes), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"served": -1},
        {"producer_id": "g" * 10_000},
        {"captured": {f"topic-{n}": 1 for n in range(1_000)}},
        {"dropped": {"x": {f"reason-{n}": 1 for n in range(1_000)}}},
        {"captured": {"x": -1}},
        {"dropped": {"x": {"quota": -1}}},
        {"shipped": {"x": 2**63}},
    ],
)
def test_a_heartbeat_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        bounded_heartbeat(msgspec.structs.replace(HEARTBEAT, **changes), NOW)


def test_a_heartbeat_of_a_clock_that_is_ahead_counts_as_of_now() -> None:
    ahead = msgspec.structs.replace(HEARTBEAT, time_ms=YEAR_2099)
    assert bounded_heartbeat(ahead, NOW) == msgspec.structs.replace(HEARTBEAT, time_ms=NOW)


def test_a_segment_of_a_long_name_is_cut(harness: Harness) -> None:
    sketch = msgspec.structs.replace(
        SKETCH,
        segment=Segment(model="m" * 100_000),
        window_start_ms=harness.now_ms // 10_000 * 10_000,
    )
    assert len(harness.monitor._bounded(sketch).segment.model) == NAME_CHARACTERS


def test_a_forged_heartbeat_hides_no_later_one(harness: Harness) -> None:
    fine = msgspec.structs.replace(HEARTBEAT, time_ms=harness.now_ms)
    harness.give(fine, topic=HEARTBEATS)
    forged = msgspec.structs.replace(fine, time_ms=harness.now_ms + 10**12, served=0)
    harness.give(forged, topic=HEARTBEATS)
    harness.give(msgspec.structs.replace(fine, served=9), topic=HEARTBEATS)
    harness.tick(harness.now_ms)
    (line,) = harness.monitor.view().ledger.captures
    assert line.served == 9
