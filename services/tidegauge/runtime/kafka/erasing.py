"""Erasing single records: tombstones, and compaction that need not wait for its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Final

from kafka import KafkaAdminClient
from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType

from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.errors import KafkaRefusedError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.topic_settings import settings_of
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.schemas.topics import Topic

__all__ = ["compacted_at_once", "still_held", "wait_until_gone", "write_tombstones"]

_PRODUCE_SECONDS: Final = 30.0
_READ_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 3.0
_MOST_LOOKED_AT: Final = 300
_AT_ONCE: Final[Mapping[str, str]] = {
    "segment.ms": "500",
    "max.compaction.lag.ms": "1",
    "min.cleanable.dirty.ratio": "0",
}
"""Settings under which a segment is closed by the next record, and compacted as soon as closed."""


def write_tombstones(settings: KafkaSettings, records: Iterable[tuple[RecordPlace, bytes]]) -> None:
    """Write a tombstone for each record, by its key, to its own partition.

    Args:
        settings: Connection to Kafka.
        records: Where they lie, and their keys.

    Raises:
        LogError: The broker does not answer, or does not take them.
    """
    with (
        clients.explained(settings, "writing tombstones"),
        closing(clients.producer(settings)) as producer,
    ):
        keys = {(place.topic, place.partition, key): None for place, key in records}
        futures = [
            producer.send(topic, value=None, key=key, partition=partition)
            for topic, partition, key in keys
        ]
        producer.flush(_PRODUCE_SECONDS)
        for future in futures:
            future.get(_PRODUCE_SECONDS)


def still_held(settings: KafkaSettings, places: Collection[RecordPlace]) -> set[RecordPlace]:
    """Return which of some records the log still holds, or may hold for want of time to look.

    Raises:
        LogError: The broker does not answer.
    """
    found = reader.read_at(settings, places, seconds=_READ_SECONDS)
    return {place for place in places if place not in found or found[place] is not None}


@contextmanager
def compacted_at_once(settings: KafkaSettings, topics: Iterable[Topic]) -> Iterator[None]:
    """Have the broker compact some topics at once, and restore their settings at the end.

    Raises:
        LogError: The broker does not answer, or this client may not alter topics.
    """
    named = {topic.name: topic for topic in topics}
    with clients.explained(settings, "altering the topics' settings"):
        admin = clients.admin(settings)
        try:
            before = _own_settings(admin, named)
            for name, own in before.items():
                if own == _AT_ONCE:  # another erasure is under way, or was killed
                    ours = settings_of(named[name], settings.text_ms)
                    before[name] = {setting: ours.get(setting) for setting in _AT_ONCE}
            _alter(admin, {name: dict(_AT_ONCE) for name in named})
            try:
                yield
            finally:
                _alter(admin, before)
        finally:
            admin.close()


def wait_until_gone(
    settings: KafkaSettings,
    places: Collection[RecordPlace],
    seconds: float,
    *,
    again: Callable[[], None],
) -> set[RecordPlace]:
    """Wait until the log holds none of some records; return those that it holds then, or may hold.

    Args:
        settings: Connection to Kafka.
        places: Where the records lie.
        seconds: Longest time to wait.
        again: Called before each look, to write what closes the topics' open segments.

    Raises:
        LogError: The broker does not answer.
    """
    deadline = time.monotonic() + seconds
    left = set(places)
    while True:
        again()
        looked_at = sorted(left)[:_MOST_LOOKED_AT]
        held = still_held(settings, looked_at)
        left -= set(looked_at) - held
        if not left or time.monotonic() > deadline:
            return left
        if held:
            time.sleep(_LOOK_SECONDS)


def _own_settings(
    admin: KafkaAdminClient, names: Iterable[str]
) -> dict[str, dict[str, str | None]]:
    """Return the settings to restore; None for what a topic has not of its own."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    described = admin.describe_configs(resources, config_filter="modified")
    own = described.get("topic", {})
    return {
        resource.name: {
            setting: str(own[resource.name][setting]["value"])
            if setting in own.get(resource.name, {})
            else None
            for setting in _AT_ONCE
        }
        for resource in resources
    }


def _alter(admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str | None]]) -> None:
    answers = admin.alter_configs(
        [
            ConfigResource(
                ConfigResourceType.TOPIC,
                name,
                configs={
                    setting: (AlterConfigOp.DELETE, None)
                    if value is None
                    else (AlterConfigOp.SET, value)
                    for setting, value in settings.items()
                },
            )
            for name, settings in wanted.items()
        ]
    )
    for name, answer in answers.get("topic", {}).items():
        if answer != "OK":
            raise KafkaRefusedError(
                f"Kafka does not let this client alter the settings of {name} ({answer}): grant it "
                "AlterConfigs on the topics, or leave --now out and wait"
            )
