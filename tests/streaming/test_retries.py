from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.streaming.lengths import LengthExtractor, request

from tidegauge.schemas import decode, encode
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.topics import DEAD_LETTERS, REQUESTS
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.errors import DeadLetterRateError, ExtractionError
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.retries import FAILED, RetryPolicy, process_with_retries
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.streaming.worker import Worker

PARTITION = Partition(REQUESTS.name, 0)
RETRY_POLICY = RetryPolicy(first_seconds=1, most_seconds=4, attempts=3)
RECORDS = [
    Record(PARTITION, sequence - 1, encode(request(sequence, time_ms=1_000)))
    for sequence in range(1, 101)
]


class Waiting:
    """Counts the seconds that were waited, and gives up after so many pauses."""

    def __init__(self, most: int = 1_000) -> None:
        self.seconds: list[float] = []
        self.errors: list[ExtractionError] = []
        self._most = most

    def __call__(self, seconds: float, error: ExtractionError) -> bool:
        self.seconds.append(seconds)
        self.errors.append(error)
        return len(self.seconds) < self._most


def worker(
    before: Callable[[Sequence[RequestEvent]], None], policy: CommitPolicy | None = None
) -> tuple[Worker, LengthExtractor]:
    extractor = LengthExtractor(before)
    found = Worker(SketchingProcessor(extractor, "drift"), "drift", policy or CommitPolicy())
    found.assign(PARTITION, None, 0)
    return found, extractor


def run(found: Worker, waiting: Waiting) -> bool:
    return process_with_retries(
        found, RECORDS, now_ms=lambda: 1_000, wait=waiting, retry_policy=RETRY_POLICY
    )


def letters(found: Worker) -> list[DeadLetter]:
    return [
        decode(encoded.value, DeadLetter)
        for encoded in found.commit().outputs
        if encoded.topic == DEAD_LETTERS.name
    ]


def test_an_outage_is_waited_for_with_growing_pauses_and_makes_no_dead_letters() -> None:
    failures = iter([ConnectionError("away")] * 6)

    def judge(_events: Sequence[RequestEvent]) -> None:
        for error in failures:
            raise error

    found, extractor = worker(judge)
    waiting = Waiting()
    assert run(found, waiting)
    assert waiting.seconds == [1, 2, 4, 4, 4, 4]
    assert "ConnectionError: away" in str(waiting.errors[0])
    assert sum(extractor.measured.values()) == 100
    assert letters(found) == []


def test_the_record_to_blame_alone_becomes_a_dead_letter() -> None:
    def choke(events: Sequence[RequestEvent]) -> None:
        if any(event.sequence == 37 for event in events):
            raise ValueError("cannot embed this")

    found, extractor = worker(choke)
    assert run(found, Waiting())
    assert sum(extractor.measured.values()) == 99
    (letter,) = letters(found)
    assert (letter.offset, letter.reason) == (36, FAILED)
    assert "ValueError: cannot embed this" in letter.detail
    assert found.position(PARTITION) == 100


def test_a_refusal_that_no_retry_mends_is_not_retried() -> None:
    class RefusedForGoodError(TidegaugeError):
        passing = False

    def refuse(events: Sequence[RequestEvent]) -> None:
        if any(event.sequence == 37 for event in events):
            raise RefusedForGoodError("not this one")

    found, extractor = worker(refuse)
    waiting = Waiting()
    assert run(found, waiting)
    assert waiting.seconds == []
    assert sum(extractor.measured.values()) == 99
    assert [letter.offset for letter in letters(found)] == [36]


def test_an_extractor_that_fails_on_everything_stops_the_worker() -> None:
    def broken(_events: Sequence[RequestEvent]) -> None:
        raise ValueError("a bug")

    found, _ = worker(broken, CommitPolicy(rejected_ratio=0.1, rejected_least=5))
    with pytest.raises(DeadLetterRateError, match="6 of the last 6 records"):
        run(found, Waiting())


def test_giving_up_keeps_what_was_processed_and_no_more() -> None:
    def away(_events: Sequence[RequestEvent]) -> None:
        raise ConnectionError

    found, _ = worker(away)
    assert not run(found, Waiting(most=2))
    assert found.position(PARTITION) == 0
