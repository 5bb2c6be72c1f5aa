"""Baselines are built without the times of incidents, and say so."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from tests.usecases.log import WINDOW_MS, alarm, put_alarm, put_windows

from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment
from tidegauge.schemas.operations import BaselineOrigin
from tidegauge.usecases.build_baseline import build_rates, publish_baseline
from tidegauge.usecases.errors import TimeRangeError
from tidegauge.usecases.stretch import Stretch, excluded_by_name, incidents_of_log


def test_an_incident_is_left_out_of_its_model_and_listed(kafka: KafkaSettings) -> None:
    ill, well = (Segment(model=uuid4().hex, version="1", route="/chat") for _ in range(2))
    now = time.time_ns() // 1_000_000
    start = now - 600_000
    for segment in (ill, well):
        put_windows(kafka, segment, start, 20)
        put_windows(kafka, segment, start + 20 * WINDOW_MS, 10, failed=9)
    onset, ended = start + 20 * WINDOW_MS, start + 30 * WINDOW_MS
    put_alarm(kafka, alarm("errors.rate", ill, onset, onset + 5_000, ended))
    found = incidents_of_log(kafka, start, now, now)
    (mine,) = [one for one in found if one.model == ill.model]
    assert (mine.start_ms, mine.end_ms) == (onset, ended)
    made = build_rates(kafka, Stretch(start, now, (mine,)))
    errors = made.references["errors.rate"]
    assert (errors[ill.key].hits[0], errors[ill.key].trials[0]) == (0, 200)
    assert (errors[well.key].hits[0], errors[well.key].trials[0]) == (90, 300)
    origin = BaselineOrigin(excluded=(mine,), accepts=())
    kept = BaselineStore(kafka).manifest(publish_baseline(kafka, made, origin))
    assert kept.origin.excluded == (mine,)
    assert "errors.rate" in kept.summary["promise"]
    assert "a rise of requests that the service failed from" in kept.summary["power"]


def test_an_accepted_alarm_is_no_incident_any_more(kafka: KafkaSettings) -> None:
    segment = Segment(model=uuid4().hex, version="1", route="/chat")
    now = time.time_ns() // 1_000_000
    put_windows(kafka, segment, now - 600_000, 20)
    one = put_alarm(kafka, alarm("errors.rate", segment, now - 500_000, now - 400_000))
    before = incidents_of_log(kafka, now - 600_000, now, now)
    assert [found.end_ms for found in before if found.model == segment.model] == [now]
    made = build_rates(kafka, Stretch(now - 600_000, now))
    publish_baseline(kafka, made, BaselineOrigin(how="accepted", accepts=(one.alert_id,)))
    after = incidents_of_log(kafka, now - 600_000, now, now)
    assert segment.model not in {found.model for found in after}


@pytest.mark.parametrize("text", ["-3h", "-3h/-4h", "soon/later"])
def test_a_time_to_leave_out_is_a_range(text: str) -> None:
    with pytest.raises(TimeRangeError):
        excluded_by_name([text], 1_000_000_000)
