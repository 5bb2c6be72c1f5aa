from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidegauge.schemas import Segment, encode
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.topics import RESPONSES, Topic
from tidegauge.streaming.processor import Partition, Record
from tidegauge.usecases.recent_exchanges import ExchangeFilter, judgments_of, recent_exchanges

NOW = 1_700_000_000_000


def event(number: int, ago_ms: int, customer: str = "acme") -> ResponseEvent:
    return ResponseEvent(
        request_id=f"r{number}",
        producer_id="g",
        sequence=number,
        time_ms=NOW - ago_ms,
        segment=Segment(model="m"),
        customer=customer,
        status=200,
        latency_ms=1.0,
    )


def judgment(request_id: str, judge: str) -> JudgmentEvent:
    return JudgmentEvent(
        request_id=request_id,
        producer_id="j",
        sequence=1,
        time_ms=NOW,
        segment=Segment(model="m"),
        judge=judge,
        specification_hash="0",
        inclusion_probability=1.0,
        sampling_period=0,
        salt="",
        scores={},
        qualified=True,
    )


class Log:
    """Yields what was published from a moment on, and a record that nobody can read."""

    def __init__(self, *events: ResponseEvent | JudgmentEvent) -> None:
        self.events = events
        self.asked: list[int] = []

    def read(self, topic: Topic, start_ms: int) -> Iterator[Record]:
        self.asked.append(NOW - start_ms)
        partition = Partition(topic.name, 0)
        yield Record(partition, 0, b"{", timestamp_ms=NOW)
        for offset, found in enumerate(self.events):
            mine = isinstance(found, ResponseEvent) == (topic is RESPONSES)
            if mine and found.time_ms >= start_ms:
                yield Record(partition, offset, encode(found), timestamp_ms=found.time_ms)


def test_it_looks_no_further_back_than_it_has_to() -> None:
    log = Log(*(event(number, 1_000 * number) for number in range(90)))
    found = recent_exchanges(log.read, ExchangeFilter(), now_ms=NOW, most=20)
    assert [one.request_id for one in found.exchanges] == [f"r{number}" for number in range(20)]
    assert log.asked == [60_000]
    assert found.complete


def test_it_looks_back_an_hour_for_what_is_rare() -> None:
    rare = event(1, 50 * 60_000, "globex")
    log = Log(rare, *(event(number, 1_000) for number in range(2, 9)))
    found = recent_exchanges(log.read, ExchangeFilter(customer="globex"), now_ms=NOW)
    assert found.exchanges == (rare,)
    assert log.asked == [60_000, 600_000, 3_600_000]


def test_when_time_is_up_it_says_so() -> None:
    log = Log(*(event(number, 1_000) for number in range(9)))
    ticks = iter(float(n) for n in range(99))
    found = recent_exchanges(log.read, ExchangeFilter(), now_ms=NOW, clock=lambda: next(ticks))
    assert not found.complete
    assert 0 < len(found.exchanges) < 9


@pytest.mark.parametrize("wanted", ["r1", "r11"])
def test_judgments_are_those_of_the_exchange(wanted: str) -> None:
    log = Log(judgment("r1", "rubric"), judgment("r11", "b"), judgment("r11", "a"))
    found = judgments_of(log.read, event(int(wanted[1:]), 0))
    assert [one.judge for one in found] == (["rubric"] if wanted == "r1" else ["a", "b"])
