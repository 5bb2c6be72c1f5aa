from __future__ import annotations

import pytest
from kafka import codec

from tidegauge.runtime.kafka.topic_settings import differences, settings_of
from tidegauge.schemas.topics import ALL_TOPICS, REQUESTS, STATE, Topic


@pytest.mark.parametrize("topic", ALL_TOPICS.values(), ids=lambda topic: topic.name)
def test_a_topic_with_our_settings_or_unknown_ones_differs_in_nothing(topic: Topic) -> None:
    assert list(differences(topic, settings_of(topic))) == []
    assert list(differences(topic, {})) == []


@pytest.mark.parametrize(
    ("topic", "setting", "theirs"),
    [
        (STATE, "cleanup.policy", "delete"),
        (STATE, "cleanup.policy", "compact,delete"),
        (REQUESTS, "cleanup.policy", "compact"),
        (REQUESTS, "retention.ms", "60000"),
        (REQUESTS, "retention.bytes", "1000000"),
        (REQUESTS, "message.timestamp.type", "CreateTime"),
        (REQUESTS, "max.message.bytes", "900000"),
    ],
)
def test_a_setting_that_does_harm_is_told_with_ours_and_theirs(
    topic: Topic, setting: str, theirs: str
) -> None:
    (found,) = differences(topic, {**settings_of(topic), setting: theirs})
    assert (found.topic, found.setting, found.theirs) == (topic.name, setting, theirs)
    assert theirs in str(found)
    assert found.ours in found.remedy


@pytest.mark.parametrize(
    ("setting", "theirs"),
    [
        ("retention.ms", "-1"),
        ("retention.ms", "99999999999"),
        ("max.message.bytes", "5000000"),
        ("compression.type", "zstd"),
    ],
)
def test_a_setting_that_does_no_harm_is_theirs(setting: str, theirs: str) -> None:
    assert list(differences(REQUESTS, {**settings_of(REQUESTS), setting: theirs})) == []


def test_a_compression_that_cannot_be_read_is_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "zstd", None)
    (found,) = differences(REQUESTS, {"compression.type": "zstd"})
    assert "pip install zstandard" in str(found)
