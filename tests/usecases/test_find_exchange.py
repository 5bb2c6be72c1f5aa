from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidegauge.gateway.exchange_state import new_request_id
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment, encode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import RESPONSES, Topic
from tidegauge.streaming.processor import Partition, Record
from tidegauge.usecases.errors import UnfinishedSearchError
from tidegauge.usecases.find_exchange import arrival_ms, find_exchange

NOW = 1_700_000_000_000
KAFKA = KafkaSettings(bootstrap_servers="nowhere:1")


def response(request_id: str, time_ms: int) -> ResponseEvent:
    return ResponseEvent(
        request_id=request_id,
        producer_id="g",
        sequence=1,
        time_ms=time_ms,
        segment=Segment(model="m"),
        customer="acme",
        status=200,
        latency_ms=1.0,
    )


class Log:
    """A log of a day with an exchange each second, which counts what is read of it."""

    def __init__(self) -> None:
        self.read = 0
        self.events = [
            response(new_request_id(NOW + 1_000 * n), NOW + 1_000 * n) for n in range(86_400)
        ]

    def __call__(
        self, _kafka: KafkaSettings, topic: Topic, *, start_ms: int | None = None
    ) -> Iterator[Record]:
        if topic is not RESPONSES:
            return
        first = max(0, ((start_ms or 0) - NOW) // 1_000)
        for offset, event in enumerate(self.events[first:], first):
            self.read += 1
            partition = Partition(topic.name, 0)
            yield Record(partition, offset, encode(event), timestamp_ms=event.time_ms)


@pytest.fixture(scope="module")
def whole_log() -> Log:
    return Log()


@pytest.fixture
def log(whole_log: Log, monkeypatch: pytest.MonkeyPatch) -> Log:
    whole_log.read = 0
    monkeypatch.setattr(reader, "read", whole_log)
    return whole_log


def test_a_gateways_id_tells_where_in_the_log_its_request_lies(log: Log) -> None:
    wanted = log.events[80_000]
    assert arrival_ms(wanted.request_id) == wanted.time_ms
    assert find_exchange(KAFKA, wanted.request_id) == wanted
    assert log.read <= 61


@pytest.mark.parametrize("name", ["mine", "req-1", "req-" + "g" * 32, "req-" + "0" * 33, ""])
def test_an_id_of_somebody_elses_tells_nothing(name: str) -> None:
    assert arrival_ms(name) is None


def test_a_search_ends_in_time_and_says_that_there_is_more(log: Log) -> None:
    moments = iter(range(1_000_000))
    with pytest.raises(UnfinishedSearchError, match="reads all of it"):
        find_exchange(KAFKA, "mine", seconds=50, clock=lambda: float(next(moments)))
    assert log.read <= 52


def test_what_is_not_there_is_not_found(log: Log) -> None:
    assert find_exchange(KAFKA, new_request_id(NOW + 86_390_000), seconds=1e9) is None
    assert log.read <= 71


def test_a_request_without_an_answer_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = RequestEvent(
        request_id=new_request_id(NOW),
        producer_id="g",
        sequence=1,
        time_ms=NOW,
        segment=Segment(model="m"),
        customer="acme",
    )

    def read(_kafka: KafkaSettings, topic: Topic, **_range: int | None) -> Iterator[Record]:
        if topic is not RESPONSES:
            yield Record(Partition(topic.name, 0), 0, encode(asked))

    monkeypatch.setattr(reader, "read", read)
    assert find_exchange(KAFKA, asked.request_id, seconds=5) == asked
