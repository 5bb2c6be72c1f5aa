from __future__ import annotations

from tidegauge.schemas import Segment
from tidegauge.streaming.processor import Partition
from tidegauge.workers.drift.extractor import CallerCap

HERE, THERE = Partition("requests.v1", 0), Partition("requests.v1", 1)
SEGMENT = Segment(model="m")


def admitted(cap: CallerCap, count: int, *, time_ms: int = 0, customer: str = "a") -> int:
    return sum(cap.admits(HERE, SEGMENT, customer, time_ms, most=3) for _ in range(count))


def test_a_burst_counts_as_far_as_the_cap() -> None:
    cap = CallerCap(10_000)
    assert admitted(cap, 10) == 3


def test_callers_windows_segments_and_partitions_have_caps_of_their_own() -> None:
    cap = CallerCap(10_000)
    assert admitted(cap, 10) == 3
    assert admitted(cap, 10, customer="b") == 3
    assert admitted(cap, 10, time_ms=10_000) == 3
    assert cap.admits(THERE, SEGMENT, "a", 0, most=3)
    assert cap.admits(HERE, Segment(model="n"), "a", 0, most=3)


def test_zero_is_no_cap() -> None:
    cap = CallerCap(10_000)
    assert all(cap.admits(HERE, SEGMENT, "a", 0, most=0) for _ in range(10))


def test_old_windows_are_forgotten() -> None:
    cap = CallerCap(10)
    for window in range(10_000):
        cap.admits(HERE, SEGMENT, "a", window * 10, most=1)
    assert len(cap._seen[HERE]) == 64
