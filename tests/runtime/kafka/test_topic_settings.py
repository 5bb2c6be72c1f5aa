from __future__ import annotations

import pytest
from kafka import codec

from tidegauge.runtime.kafka.topic_settings import differences, settings_of
from tidegauge.schemas.topics import ALL_TOPICS, HEARTBEATS, REQUESTS, SKETCHES, STATE, Topic

WEEK = 7 * 86_400_000


@pytest.mark.parametrize("topic", ALL_TOPICS.values(), ids=lambda topic: topic.name)
def test_a_topic_with_our_settings_or_unknown_ones_differs_in_nothing(topic: Topic) -> None:
    assert list(differences(topic, settings_of(topic, WEEK), WEEK)) == []
    assert list(differences(topic, {}, WEEK)) == []


@pytest.mark.parametrize(
    ("topic", "setting", "theirs"),
    [
        (STATE, "cleanup.policy", "delete"),
        (STATE, "cleanup.policy", "compact,delete"),
        (REQUESTS, "cleanup.policy", "compact"),
        (REQUESTS, "retention.ms", "60000"),
        (REQUESTS, "retention.ms", "-1"),
        (REQUESTS, "retention.ms", "99999999999"),
        (REQUESTS, "retention.bytes", "1000000"),
        (REQUESTS, "message.timestamp.type", "CreateTime"),
        (REQUESTS, "max.message.bytes", "900000"),
        (REQUESTS, "segment.ms", "604800000"),
        (REQUESTS, "min.compaction.lag.ms", "86400000"),
        (REQUESTS, "max.compaction.lag.ms", str(2**63 - 1)),
        (STATE, "max.compaction.lag.ms", str(2**63 - 1)),
    ],
)
def test_a_setting_that_does_harm_is_told_with_ours_and_theirs(
    topic: Topic, setting: str, theirs: str
) -> None:
    (found,) = differences(topic, {**settings_of(topic, WEEK), setting: theirs}, WEEK)
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
        ("segment.ms", "604800000"),
        ("max.compaction.lag.ms", str(2**63 - 1)),
    ],
)
def test_a_setting_that_does_no_harm_is_theirs(setting: str, theirs: str) -> None:
    assert (
        list(differences(HEARTBEATS, {**settings_of(HEARTBEATS, WEEK), setting: theirs}, WEEK))
        == []
    )


def test_a_compression_that_cannot_be_read_is_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "zstd", None)
    (found,) = differences(REQUESTS, {"compression.type": "zstd"}, WEEK)
    assert "pip install zstandard" in str(found)


def test_one_setting_says_how_long_every_topic_with_text_keeps_it() -> None:
    with_text = {topic.name for topic in ALL_TOPICS.values() if topic.holds_text}
    assert with_text == {
        "requests.v1",
        "responses.v1",
        "embeddings.v1",
        "remarks.v1",
        "dead-letters.v1",
    }
    for name in with_text:
        assert settings_of(ALL_TOPICS[name], 3_600_000)["retention.ms"] == "3600000"
        assert int(settings_of(ALL_TOPICS[name], 3_600_000)["segment.ms"]) <= 3_600_000
    assert int(settings_of(SKETCHES, 3_600_000)["retention.ms"]) > WEEK
