"""The one consumer loop of every worker.

The calling thread polls: it keeps the group membership and submits one batch at a time to a
serial executor. All calls of the processor run in the executor's thread: processing,
ticks, commits, and the takeover and handover of partitions. While the executor is busy every
partition is paused and polling continues, so that one batch is in flight and slow work does not
cost the membership.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from threading import Event

import structlog
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from tidegauge.reports.formatting import duration
from tidegauge.runtime import clock
from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.admin import ensure_topics, list_topics
from tidegauge.runtime.kafka.committers import (
    Committer,
    TransactionalCommitter,
    WriteAheadCommitter,
)
from tidegauge.runtime.kafka.errors import KafkaRefusedError, LogError, WorkerHungError
from tidegauge.runtime.kafka.positions import Positions
from tidegauge.runtime.kafka.serial_executor import SerialExecutor
from tidegauge.runtime.kafka.session import Session
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.state_recovery import StateRecovery
from tidegauge.runtime.kafka.states import StateReader
from tidegauge.runtime.kafka.transactions import transactions_hide_aborts
from tidegauge.schemas.topics import Topic
from tidegauge.streaming.processor import Processor

__all__ = ["STOP_SECONDS", "ConsumerLoop"]

STOP_SECONDS = 15.0
"""Longest time that stopping takes, unless kafka-python or the processor hangs."""

_POLL_MS = 200
_BUSY_SECONDS = 0.1
_TICK_SECONDS = 1.0
_JOIN_SECONDS = 30.0
_RECONNECT_SECONDS = (0.5, 15.0)
_LOOK_SECONDS = 2.0
_METADATA_MS = 30_000
"""How old the ids of topics may be: a fetch of old brokers does not tell that they changed."""

_log = structlog.get_logger(__name__)


class ConsumerLoop:
    """Runs a processor over topics until it is told to stop.

    The loop waits for a broker that is unavailable, at the start and later. It ends by itself
    on an error that a retry does not cure: a refusal of the broker, records in a compression
    that cannot be read here, a snapshot of other settings, a broken extractor, or more dead
    letters than the settings allow. Nothing of the failed batch is committed then.

    Args:
        settings: Connection to Kafka, and the policy of commits.
        group: The consumer group; states and transactions carry its name.
        topics: Topics to read.
        processor: Processes the records.
        gather_ms: Longest time to wait for more records if there are few.
        stop_seconds: Longest time that stopping may take in total.
        now_ms: The clock, Unix milliseconds.
    """

    def __init__(  # noqa: PLR0913 - what a deployment sets, most by name
        self,
        settings: KafkaSettings,
        group: str,
        topics: Sequence[Topic],
        processor: Processor,
        *,
        gather_ms: int = 0,
        stop_seconds: float = STOP_SECONDS,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._settings = settings
        self._group = group
        self._topics = tuple(topics)
        self._processor = processor
        self._gather_ms = gather_ms
        self._stop_seconds = stop_seconds
        self._now_ms = now_ms
        self._transactional: bool | None = {"on": True, "off": False}.get(settings.transactions)
        self._session: Session | None = None
        self._compared = False
        self._log = _log.bind(group=group)

    @property
    def ready(self) -> bool:
        """Whether the worker is a member of its group, and processes what its partitions hold."""
        session = self._session
        return session is not None and session.joined and session.working

    def run(self, stop: Event) -> None:
        """Work until told to stop, then commit and leave the group.

        Raises:
            TidegaugeError: A retry does not cure the error.
        """
        pause = _RECONNECT_SECONDS[0]
        while not stop.is_set():
            started = time.monotonic()
            try:
                self._work(stop)
            except WorkerHungError:
                raise
            except (LogError, KafkaError) as error:
                self._raise_what_lasts(error)
                self._log.warning(
                    "waiting for Kafka",
                    servers=self._settings.bootstrap_servers,
                    error=str(error),
                    retry_seconds=pause,
                )
                if time.monotonic() - started > 2 * _RECONNECT_SECONDS[1]:
                    pause = _RECONNECT_SECONDS[0]
                stop.wait(pause)
                pause = min(2 * pause, _RECONNECT_SECONDS[1])

    def _raise_what_lasts(self, error: LogError | KafkaError) -> None:
        """Raise an error that waiting does not cure."""
        if isinstance(error, LogError):
            if not error.passing:
                raise error
        elif (refusal := clients.refused(error, f"the {self._group} worker")) is not None:
            raise refusal from error

    def _work(self, stop: Event) -> None:
        if self._settings.create_topics:
            created = ensure_topics(self._settings)
            if created:
                self._log.info("topics created", topics=[topic.name for topic in created])
        if not self._compared:
            self._compare_topics()
        consumer, committer = self._connect()
        executor = SerialExecutor(f"{self._group}-work")
        # The broker aborts an open transaction after its timeout; twice that leaves a margin.
        recovery_seconds = 2 * self._settings.transaction_timeout_ms / 1000
        session = Session(
            consumer=consumer,
            committer=committer,
            recovery=StateRecovery(StateReader(self._settings, self._group), recovery_seconds),
            positions=Positions(
                consumer,
                self._group,
                lambda places: reader.read_at(self._settings, places, seconds=_LOOK_SECONDS),
            ),
            executor=executor,
            processor=self._processor,
            group=self._group,
            policy=self._settings.policy(),
            now_ms=self._now_ms,
            handover_seconds=self._stop_seconds,
            takeover_seconds=self._stop_seconds + recovery_seconds,
            stop=stop,
        )
        self._session = session
        try:
            consumer.subscribe([topic.name for topic in self._topics], listener=session)
            # Otherwise the first assignment is made without knowledge of the partitions and is
            # repeated at once, and kafka-python may miss the end of the second one.
            consumer.topics()
            self._loop(session, stop)
        finally:
            self._session = None
            if not session.close(self._stop_seconds):
                raise WorkerHungError(self._group, self._stop_seconds)

    def _compare_topics(self) -> None:
        """Log the settings of topics that do harm.

        Raises:
            KafkaRefusedError: A topic is in a compression that cannot be read here.
        """
        for state in list_topics(self._settings):
            for difference in state.differences:
                if difference.setting == "compression.type" and state.topic in self._topics:
                    raise KafkaRefusedError(str(difference))
                self._log.warning("topic differs", what=str(difference), remedy=difference.remedy)
        self._compared = True

    def _connect(self) -> tuple[KafkaConsumer, Committer]:
        if self._transactional is None:
            self._transactional = transactions_hide_aborts(self._settings)
            self._log.info("transactions", used=self._transactional)
        with clients.explained(self._settings, "connecting a worker"):
            committer: Committer = (
                TransactionalCommitter(self._settings, self._group)
                if self._transactional
                else WriteAheadCommitter(self._settings)
            )
            consumer = clients.consumer(
                self._settings,
                group=self._group,
                gather_ms=self._gather_ms,
                max_poll_records=self._settings.batch_records,
                metadata_max_age_ms=_METADATA_MS,
                # The worker decides itself how to go on where the log lacks its next record.
                reset="none",
            )
        return consumer, committer

    def _loop(self, session: Session, stop: Event) -> None:
        job: Future[None] | None = None
        ticked = 0.0
        member = time.monotonic()
        while not stop.is_set():
            if session.joined:
                member = time.monotonic()
            elif time.monotonic() - member > _JOIN_SECONDS:
                # A rebalance that lost its leader midway can hang on the embedded broker.
                raise LogError(
                    f"no membership in group {self._group} for {duration(_JOIN_SECONDS)}: "
                    "connecting anew"
                )
            if job is not None:
                # Paused: this poll only keeps the membership and carries out rebalances.
                wait([job], _BUSY_SECONDS)
                session.keep_membership()
                if not job.done():
                    continue
                job.result()
                job = None
            if session.joined and time.monotonic() - ticked >= _TICK_SECONDS:
                ticked = time.monotonic()
                job = session.tick()
            elif records := session.poll(_POLL_MS):
                job = session.process(records)
