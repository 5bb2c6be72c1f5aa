"""What a worker does when the log under it changes: on Apache Kafka, in one broker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from kafka import codec
from kafka.admin import NewTopic
from prometheus_client import REGISTRY
from tests.streaming.lengths import LengthExtractor, Received, encoded_request, request

from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.kafka import clients, reader, session
from tidegauge.runtime.kafka.consumer_loop import ConsumerLoop
from tidegauge.runtime.kafka.errors import KafkaRefusedError
from tidegauge.runtime.kafka.positions import Positions
from tidegauge.runtime.kafka.publisher import send_all
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import decode
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.topics import DEAD_LETTERS, REQUESTS, SKETCHES, Topic
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.progress import RECORDS_EXPIRED, TOPIC_REMADE
from tidegauge.streaming.sketching import SketchingProcessor

DEADLINE_SECONDS = 30.0
FAST = SketchSettings(window_ms=200, lateness_ms=400, idle_ms=1_000, progress_ms=200)


@pytest.fixture
def settings(apache_broker: Broker) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=apache_broker.bootstrap_servers,
        session_timeout_ms=2_000,
        commit_interval_ms=50,
        transactions="on",
    )


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not {what} in time"
        time.sleep(0.05)


def publish(
    settings: KafkaSettings,
    topic: Topic,
    numbers: range,
    *,
    producer: str = "gateway/1",
    compression: str | None = "lz4",
) -> None:
    client = clients.producer(settings, compression_type=compression)
    try:
        now_ms = time.time_ns() // 1_000_000
        send_all(
            client,
            [
                encoded_request(request(number, time_ms=now_ms, producer_id=producer), topic)
                for number in numbers
            ],
        )
    finally:
        client.close(timeout=5)


class Running:
    """A worker in a thread; its failure is kept."""

    def __init__(self, settings: KafkaSettings, group: str, topic: Topic) -> None:
        processor = SketchingProcessor(LengthExtractor(), group, FAST)
        self.loop = ConsumerLoop(settings, group, [topic], processor, stop_seconds=5)
        self.failure: Exception | None = None
        self.stop = Event()
        self.thread = Thread(target=self._run, daemon=True)
        self.thread.start()

    def seen(self) -> int:
        """Return how many topics the worker would know again by their last records."""
        found = self.loop._session
        return sum(each.last is not None for each in found._topics_seen.values()) if found else 0

    def _run(self) -> None:
        try:
            self.loop.run(self.stop)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error


@contextmanager
def worker(settings: KafkaSettings, group: str, topic: Topic) -> Iterator[Running]:
    found = Running(settings, group, topic)
    try:
        yield found
    finally:
        found.stop.set()
        found.thread.join(20)
        assert not found.thread.is_alive()


def totals(settings: KafkaSettings, group: str) -> Mapping[str, int]:
    """Return the sums of the totals and of the processed events of a group."""
    prefix = f"{group}/".encode()
    received = Received(
        record
        for record in reader.read(settings, SKETCHES)
        if dict(record.headers)["ce_source"].startswith(prefix)
    )
    found: dict[str, int] = {"processed": received.processed().total()}
    for progress in received.progress.values():
        for name, number in progress.totals.items():
            found[name] = found.get(name, 0) + number
    return found


def create(settings: KafkaSettings, name: str, **configuration: str) -> Topic:
    """Create a topic with one partition, deleting one of this name."""
    admin = clients.admin(settings)
    try:
        if name in admin.list_topics():
            admin.delete_topics([name])
            until(lambda: name not in admin.list_topics(), "deleted")
        admin.create_topics([NewTopic(name, 1, 1, topic_configs=configuration)])
        until(lambda: name in admin.list_topics(), "created")
    finally:
        admin.close()
    return Topic(name, REQUESTS.carries, REQUESTS.key)


def test_every_compression_is_read(settings: KafkaSettings) -> None:
    topic = create(settings, "compressed.v1")
    for number, name in enumerate((None, "gzip", "snappy", "lz4", "zstd"), start=1):
        publish(settings, topic, range(number, number + 1), compression=name)
    with worker(settings, "compressed", topic) as found:
        until(lambda: totals(settings, "compressed")["processed"] == 5, "processed")
        until(lambda: found.loop.ready, "ready")


def test_a_compression_that_cannot_be_read_stops_the_worker_and_says_why(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = create(settings, "zstd.v1", **{"compression.type": "zstd"})
    publish(settings, topic, range(1, 5))
    monkeypatch.setattr(codec, "zstd", None)
    with worker(settings, "no-zstd", topic) as found:
        found.thread.join(DEADLINE_SECONDS)
        assert isinstance(found.failure, KafkaRefusedError)
        assert "pip install zstandard" in str(found.failure)
        assert not found.loop.ready


def test_a_long_record_that_cannot_be_read_is_put_aside_and_the_rest_is_read(
    settings: KafkaSettings,
) -> None:
    topic = create(settings, "poison.v1")
    poison = os.urandom(900_000)
    client = clients.producer(settings, compression_type=None)
    try:
        client.send(topic.name, poison, key=b"poison").get(10)
    finally:
        client.close(timeout=5)
    publish(settings, topic, range(1, 4))
    with worker(settings, "poison", topic):
        until(lambda: totals(settings, "poison")["processed"] == 3, "processed")
    letters = [decode(record.value, DeadLetter) for record in reader.read(settings, DEAD_LETTERS)]
    (found,) = [letter for letter in letters if letter.group == "poison"]
    assert poison.startswith(found.value)
    assert len(found.value) + found.left_out_bytes == len(poison)


class OddName(str):
    """A header's name that is no UTF-8 on the wire."""

    __slots__ = ()

    def encode(self, *_arguments: str) -> bytes:
        return b"\xff\xfe"


def test_a_record_that_the_client_cannot_unpack_is_put_aside_and_the_rest_is_read(
    settings: KafkaSettings,
) -> None:
    topic = create(settings, "odd-header.v1")
    publish(settings, topic, range(1, 4))
    client = clients.producer(settings)
    try:
        client.send(topic.name, b"{}", key=b"k", headers=[(OddName("x"), b"")]).get(10)
    finally:
        client.close(timeout=5)
    publish(settings, topic, range(4, 6))
    with worker(settings, "odd-header", topic):
        until(lambda: totals(settings, "odd-header")["processed"] == 5, "processed")
    letters = [decode(record.value, DeadLetter) for record in reader.read(settings, DEAD_LETTERS)]
    (found,) = [letter for letter in letters if letter.group == "odd-header"]
    assert (found.offset, found.reason) == (3, "not_unpacked")
    assert "from 3 to 3 cannot be unpacked" in found.detail


def test_records_that_expired_are_counted_and_the_rest_is_read(settings: KafkaSettings) -> None:
    topic = create(settings, "expiring.v1")
    publish(settings, topic, range(1, 6))
    with worker(settings, "expiring", topic):
        until(lambda: totals(settings, "expiring")["processed"] == 5, "processed")
    publish(settings, topic, range(6, 31))
    admin = clients.admin(settings)
    try:
        admin.delete_records({clients.topic_partition(Partition(topic.name, 0)): 20})
    finally:
        admin.close()
    with worker(settings, "expiring", topic):
        until(lambda: totals(settings, "expiring")["processed"] == 15, "processed")
    assert totals(settings, "expiring")[RECORDS_EXPIRED] == 15


@pytest.mark.parametrize(("stopped", "again"), [(True, 40), (False, 10)])
def test_a_topic_that_was_made_again_is_read_from_its_start(
    settings: KafkaSettings, *, stopped: bool, again: int
) -> None:
    group = f"remade-{stopped}-{again}"
    topic = create(settings, f"{group}.v1")
    publish(settings, topic, range(1, 31), producer="gateway/1")

    def make_again() -> None:
        create(settings, topic.name)
        publish(settings, topic, range(1, again + 1), producer="gateway/2")

    with worker(settings, group, topic):
        until(lambda: totals(settings, group)["processed"] == 30, "processed")
        if not stopped:
            make_again()
            until(lambda: totals(settings, group)["processed"] == 30 + again, "processed")
    if stopped:
        make_again()
        with worker(settings, group, topic):
            until(lambda: totals(settings, group)["processed"] == 30 + again, "processed")
    assert totals(settings, group)[TOPIC_REMADE] == 1


@pytest.mark.parametrize("stopped", [True, False])
def test_a_longer_topic_without_an_id_is_read_from_its_start_if_it_was_made_again(
    embedded_broker: Broker, monkeypatch: pytest.MonkeyPatch, *, stopped: bool
) -> None:
    monkeypatch.setattr(session, "_SAME_TOPIC_SECONDS", 0.2)
    monkeypatch.setattr(Positions, "topic_id", lambda _self, _topic: "")
    settings = KafkaSettings(
        bootstrap_servers=embedded_broker.bootstrap_servers, commit_interval_ms=50
    )
    group = f"longer-{stopped}"
    topic = create(settings, f"{group}.v1")
    publish(settings, topic, range(1, 31), producer="gateway/1")

    def make_again() -> None:
        create(settings, topic.name)
        publish(settings, topic, range(1, 41), producer="gateway/2")

    def go_on() -> None:
        until(lambda: totals(settings, group)["processed"] == 30 + 40, "processed")

    with worker(settings, group, topic) as found:
        until(lambda: totals(settings, group)["processed"] == 30, "processed")
        until(lambda: bool(found.seen()), "looked at")
        if not stopped:
            make_again()
            go_on()
    if stopped:
        make_again()
        with worker(settings, group, topic):
            go_on()
    assert totals(settings, group)[TOPIC_REMADE] == 1


def test_what_an_open_transaction_hides_counts_as_lag(settings: KafkaSettings) -> None:
    topic = create(settings, "hidden.v1")
    publish(settings, topic, range(1, 4))
    other = clients.producer(settings, transactional_id="another")
    other.init_transactions()
    other.begin_transaction()
    encoded = encoded_request(request(1, time_ms=1, producer_id="another"), topic)
    other.send(topic.name, encoded.value, key=encoded.key).get(10)
    publish(settings, topic, range(4, 9))
    labels = {"group": "hidden", "partition": f"{topic.name}-0"}

    def value(name: str) -> float:
        return REGISTRY.get_sample_value(f"tidegauge_loop_{name}_records", labels) or 0.0

    try:
        with worker(settings, "hidden", topic):
            until(lambda: (value("lag"), value("hidden")) == (6, 6), "told")
            other.abort_transaction()
            until(lambda: totals(settings, "hidden")["processed"] == 8, "processed")
            until(lambda: (value("lag"), value("hidden")) == (0, 0), "told")
    finally:
        other.close(timeout=5)
