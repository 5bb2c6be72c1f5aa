"""The drift monitor's own path, from requests to verdicts, where two replies are many requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.fitting import HistoricalRequest, fit
from tidegauge.drift.preparation import Preparation
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.schemas import Event, decode, encode
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.findings import Alert, State, Verdict
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import REQUESTS, SKETCHES
from tidegauge.streaming.extractor import Origin
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.window import SketchOrigin, Window, WindowKey
from tidegauge.workers.drift.extractor import DriftExtractor

SOURCE = Partition(REQUESTS.name, 0)
STAMP = SketchOrigin("drift", "drift/requests.v1-0", SOURCE, 10_000)
EVENTS, QUIET_WINDOWS, CHANGED_WINDOWS = 20, 60, 60
THINGS = ("card", "account", "bank", "limit", "payment")
NEWS = ("zebra", "quagga", "okapi", "gnu", "ibex")


def request(rng: np.random.Generator, *, changed: bool) -> str:
    """Draw a request: two in five are one of two short replies; later some are on new topics."""
    if rng.random() < 0.4:
        return str(rng.choice(["yes", "ok thanks"]))
    things = NEWS if changed and rng.random() < 0.3 else THINGS
    return f"my {rng.choice(things)} {rng.choice(things)} number {rng.integers(8)}"


def baseline_of(embedder: Any, rng: np.random.Generator) -> DriftBaseline:  # noqa: ANN401 - a fixture
    texts = [request(rng, changed=False) for _ in range(3_000)]
    made = fit(
        [HistoricalRequest(text) for text in texts],
        embedder.embed(texts),
        embedder="words",
        preparation=Preparation(),
        rng=np.random.default_rng(1),
    )
    return DriftBaseline.from_bytes(made.to_bytes(), "drift-1")


def sketch_of(extractor: DriftExtractor, events: list[RequestEvent], number: int) -> Sketch:
    """Let the worker count one window."""
    first = number * EVENTS
    origins = [Origin(STAMP.producer_id, SOURCE, first + i) for i in range(len(events))]
    window = Window(0.01, first)
    measured = extractor.measure(list(zip(origins, events, strict=True)))
    for offset, one in enumerate(measured, first):
        window.add(one, offset, late=False)
    key = WindowKey(10_000 * number, events[0].segment, "drift-1")
    return window.sketch(key, STAMP, sequence=2 * number + 1, looked_at=())


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_a_change_is_found_beside_many_short_replies(
    embedder: Any,  # noqa: ANN401 - a fixture
    ask: Any,  # noqa: ANN401 - a fixture
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    baseline = baseline_of(embedder, rng)
    spacings = np.concatenate([urn.spacings for urn in baseline.openings.references[""].polya_urns])
    assert (spacings > 0).all()
    extractor = DriftExtractor(embedder, Preparation(), window_ms=10_000)
    extractor.use(baseline)
    monitor = MonitorProcessor(MonitorPlan(partitions={REQUESTS.name: 1}))
    monitor.use("drift", "drift-1", {"drift.topics": baseline.openings.references}, 0)
    said: list[Any] = []
    for number in range(QUIET_WINDOWS + CHANGED_WINDOWS):
        events = [
            ask(
                request(rng, changed=number >= QUIET_WINDOWS),
                number * EVENTS + i + 1,
                time_ms=10_000 * number + i,
                customer=f"caller {i}",
            )
            for i in range(EVENTS)
        ]
        sketch = sketch_of(extractor, events, number)
        progress = Progress(
            kind="drift",
            producer_id=STAMP.producer_id,
            sequence=2 * number + 2,
            time_ms=10_000 * (number + 1),
            topic=SOURCE.topic,
            partition=0,
            next_offset=(number + 1) * EVENTS,
            watermark_ms=10_000 * (number + 1),
            tallies={},
            totals={},
        )
        published: tuple[Event, ...] = (sketch, progress)
        records = [
            Record(Partition(SKETCHES.name, 0), 2 * number + i, encode(event))
            for i, event in enumerate(published)
        ]
        outcome = monitor.process(records, 10_000 * (number + 1))
        assert outcome.rejections == ()
        said += [output.event for output in outcome.outputs]
    verdicts = [one for one in said if isinstance(one, Verdict) and one.signal == "drift"]
    assert len(verdicts) == QUIET_WINDOWS + CHANGED_WINDOWS
    quiet = {one.state for one in verdicts[:QUIET_WINDOWS]}
    assert quiet <= {State.LOW_DATA, State.OK}
    assert verdicts[-1].state == State.WARN
    assert [decode(encode(one), Verdict) for one in verdicts] == verdicts
    assert all(one.log_statistic is not None for one in verdicts)
    (alert,) = [one for one in said if isinstance(one, Alert)]
    assert alert.monitor == "drift.topics"
    assert any(effect.indicator.startswith("novelty/") for effect in alert.verdict.effects)
