"""One contract, three logs: in memory, the embedded broker, and Apache Kafka."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Event, Thread
from uuid import uuid4

import pytest
from tests.streaming.lengths import LengthExtractor, Received
from tests.streaming.memory_log import MemoryLog, MemoryLoop

from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.consumer_loop import ConsumerLoop
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Topic
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.topics import REQUESTS, SKETCHES
from tidegauge.streaming.checkpoints import EncodedRecord
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, Processor, Record
from tidegauge.streaming.sketching import SketchingProcessor

FAST = SketchSettings(window_ms=500, lateness_ms=500, idle_ms=500, progress_ms=300)
PATIENT = CommitPolicy(interval_ms=100, rejected_ratio=1)  # other tests leave poison behind
DEADLINE_SECONDS = 60.0


class Member:
    """A running worker."""

    def __init__(self, run: Callable[[Event], None]) -> None:
        self.error: BaseException | None = None
        self._stop = Event()
        self._run = run
        self._thread = Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._run(self._stop)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()

    def ended(self) -> BaseException:
        self._thread.join(DEADLINE_SECONDS)
        assert self.error is not None
        return self.error


class Log(ABC):
    """A log with a group of its own, and names that no other test uses."""

    def __init__(self) -> None:
        self.group = f"drift-{uuid4().hex[:8]}"
        self.gateway = f"gateway-{uuid4().hex[:8]}"
        self.members: list[Member] = []

    @abstractmethod
    def publish(self, encoded_records: Iterable[EncodedRecord]) -> None: ...

    @abstractmethod
    def records(self, topic: Topic) -> list[Record]: ...

    @abstractmethod
    def committed(self) -> dict[Partition, int]: ...

    @abstractmethod
    def runner(self, processor: Processor, policy: CommitPolicy) -> Callable[[Event], None]: ...

    def start(
        self,
        extractor: LengthExtractor | None = None,
        *,
        settings: SketchSettings = FAST,
        policy: CommitPolicy | None = None,
    ) -> Member:
        processor: SketchingProcessor[RequestEvent] = SketchingProcessor(
            extractor or LengthExtractor(), self.group, settings
        )
        member = Member(self.runner(processor, policy or PATIENT))
        self.members.append(member)
        return member

    def received(self) -> Received:
        prefix = f"{self.group}/".encode()
        return Received(
            record
            for record in self.records(SKETCHES)
            if dict(record.headers)["ce_source"].startswith(prefix)
        )

    def counted(self) -> int:
        """Return how many of this test's events were counted in published sketches."""
        return sum(
            number
            for (segment, _), number in self.received().events().items()
            if segment.startswith(self.gateway)
        )

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            for member in self.members:
                if member.error is not None:
                    raise member.error
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.1)

    def close(self) -> None:
        for member in self.members:
            member.stop()


class InMemory(Log):
    def __init__(self, *, transactions: bool) -> None:
        super().__init__()
        self._log = MemoryLog()
        self._transactions = transactions

    def publish(self, encoded_records: Iterable[EncodedRecord]) -> None:
        for encoded in encoded_records:
            self._log.append(encoded)

    def records(self, topic: Topic) -> list[Record]:
        return self._log.records(topic)

    def committed(self) -> dict[Partition, int]:
        found = {
            partition: self._log.committed(self.group, partition)
            for partition in self._log.partitions(REQUESTS.name)
        }
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def runner(self, processor: Processor, policy: CommitPolicy) -> Callable[[Event], None]:
        return MemoryLoop(
            self._log,
            self.group,
            [REQUESTS],
            processor,
            now_ms=lambda: time.time_ns() // 1_000_000,
            policy=policy,
            member=uuid4().hex,
            transactions=self._transactions,
        ).run


class OnKafka(Log):
    def __init__(self, broker: Broker) -> None:
        super().__init__()
        self._settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)

    def publish(self, encoded_records: Iterable[EncodedRecord]) -> None:
        with Publisher(self._settings) as publisher:
            publisher.send(encoded_records)

    def records(self, topic: Topic) -> list[Record]:
        return list(reader.read(self._settings, topic))

    def committed(self) -> dict[Partition, int]:
        admin = clients.admin(self._settings)
        try:
            found = admin.list_group_offsets([self.group])[self.group]
        finally:
            admin.close()
        return {
            clients.partition_of(place): offset.offset
            for place, offset in found.items()
            if offset.offset >= 0
        }

    def runner(self, processor: Processor, policy: CommitPolicy) -> Callable[[Event], None]:
        settings = self._settings.model_copy(
            update={
                "commit_interval_ms": policy.interval_ms,
                "dead_letter_ratio": policy.rejected_ratio,
            }
        )
        return ConsumerLoop(settings, self.group, [REQUESTS], processor).run


@pytest.fixture(
    params=[
        "memory",
        "memory-ahead",
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("apache", marks=pytest.mark.integration),
    ]
)
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """Yield each log in turn; whatever runs on it is stopped afterwards."""
    found: Log
    if request.param.startswith("memory"):
        found = InMemory(transactions=request.param == "memory")
    else:
        found = OnKafka(request.getfixturevalue(f"{request.param}_broker"))
    try:
        yield found
    finally:
        with suppress(AssertionError):
            found.close()
