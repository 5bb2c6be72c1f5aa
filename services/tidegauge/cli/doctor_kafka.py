"""What ``tidegauge doctor`` says of Kafka: who is let in, to do what, and by which clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, Final
from uuid import uuid4

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import AuthorizationError, KafkaError

from tidegauge.cli.check import Check
from tidegauge.cli.doctor_models import clock_check
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.admin import TopicState, list_topics
from tidegauge.runtime.kafka.diagnosis import diagnose, diagnose_server
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.topic_settings import (
    TIMESTAMP_TYPE,
    missing_codecs,
    readable_codecs,
)
from tidegauge.runtime.kafka.transactions import stuck_transactions, transactions_hide_aborts
from tidegauge.runtime.settings import load
from tidegauge.schemas.topics import ALL_TOPICS, STATE

__all__ = ["kafka_checks"]

_GROUPS: Final = ("drift", "vitals", "judge", "monitor")
_NEEDED: Final = frozenset({"READ", "WRITE"})
_HARMLESS_UNTIL_NEEDED: Final = frozenset(
    {
        TIMESTAMP_TYPE,
        "retention.ms",
        "retention.bytes",
        "segment.ms",
        "min.compaction.lag.ms",
        "max.compaction.lag.ms",
    }
)
"""Settings of topics with which everything runs, and shows or keeps less or more than it should."""
_READ_SECONDS: Final = 10.0


def kafka_checks(environment: Mapping[str, str]) -> Iterator[Check]:
    """Check what can be read here, and ask the broker that is given for all that will be asked.

    The round trip goes through a topic of its own, which is deleted afterwards.

    Args:
        environment: Variables; without ``KAFKA_BOOTSTRAP_SERVERS`` no broker is asked.

    Raises:
        SettingsError: A variable cannot be used.
    """
    missing = missing_codecs()
    yield Check(
        what="compressions",
        level="bad" if missing else "ok",
        found=", ".join(readable_codecs()),
        remedy=f"pip install {' '.join(missing.values())}, to read {', '.join(missing)}"
        if missing
        else "",
    )
    if not environment.get("KAFKA_BOOTSTRAP_SERVERS"):
        return
    settings = load(KafkaSettings, environment)
    if (wrong := diagnose(settings.client())) is not None:
        yield Check(what="broker", level="bad", found=wrong.cause, remedy=wrong.remedy)
        return
    try:
        yield from _broker(settings)
    except LogError as error:
        yield Check(what="broker", level="bad", found=str(error))


def _broker(settings: KafkaSettings) -> Iterator[Check]:
    with (
        clients.explained(settings, "asking the broker"),
        closing(clients.admin(settings)) as admin,
    ):
        cluster = admin.describe_cluster()
        unreached = list(_unreached(cluster, settings))
        yield from unreached
        if unreached:
            return
        brokers = ", ".join(f"{broker['host']}:{broker['port']}" for broker in cluster["brokers"])
        yield Check(what="broker", level="ok", found=f"lets this client in: {brokers}")
        states = list_topics(settings)
        yield from _topics(states, may_create=_may_create(cluster, settings))
        yield from _permissions(admin, states)
        yield from _round_trip(admin, settings)
    if any(state.topic == STATE and state.partitions for state in states):
        hidden = transactions_hide_aborts(settings)
        yield Check(
            what="transactions",
            level="ok" if hidden else "absent",
            found="work: exactly once"
            if hidden
            else "do not hide what was aborted: repeats are recognised and dropped",
        )
        if hidden:
            yield from _stuck_transactions(settings)


def _stuck_transactions(settings: KafkaSettings) -> Iterator[Check]:
    """Yield the transactions that never end, which a broker that was killed can leave behind."""
    longest = 2 * settings.transaction_timeout_ms / 1000
    for place in stuck_transactions(settings, ALL_TOPICS.values(), seconds=longest):
        yield Check(
            what=f"topic {place.topic}",
            level="bad",
            found=f"a transaction that began at record {place.offset} of partition "
            f"{place.partition} does not end: nothing behind it is read",
            remedy=f"kafka-transactions.sh --bootstrap-server {settings.bootstrap_servers} abort "
            f"--topic {place.topic} --partition {place.partition} --start-offset {place.offset}",
        )


def _unreached(cluster: Mapping[str, Any], settings: KafkaSettings) -> Iterator[Check]:
    """Yield the brokers that the cluster names and that cannot be reached from here."""
    options = settings.client()
    for broker in cluster["brokers"]:
        server = f"{broker['host']}:{broker['port']}"
        wrong = diagnose_server(server, options)
        if wrong is not None:
            yield Check(
                what="broker",
                level="bad",
                found=f"the cluster names its broker {broker['broker_id']} as {server}: "
                f"{wrong.cause}",
                remedy="set advertised.listeners on that broker to an address that is reached "
                "from here",
            )


def _may_create(cluster: Mapping[str, Any], settings: KafkaSettings) -> bool:
    allowed = cluster.get("authorized_operations")
    return settings.create_topics and (allowed is None or "CREATE" in allowed)


def _topics(states: tuple[TopicState, ...], *, may_create: bool) -> Iterator[Check]:
    absent = [state.topic.name for state in states if not state.partitions]
    if absent:
        yield Check(
            what="topics",
            level="absent" if may_create else "bad",
            found=f"missing: {', '.join(absent)}",
            remedy="run 'tidegauge topics ensure', or let the services create them"
            if may_create
            else "let somebody who may create topics run 'tidegauge topics ensure'",
        )
    elif not all(state.compared for state in states):
        yield Check(
            what="topics",
            level="absent",
            found="the broker does not tell their settings to this client",
            remedy="allow it to describe the configurations of topics",
        )
    else:
        yield Check(what="topics", level="ok", found=f"all {len(states)} are there")
    for state in states:
        for difference in state.differences:
            yield Check(
                what=f"topic {state.topic.name}",
                level="warning" if difference.setting in _HARMLESS_UNTIL_NEEDED else "bad",
                found=f"{difference.setting} is {difference.theirs}, tidegauge's is "
                f"{difference.ours}: {difference.harm}",
                remedy=difference.remedy,
            )


def _permissions(admin: KafkaAdminClient, states: tuple[TopicState, ...]) -> Iterator[Check]:
    """Yield which operations this client lacks, as far as the broker tells."""
    names = [state.topic.name for state in states if state.partitions]
    lacking: dict[str, list[str]] = {}
    for topic in admin.describe_topics(names) if names else ():
        allowed = topic.get("authorized_operations")
        for operation in sorted(_NEEDED.difference(allowed)) if allowed is not None else ():
            lacking.setdefault(operation, []).append(topic["name"])
    for operation, topics in lacking.items():
        yield Check(
            what="permissions",
            level="bad",
            found=f"this client may not {operation.lower()} {', '.join(topics)}",
            remedy=f"kafka-acls.sh --add --allow-principal User:… --operation {operation.title()} "
            f"--topic {topics[0]}, and so on",
        )
    for group in _GROUPS:
        try:
            admin.list_group_offsets([group])
        except AuthorizationError:
            yield Check(
                what="permissions",
                level="bad",
                found=f"this client may not join the consumer group {group}",
                remedy="kafka-acls.sh --add --allow-principal User:… --operation Read "
                f"--group {group}",
            )
        except KafkaError:
            return  # this broker does not tell


def _round_trip(admin: KafkaAdminClient, settings: KafkaSettings) -> Iterator[Check]:
    """Write a record and read it again; its timestamp is the broker's."""
    name = f"tidegauge-doctor-{uuid4().hex[:8]}"
    configs = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"}
    try:
        admin.create_topics([NewTopic(name, 1, settings.replication_factor, topic_configs=configs)])
    except AuthorizationError:
        yield Check(
            what="round trip",
            level="absent",
            found="not tried: this client may not create the topic for it",
        )
        return
    try:
        began = time.monotonic()
        with closing(clients.producer(settings)) as producer:
            future = producer.send(name, b"doctor")
            producer.flush(_READ_SECONDS)
            future.get(_READ_SECONDS)
        place = TopicPartition(name, 0)
        with closing(clients.consumer(settings)) as consumer:
            consumer.assign([place])
            consumer.seek(place, 0)
            found = consumer.poll(timeout_ms=int(1000 * _READ_SECONDS)).get(place)
        if not found:
            yield Check(
                what="round trip",
                level="bad",
                found="a record was written, and could not be read",
                remedy="see the broker's log, and whether this client may read",
            )
            return
        took = time.monotonic() - began
        yield Check(
            what="round trip", level="ok", found=f"a record was written and read in {took:.1f} s"
        )
        if found[0].timestamp_type == 1:
            yield from clock_check(time.time() - found[0].timestamp / 1000, "the broker's clock")
    finally:
        with suppress(KafkaError):
            admin.delete_topics([name])
