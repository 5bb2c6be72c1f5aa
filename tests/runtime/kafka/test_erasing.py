from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tidegauge.runtime.kafka import erasing
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.topic_settings import settings_of
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.schemas.topics import REQUESTS

KAFKA = KafkaSettings(bootstrap_servers="localhost:9092")
AT_ONCE = {
    "segment.ms": "500",
    "max.compaction.lag.ms": "1",
    "min.cleanable.dirty.ratio": "0",
}


def test_records_that_were_not_looked_at_are_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [RecordPlace(REQUESTS.name, 0, offset) for offset in range(1_000)]

    def read_at(
        _: KafkaSettings, wanted: Iterable[RecordPlace], *, seconds: float
    ) -> Mapping[RecordPlace, object]:
        assert seconds > 0
        return {place: "text" if place == places[-1] else None for place in wanted}

    monkeypatch.setattr("tidegauge.runtime.kafka.reader.read_at", read_at)
    monkeypatch.setattr(erasing, "_LOOK_SECONDS", 0.0)
    assert places[-1] in erasing.wait_until_gone(KAFKA, places, -1.0, again=lambda: None)
    left = erasing.wait_until_gone(KAFKA, places[:-1], 60.0, again=lambda: None)
    assert left == set()


class _Admin:
    """An administrator of one topic that has settings of its own."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self.own = dict(own)

    def describe_configs(self, _: object, config_filter: str) -> Mapping[str, Any]:
        assert config_filter == "modified"
        return {
            "topic": {REQUESTS.name: {name: {"value": value} for name, value in self.own.items()}}
        }

    def alter_configs(self, resources: Iterable[Any]) -> Mapping[str, Any]:
        for resource in resources:
            for name, (_, value) in resource.configs.items():
                if value is None:
                    self.own.pop(name, None)
                else:
                    self.own[name] = value
        return {"topic": {REQUESTS.name: "OK"}}

    def close(self) -> None:
        """Release nothing."""


@pytest.mark.parametrize("left_behind", [False, True])
def test_settings_to_compact_at_once_never_stay(
    monkeypatch: pytest.MonkeyPatch,
    left_behind: bool,  # noqa: FBT001
) -> None:
    ours = settings_of(REQUESTS, KAFKA.text_ms)
    usual = {name: ours[name] for name in AT_ONCE}
    admin = _Admin(AT_ONCE if left_behind else usual)
    monkeypatch.setattr("tidegauge.runtime.kafka.clients.admin", lambda _: admin)
    with erasing.compacted_at_once(KAFKA, [REQUESTS]):
        assert admin.own == AT_ONCE
    assert admin.own == usual
