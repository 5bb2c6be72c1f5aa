"""What ``tidegauge doctor`` looks at of Kafka: compressions, topics and their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidegauge.cli.check import Check
from tidegauge.runtime.kafka.admin import list_topics
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.topic_settings import missing_codecs, readable_codecs
from tidegauge.runtime.settings import load

__all__ = ["kafka_checks"]


def kafka_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Check what can be read here, and the topics of the broker that is given.

    Args:
        environment: Variables; without ``KAFKA_BOOTSTRAP_SERVERS`` no broker is asked.

    Raises:
        SettingsError: A variable cannot be used.
    """
    missing = missing_codecs()
    yield Check(
        what="compressions",
        fine=not missing,
        found=", ".join(readable_codecs()),
        remedy=f"pip install {' '.join(missing.values())}, to read {', '.join(missing)}"
        if missing
        else "",
    )
    if environment.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield from _topics(load(KafkaSettings, environment))


def _topics(settings: KafkaSettings) -> Iterator[Check]:
    try:
        states = list_topics(settings)
    except LogError as error:
        yield Check(what="topics", fine=False, found=str(error))
        return
    absent = [state.topic.name for state in states if not state.partitions]
    if absent:
        yield Check(
            what="topics",
            fine=None,
            found=f"missing: {', '.join(absent)}",
            remedy="run 'tidegauge topics ensure', or let the services create them",
        )
    elif not all(state.compared for state in states):
        yield Check(
            what="topics",
            fine=None,
            found="the broker does not tell their settings to this client",
            remedy="allow it to describe the configurations of topics",
        )
    else:
        yield Check(what="topics", fine=True, found=f"all {len(states)} are there")
    for state in states:
        for difference in state.differences:
            yield Check(
                what=f"topic {state.topic.name}",
                fine=False,
                found=f"{difference.setting} is {difference.theirs}, tidegauge's is "
                f"{difference.ours}: {difference.harm}",
                remedy=difference.remedy,
            )
