"""The topics on the broker: created as declared, and compared with their declaration."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import AuthorizationError, TopicAlreadyExistsError, UnsupportedVersionError

from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.errors import LogUnavailableError, TopicLayoutError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.topic_settings import Difference, differences, settings_of
from tidegauge.schemas.topics import ALL_TOPICS, SKETCHES, Topic

__all__ = ["TopicState", "ensure_topics", "list_topics", "topic_settings"]

_READY_SECONDS = 30.0

_IN_ORDER = (SKETCHES.name,)
"""Topics of one partition, since their readers rely on the order of all records."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A declared topic's state on the broker.

    Attributes:
        topic: The declaration.
        partitions: Number of partitions; 0 if the topic is missing.
        differences: Its settings that do harm.
        compared: Whether the broker told its settings.
    """

    topic: Topic
    partitions: int
    differences: tuple[Difference, ...] = ()
    compared: bool = True


def list_topics(settings: KafkaSettings) -> tuple[TopicState, ...]:
    """Return the state of each declared topic on the broker.

    Raises:
        LogError: The broker does not answer or refuses.
    """
    with clients.explained(settings, "listing the topics"):
        admin = clients.admin(settings)
        try:
            found = {
                topic["name"]: len(topic["partitions"])
                for topic in admin.describe_topics(list(ALL_TOPICS))
                if not topic["error_code"]
            }
            configured = _settings(admin, found)
        finally:
            admin.close()
    return tuple(
        TopicState(
            topic,
            found.get(topic.name, 0),
            tuple(differences(topic, (configured or {}).get(topic.name, {}), settings.text_ms)),
            compared=configured is not None,
        )
        for topic in ALL_TOPICS.values()
    )


def topic_settings(
    settings: KafkaSettings, topics: Iterable[Topic]
) -> dict[str, dict[str, str]] | None:
    """Return the settings of topics on the broker, by name; None if it does not tell them.

    Raises:
        LogError: The broker does not answer.
    """
    with clients.explained(settings, "reading the topics' settings"):
        admin = clients.admin(settings)
        try:
            return _settings(admin, [topic.name for topic in topics])
        finally:
            admin.close()


def _settings(admin: KafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]] | None:
    """Return the settings of topics by name; None if the broker does not tell them."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    try:
        described = admin.describe_configs(resources, config_filter="all")
    except (AuthorizationError, UnsupportedVersionError):
        return None
    return {
        name: {setting: str(found["value"]) for setting, found in settings.items()}
        for name, settings in described.get("topic", {}).items()
    }


def ensure_topics(
    settings: KafkaSettings, topics: Iterable[Topic] = tuple(ALL_TOPICS.values())
) -> tuple[Topic, ...]:
    """Create the missing topics; existing ones stay unchanged.

    Returns:
        The topics that were created.

    Raises:
        TopicLayoutError: A topic that must have one partition has several.
        LogError: The broker does not answer or refuses.
    """
    wanted = {topic.name for topic in topics}
    states = [state for state in list_topics(settings) if state.topic.name in wanted]
    for state in states:
        if state.topic.name in _IN_ORDER and state.partitions > 1:
            raise TopicLayoutError(
                f"topic {state.topic.name} has {state.partitions} partitions and must have one, "
                "since its readers rely on the order of its records: delete and recreate it"
            )
    missing = tuple(state.topic for state in states if not state.partitions)
    if missing:
        _create(settings, missing)
        _wait_until_ready(settings, wanted)
    return missing


def _create(settings: KafkaSettings, topics: Iterable[Topic]) -> None:
    with clients.explained(settings, "creating the topics"):
        admin = clients.admin(settings)
        try:
            for topic in topics:
                new = NewTopic(
                    topic.name,
                    topic.partitions,
                    settings.replication_factor,
                    topic_configs=settings_of(topic, settings.text_ms),
                )
                try:
                    admin.create_topics([new])
                except TopicAlreadyExistsError:
                    continue  # another process has created it
        finally:
            admin.close()


def _wait_until_ready(settings: KafkaSettings, wanted: set[str]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        missing = [
            state.topic.name
            for state in list_topics(settings)
            if state.topic.name in wanted and not state.partitions
        ]
        if not missing:
            return
        time.sleep(0.05)
    raise LogUnavailableError(
        settings.bootstrap_servers, f"topics created but not ready: {', '.join(missing)}"
    )
