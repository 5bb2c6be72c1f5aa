"""A worker that lost its membership unnoticed: its batch is not counted twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from uuid import uuid4

import pytest
from kafka import KafkaProducer
from kafka.admin import MemberToRemove
from tests.integration.conftest import received_from
from tests.streaming.lengths import LengthExtractor, Received, encoded_request, request

from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.consumer_loop import ConsumerLoop
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.topics import REQUESTS, STATE
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.sketching import SketchingProcessor

FAST = SketchSettings(window_ms=100, lateness_ms=100, idle_ms=500, progress_ms=300)
DEADLINE_SECONDS = 60.0


class Stall:
    """Holds up whoever comes by first once it is armed."""

    def __init__(self) -> None:
        self._armed = Event()
        self.entered = Event()
        self.release = Event()

    def arm(self) -> None:
        self._armed.set()

    def pass_by(self) -> None:
        if self._armed.is_set() and not self.entered.is_set():
            self.entered.set()
            self.release.wait(DEADLINE_SECONDS)


class Site:
    """A group of workers on a broker, and the traffic that only it has."""

    def __init__(self, broker: Broker) -> None:
        self.settings = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers,
            transactions="on",
            commit_interval_ms=0,
            dead_letter_ratio=1,
        )
        self.group = f"drift-{uuid4().hex[:8]}"
        self.gateway = f"gateway-{uuid4().hex[:8]}"
        self.published = 0

    def publish(self, number: int) -> None:
        """Publish events of many windows, so that most are closed by the others."""
        start_ms = time.time_ns() // 1_000_000 - number * FAST.window_ms
        with Publisher(self.settings) as publisher:
            publisher.send(
                encoded_request(
                    request(
                        self.published + i + 1,
                        time_ms=start_ms + i * FAST.window_ms,
                        producer_id=self.gateway,
                        segment=Segment(model=self.gateway),
                    )
                )
                for i in range(number)
            )
        self.published += number

    @contextmanager
    def worker(self, extractor: LengthExtractor | None = None) -> Iterator[ConsumerLoop]:
        processor = SketchingProcessor(extractor or LengthExtractor(), self.group, FAST)
        loop = ConsumerLoop(self.settings, self.group, [REQUESTS], processor, stop_seconds=40)
        stop = Event()
        thread = Thread(target=loop.run, args=(stop,))
        thread.start()
        try:
            yield loop
        finally:
            stop.set()
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()

    def received(self) -> Received:
        return received_from(self.settings, self.group)

    def all_is_counted(self) -> bool:
        events = self.received().events()
        counted = sum(n for (segment, _), n in events.items() if segment.startswith(self.gateway))
        assert counted <= self.published, "events were counted twice"
        return counted == self.published

    def dismiss_all(self) -> None:
        """Have the broker forget the group's members, as after a silence of theirs."""
        with closing(clients.admin(self.settings)) as admin:
            (found,) = admin.describe_groups([self.group]).values()
            members = [MemberToRemove(member["member_id"]) for member in found["members"]]
            assert members
            admin.remove_group_members(self.group, members)


def came_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def wait(condition: Callable[[], bool]) -> None:
    assert came_true(condition, DEADLINE_SECONDS), "the condition did not come true in time"


def test_what_was_measured_before_a_dismissal_is_not_committed_after_it(
    apache_broker: Broker,
) -> None:
    site, stall = Site(apache_broker), Stall()
    extractor = LengthExtractor(before=lambda _: stall.pass_by())
    with site.worker(extractor) as sleeper:
        wait(lambda: sleeper.ready)
        site.publish(20)
        wait(site.all_is_counted)
        stall.arm()
        site.publish(20)
        assert stall.entered.wait(DEADLINE_SECONDS)
        site.dismiss_all()
        wait(lambda: not sleeper.ready)
        with site.worker():
            wait(site.all_is_counted)
            stall.release.set()
            wait(lambda: sleeper.ready)
            site.publish(20)
            wait(site.all_is_counted)
    assert site.received().repeats == 0


def test_a_transaction_that_outlives_a_dismissal_is_waited_for(
    apache_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, stall = Site(apache_broker), Stall()
    commit_transaction = KafkaProducer.commit_transaction

    def commit_after_the_stall(producer: KafkaProducer) -> None:
        producer.flush()
        stall.pass_by()
        commit_transaction(producer)

    monkeypatch.setattr(KafkaProducer, "commit_transaction", commit_after_the_stall)
    with site.worker() as sleeper:
        wait(lambda: sleeper.ready)
        site.publish(20)
        wait(site.all_is_counted)
        stall.arm()
        site.publish(20)
        assert stall.entered.wait(DEADLINE_SECONDS)
        site.dismiss_all()
        wait(lambda: not sleeper.ready)
        with site.worker() as other:
            taken_over = came_true(lambda: other.ready, 3)
            stall.release.set()
            assert not taken_over
            site.publish(20)
            wait(site.all_is_counted)
    assert site.received().repeats == 0


def test_a_state_that_anothers_transaction_hides_is_waited_for(apache_broker: Broker) -> None:
    site = Site(apache_broker)
    another = clients.producer(site.settings, transactional_id=uuid4().hex)
    with closing(another):
        another.init_transactions()
        with site.worker():
            site.publish(20)
            wait(site.all_is_counted)
            another.begin_transaction()
            another.send(STATE.name, b"", key=b"nobody").get(DEADLINE_SECONDS)
            site.publish(20)
            wait(site.all_is_counted)
        with site.worker() as second:
            taken_over = came_true(lambda: second.ready, 3)
            another.abort_transaction()
            assert not taken_over
            site.publish(20)
            wait(site.all_is_counted)
    assert site.received().repeats == 0
