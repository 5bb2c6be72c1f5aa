from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tidegauge.capture.recorder import Recorder
from tidegauge.capture.runs import Position, list_runs, save_position
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.capture_metrics import CaptureCollector
from tidegauge.schemas.exchange import Message, RequestEvent
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.topics import REQUESTS


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(CaptureSettings(directory=tmp_path, max_event_bytes=2_000), ship=False) as found:
        yield found


def scrape(collector: CaptureCollector) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {
        sample.name.removeprefix("tidegauge_gateway_")
        + "".join(sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def record(recorder: Recorder, text: str = "hello") -> None:
    recorder.record_request(
        lambda producer_id, sequence: RequestEvent(
            request_id=f"r{sequence}",
            producer_id=producer_id,
            sequence=sequence,
            time_ms=1_000,
            segment=Segment(model="m"),
            customer="acme",
            messages=(Message(role="user", content=text),),
        )
    )


def ship(folder: Path, events: int) -> None:
    (run,) = list_runs(folder)
    save_position(run.position, Position(sequence=events, shipped={REQUESTS.name: events}))


def test_a_reason_has_a_series_before_its_first_drop(recorder: Recorder) -> None:
    collector = CaptureCollector(recorder, lambda: 0.0)
    assert scrape(collector)["dropped_events_totalquotarequests.v1"] == 0
    record(recorder)
    record(recorder, "x" * 3_000)
    found = scrape(collector)
    assert found["captured_events_totalrequests.v1"] == 1
    assert found["dropped_events_totalrequests.v1too_large"] == 1
    assert found["dropped_events_totalquotarequests.v1"] == 0


def test_what_waits_has_a_size_and_an_age(recorder: Recorder, tmp_path: Path) -> None:
    clock = [100.0]
    collector = CaptureCollector(recorder, lambda: clock[0])
    assert scrape(collector)["outbox_age_seconds"] == 0
    record(recorder)
    assert scrape(collector)["outbox_events"] == 1
    clock[0] += 60
    record(recorder)
    found = scrape(collector)
    assert found["outbox_age_seconds"] == 60
    assert found["outbox_events"] == 2
    assert 0 < found["outbox_bytes"] < found["outbox_quota_bytes"]
    clock[0] += 5
    ship(tmp_path, 1)
    assert scrape(collector)["outbox_age_seconds"] == 5
    ship(tmp_path, 2)
    found = scrape(collector)
    assert found["outbox_age_seconds"] == found["outbox_events"] == 0


def test_the_account_is_that_of_the_heartbeats(recorder: Recorder, tmp_path: Path) -> None:
    record(recorder)
    ship(tmp_path, 1)
    found = recorder.account(time_ms=5)
    assert found.shipped == {REQUESTS.name: 1}
    assert msgspec.structs.replace(found, producer_id="p").time_ms == 5
