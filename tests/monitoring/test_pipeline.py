"""Responses through workers and log to verdicts: the answer does not depend on the way there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from tests.streaming.memory_log import MemoryLog, MemoryLoop

from tidegauge.detection.e_detector import unpack
from tidegauge.monitoring.catalog import MonitorKey
from tidegauge.monitoring.detector_set import DetectorSetState
from tidegauge.monitoring.monitor_processor import TOPICS, MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import Segment, decode, encode
from tidegauge.schemas.exchange import ErrorKind, Heartbeat, ResponseEvent
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.topics import ALERTS, HEARTBEATS, REQUESTS, RESPONSES, SKETCHES, VERDICTS
from tidegauge.streaming.checkpoints import EncodedRecord
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.vitals.extractor import VitalsExtractor

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

START_MS = 1_700_000_000_000
WINDOW_MS = 2_000
SEGMENT = Segment(model="m", version="v1", route="/chat")
PLAN = MonitorPlan(
    window_ms=WINDOW_MS,
    partitions={REQUESTS.name: 4, RESPONSES.name: 4},
    expected=("vitals",),
    settle_ms=10_000,
)
SETTINGS = SketchSettings(
    window_ms=WINDOW_MS, lateness_ms=2_000, idle_ms=3_000, progress_ms=WINDOW_MS
)


class _Assessment(msgspec.Struct):
    detectors: DetectorSetState


class _Core(msgspec.Struct):
    assessment: _Assessment


def responses(seed: int, count: int, slow_from: int) -> list[ResponseEvent]:
    rng = np.random.default_rng(seed)
    latencies = rng.lognormal(6.5, 0.4, count)
    latencies[slow_from:] *= 2.5
    return [
        ResponseEvent(
            request_id=f"r{number}",
            producer_id="g1",
            sequence=number + 1,
            time_ms=START_MS + number * 200,
            segment=SEGMENT,
            customer="acme",
            status=200,
            error=ErrorKind.UPSTREAM_ERROR if number % 50 == 0 else None,
            latency_ms=float(latency),
            cost_usd=0.0001,
        )
        for number, latency in enumerate(latencies)
    ]


def heartbeat(count: int, time_ms: int, *, final: bool = False) -> Heartbeat:
    return Heartbeat(
        producer_id="g1",
        time_ms=time_ms,
        served=count,
        captured={RESPONSES.name: count},
        dropped={},
        shipped={RESPONSES.name: count},
        final=final,
    )


class Site:
    """A log with vitals workers and a monitor; the clock follows the events."""

    def __init__(self, workers: int, baseline: RatesBaseline, *, transactions: bool = True) -> None:
        self.log = MemoryLog()
        self.transactions = transactions
        self.now_ms = START_MS
        self.baseline = baseline
        self.workers = [self._worker(number) for number in range(workers)]
        self.monitor, self.loop = self._monitor("one")

    def _worker(self, number: int) -> MemoryLoop:
        processor = SketchingProcessor(VitalsExtractor(), "vitals", SETTINGS)
        return MemoryLoop(
            self.log,
            "vitals",
            [RESPONSES],
            processor,
            now_ms=lambda: self.now_ms,
            member=f"w{number}",
            transactions=self.transactions,
        )

    def _monitor(self, member: str) -> tuple[MonitorProcessor, MemoryLoop]:
        monitor = MonitorProcessor(PLAN)
        monitor.use("rates", "rates-1", self.baseline.references, self.now_ms)
        loop = MemoryLoop(
            self.log,
            "monitor",
            TOPICS,
            monitor,
            now_ms=lambda: self.now_ms,
            member=member,
            transactions=self.transactions,
        )
        return monitor, loop

    def replace_monitor(self, member: str) -> None:
        """Let the monitor die without a word, and another go on from the last commit."""
        self.log.leave("monitor", "one")
        self.monitor, self.loop = self._monitor(member)

    def serve(self, events: Sequence[ResponseEvent], lost: frozenset[int] = frozenset()) -> None:
        """Append responses, each worker and the monitor keeping up second by second."""
        for number, event in enumerate(events):
            wire = EncodedRecord(
                topic=RESPONSES.name, key=event.request_id.encode(), value=encode(event)
            )
            if number not in lost:
                self.log.append(wire, timestamp_ms=event.time_ms)
            self.now_ms = max(self.now_ms, event.time_ms)
            if number % 5 == 4:
                self.step()

    def step(self) -> None:
        """Let everyone do what there is to do."""
        for loop in (*self.workers, self.loop):
            loop.step()

    def settle(self, count: int, seconds: int = 40) -> None:
        """Let the last windows close, with the producer's last word said."""
        beat = heartbeat(count, self.now_ms, final=True)
        self.log.append(EncodedRecord(topic=HEARTBEATS.name, key=b"g1", value=encode(beat)))
        for _ in range(seconds):
            self.now_ms += 1_000
            self.step()

    def evidence(self) -> dict[MonitorKey, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        """Return every detector's log statistic, bet by bet."""
        state = self.monitor.snapshot(Partition(SKETCHES.name, 0))
        core = msgspec.msgpack.decode(state, type=_Core)
        return {
            MonitorKey(stored.monitor, stored.segment): unpack(stored.bets).log_m
            for stored in core.assessment.detectors.evidence
        }

    def said(self) -> list[bytes]:
        """Return the verdicts and alerts of detectors, as they were published."""
        verdicts = [decode(r.value, Verdict) for r in self.log.records(VERDICTS)]
        alerts = [decode(r.value, Alert) for r in self.log.records(ALERTS)]
        return [encode(v) for v in verdicts if v.signal != "pipeline"] + [
            encode(a) for a in alerts if a.signal != "pipeline"
        ]


@pytest.fixture
def baseline(traffic: Traffic) -> RatesBaseline:
    return RatesBaseline.from_bytes(
        build_rates_baseline(traffic.baseline_windows(100, 5)).to_bytes(), "rates-1"
    )


def site_after(workers: int, baseline: RatesBaseline) -> Site:
    site = Site(workers, baseline)
    events = responses(1, 600, slow_from=400)
    site.serve(events)
    site.settle(len(events))
    return site


def test_the_number_of_workers_changes_nothing(baseline: RatesBaseline) -> None:
    one, three = site_after(1, baseline), site_after(3, baseline)
    assert [a.monitor for a in three.monitor.view().alerts] == ["latency.total"]
    assert one.evidence().keys() == three.evidence().keys()
    for key, log_m in one.evidence().items():
        np.testing.assert_allclose(log_m, three.evidence()[key], atol=1e-12, rtol=1e-12)
    mine = one.monitor.view().segments[0].total["vitals"]
    others = three.monitor.view().segments[0].total["vitals"]
    assert (mine.events, mine.hits, mine.histograms, mine.totals) == (
        others.events,
        others.hits,
        others.histograms,
        others.totals,
    )
    assert mine.events == 600


@pytest.mark.parametrize("transactions", [True, False])
def test_a_replaced_monitor_gives_the_same_bytes(
    baseline: RatesBaseline, *, transactions: bool
) -> None:
    events = responses(1, 600, slow_from=400)
    whole = Site(1, baseline, transactions=transactions)
    cut = Site(1, baseline, transactions=transactions)
    whole.serve(events)
    cut.serve(events[:300])
    cut.replace_monitor("two")
    cut.serve(events[300:])
    whole.settle(600)
    cut.settle(600)
    said = cut.said()
    if not transactions:
        # What was pending at the death is said once more, in the same bytes.
        said = list(dict.fromkeys(said))
    assert said == whole.said()
    assert {k: v.tobytes() for k, v in cut.evidence().items()} == {
        k: v.tobytes() for k, v in whole.evidence().items()
    }


def test_the_ledger_settles_when_everything_has_arrived(baseline: RatesBaseline) -> None:
    site = site_after(2, baseline)
    ledger = site.monitor.view().ledger
    vitals = next(line for line in ledger.deliveries if line.kind == "vitals")
    assert (vitals.captured, vitals.processed, vitals.in_flight) == (600, 600, 0)
    assert ledger.balanced


def test_the_ledger_misses_a_lost_event(baseline: RatesBaseline) -> None:
    site = Site(2, baseline)
    events = responses(1, 100, slow_from=100)
    site.serve(events, lost=frozenset({42}))
    beat = heartbeat(100, site.now_ms)
    site.log.append(EncodedRecord(topic=HEARTBEATS.name, key=b"g1", value=encode(beat)))
    site.step()
    assert site.monitor.view().ledger.balanced, "it may still be on its way"
    site.settle(100)
    ledger = site.monitor.view().ledger
    assert [line.missing for line in ledger.deliveries if line.kind == "vitals"] == [1]
    assert "pipeline.ledger" in {alert.monitor for alert in site.monitor.view().alerts}
