from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.monitoring.rerun import (
    ActiveBaselines,
    EventPosition,
    EventReplay,
    SketchPosition,
    SketchReplay,
    in_order,
    replay_sketches,
)
from tidegauge.schemas import Segment, encode
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, Record
from tidegauge.vitals.extractor import VitalsExtractor

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

START_MS = 1_700_000_000_000
SETTINGS = SketchSettings(window_ms=2_000, lateness_ms=2_000, idle_ms=2_000, progress_ms=2_000)
PLAN = MonitorPlan(window_ms=2_000, partitions={REQUESTS.name: 1, RESPONSES.name: 2})
COUNT = 400


@pytest.fixture
def log() -> list[list[Record]]:
    """Responses in two partitions, slower from the middle on."""
    rng = np.random.default_rng(3)
    partitions: list[list[Record]] = [[], []]
    for number, latency in enumerate(rng.lognormal(6.5, 0.4, COUNT)):
        moment = START_MS + number * 200
        event = ResponseEvent(
            request_id=f"r{number}",
            producer_id="g1",
            sequence=number + 1,
            time_ms=moment,
            segment=Segment(model="m", version="v1", route="/chat"),
            customer="acme",
            status=200,
            latency_ms=float(latency * (3 if number > COUNT // 2 else 1)),
        )
        held = partitions[number % 2]
        held.append(
            Record(
                Partition(RESPONSES.name, number % 2),
                len(held),
                encode(event),
                timestamp_ms=moment + 50,
            )
        )
    return partitions


def baseline(traffic: Traffic, name: str, slower: float = 1.0) -> RatesBaseline:
    document = build_rates_baseline(traffic.baseline_windows(60, 5, slower=slower)).to_bytes()
    return RatesBaseline.from_bytes(document, name)


def sketched(records: Iterable[Record]) -> Iterator[Record]:
    return chain.from_iterable(EventReplay(VitalsExtractor(), "replay", SETTINGS).sketch(records))


def replay(log: list[list[Record]], rates: RatesBaseline, name: str) -> list[bytes]:
    said: list[bytes] = []
    sketches = sketched(in_order(log))
    view = replay_sketches(
        PLAN,
        {"rates": (name, rates.references)},
        sketches,
        lambda output: said.append(encode(output.event)),
    )
    assert view.segments[0].total["vitals"].events == COUNT, "the last window too"
    return said


def alarmed(said: list[bytes]) -> set[str]:
    return {
        line.split(b'"monitor":"')[1].split(b'"')[0].decode()
        for line in said
        if b"alert_id" in line
    }


def test_the_same_past_gives_the_same_bytes(log: list[list[Record]], traffic: Traffic) -> None:
    rates = baseline(traffic, "rates-1")
    first = replay(log, rates, "rates-1")
    assert first == replay(log, rates, "rates-1")
    assert "latency.total" in alarmed(first)
    assert any(b'"type":"tidegauge.verdict"' in line for line in first)


def test_another_baseline_gives_another_judgment(log: list[list[Record]], traffic: Traffic) -> None:
    slow = baseline(traffic, "rates-2", slower=6.0)
    assert "latency.total" not in alarmed(replay(log, slow, "rates-2"))


def test_streams_are_read_in_the_order_of_time(log: list[list[Record]]) -> None:
    times = [record.timestamp_ms for record in in_order(log)]
    assert times == sorted(times)
    assert len(times) == COUNT


def test_another_process_goes_on_from_a_position(log: list[list[Record]], traffic: Traffic) -> None:
    rates = baseline(traffic, "rates-1")
    in_use: ActiveBaselines = {"rates": ("rates-1", rates.references)}
    sketches: list[Record] = []
    position = EventPosition()
    for stop in (20, 1_000):  # seconds, the second is beyond the end
        events = EventReplay(VitalsExtractor(), "replay", SETTINGS, position)
        for part in islice(events.sketch(in_order(log)), stop):
            sketches += part
        position = events.position
    said: list[bytes] = []
    tested = SketchPosition()
    for stop in (20, 1_000):
        tests = SketchReplay(PLAN, in_use, tested)
        for outputs in islice(tests.test(sketches), stop):
            said += (encode(output.event) for output in outputs)
        tested = tests.position
    assert said == replay(log, rates, "rates-1")
    assert tests.view().segments[0].total["vitals"].events == COUNT


def test_nothing_comes_of_nothing() -> None:
    said: list[object] = []
    sketches = sketched([])
    view = replay_sketches(PLAN, {}, sketches, said.append)
    assert said == []
    assert view.segments == ()
