from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest

from tidegauge.detection.reference import Reference
from tidegauge.monitor.loop import BaselineLoadingProcessor
from tidegauge.monitoring.monitor_processor import TOPICS, MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rates import build_rates_baseline
from tidegauge.monitoring.view import MonitorView
from tidegauge.runtime.kafka.errors import LogUnavailableError, UnknownBaselineError
from tidegauge.schemas import Event, encode
from tidegauge.schemas.operations import BaselineActivation, BaselineKind
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import BASELINES, RESPONSES, SKETCHES, Topic
from tidegauge.streaming.processor import Partition, Record

NOW = 1_700_000_100_000


class ScriptedBaselines:
    """Baselines in memory; ``rates-bad`` cannot be read."""

    def __init__(self, references: Mapping[str, Mapping[str, Reference]]) -> None:
        self._references = references
        self.in_force: dict[BaselineKind, str] = {}
        self.away = False
        self.asked: list[str] = []

    def active(self, kind: BaselineKind) -> str | None:
        return self.in_force.get(kind)

    def references(
        self, kind: BaselineKind, baseline_id: str
    ) -> Mapping[str, Mapping[str, Reference]]:
        assert kind == "rates"
        self.asked.append(baseline_id)
        if self.away:
            raise LogUnavailableError("127.0.0.1:1", "away")
        if baseline_id == "rates-bad":
            raise UnknownBaselineError("there is no baseline 'rates-bad'")
        return {
            monitor: {
                key: msgspec.structs.replace(reference, baseline=baseline_id)
                for key, reference in by_segment.items()
            }
            for monitor, by_segment in self._references.items()
        }


@pytest.fixture
def baselines(make_view: Callable[[], MonitorView]) -> ScriptedBaselines:
    sketch = make_view().segments[0].display_range["vitals"]
    return ScriptedBaselines(build_rates_baseline([sketch]).references)


@pytest.fixture
def processor(baselines: ScriptedBaselines) -> BaselineLoadingProcessor:
    return BaselineLoadingProcessor(MonitorProcessor(MonitorPlan()), baselines)


def assigned(processor: BaselineLoadingProcessor) -> BaselineLoadingProcessor:
    for topic in TOPICS:
        processor.assign(Partition(topic.name, 0), None)
    return processor


def record(topic: Topic, event: Event, offset: int = 0) -> Record:
    return Record(Partition(topic.name, 0), offset, encode(event))


def activation(baseline_id: str) -> Record:
    return record(BASELINES, BaselineActivation(baseline_id=baseline_id, kind="rates", time_ms=NOW))


def in_force(processor: BaselineLoadingProcessor) -> set[str]:
    view = processor.view()
    assert view is not None
    return {item.baseline_id for item in view.baselines}


def test_before_the_first_call_there_is_no_view(processor: BaselineLoadingProcessor) -> None:
    assert processor.view() is None


def test_the_baseline_in_force_is_there_before_the_first_sketch(
    processor: BaselineLoadingProcessor, baselines: ScriptedBaselines
) -> None:
    baselines.in_force["rates"] = "rates-1"
    assigned(processor).tick(NOW)
    assert in_force(processor) == {"rates-1"}


def test_an_activation_is_followed(
    processor: BaselineLoadingProcessor, baselines: ScriptedBaselines
) -> None:
    baselines.in_force["rates"] = "rates-1"
    assigned(processor).process([activation("rates-2")], NOW)
    assert in_force(processor) == {"rates-2"}
    processor.tick(NOW + 60_000)
    assert baselines.asked == ["rates-1", "rates-2"], "it is loaded once"


def test_a_baseline_that_cannot_be_read_is_asked_for_again_later_and_stops_nothing(
    processor: BaselineLoadingProcessor, baselines: ScriptedBaselines
) -> None:
    assigned(processor).process([activation("rates-bad")], NOW)
    for seconds in (1, 10, 29):
        processor.tick(NOW + 1_000 * seconds)
    assert baselines.asked == ["rates-bad"]
    processor.tick(NOW + 31_000)
    assert baselines.asked == ["rates-bad"] * 2
    assert in_force(processor) == set()


def test_a_log_that_is_away_is_the_loops_business(
    processor: BaselineLoadingProcessor, baselines: ScriptedBaselines
) -> None:
    baselines.in_force["rates"] = "rates-1"
    baselines.away = True
    with pytest.raises(LogUnavailableError):
        processor.assign(Partition(SKETCHES.name, 0), None)


def test_the_view_is_renewed_but_not_at_every_call(processor: BaselineLoadingProcessor) -> None:
    assigned(processor).tick(NOW)
    first = processor.view()
    processor.tick(NOW + 100)
    assert processor.view() is first
    processor.tick(NOW + 60_000)
    later = processor.view()
    assert later is not None
    assert later.time_ms == NOW + 60_000


def test_a_snapshot_takes_the_segments_along(
    processor: BaselineLoadingProcessor,
    baselines: ScriptedBaselines,
    make_view: Callable[[], MonitorView],
) -> None:
    sketch = msgspec.structs.replace(
        make_view().segments[0].display_range["vitals"],
        window_start_ms=NOW // 10_000 * 10_000 - 60_000,
        window_ms=10_000,
        producer_id="vitals/responses.v1-0",
        sequence=1,
    )
    reports = [
        Progress(
            kind="vitals",
            producer_id=f"vitals/responses.v1-{partition}",
            sequence=2,
            time_ms=NOW,
            topic=RESPONSES.name,
            partition=partition,
            next_offset=1,
            watermark_ms=NOW,
            tallies={},
        )
        for partition in range(RESPONSES.partitions)
    ]
    events: list[Sketch | Progress] = [sketch, *reports]
    records = [record(SKETCHES, event, offset) for offset, event in enumerate(events)]
    assigned(processor).process(records, NOW)
    snapshot = processor.snapshot(Partition(SKETCHES.name, 0))
    heir = BaselineLoadingProcessor(MonitorProcessor(MonitorPlan()), baselines)
    heir.assign(Partition(SKETCHES.name, 0), snapshot)
    heir.tick(NOW + 1_000)
    view = heir.view()
    assert view is not None
    assert [item.segment for item in view.segments] == [sketch.segment]
