"""Batches: sent again until acknowledged; a refusal costs one record, never its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from kafka.errors import InvalidRecordError, KafkaConnectionError, KafkaError

from tidegauge.capture.delivery import Delivery, Interrupted, ProducerRecord
from tidegauge.capture.settings import KafkaAccess

REFUSAL = InvalidRecordError("no")


def record(name: str) -> ProducerRecord:
    return ProducerRecord("requests.v1", name.encode(), b"{}", [], 0)


BATCH = [record("a"), record("b"), record("c")]

Broker = Callable[[Sequence[ProducerRecord]], list[KafkaError | None]]


class Scripted(Delivery):
    """A delivery whose attempts meet a broker that is a function."""

    def __init__(self, broker: Broker, *, interrupted: Callable[[], bool] = lambda: False) -> None:
        nowhere = KafkaAccess(bootstrap_servers="127.0.0.1:1")
        super().__init__(nowhere, client_id="test", interrupted=interrupted)
        self.broker = broker
        self.batches: list[str] = []

    def _attempt(self, batch: Sequence[ProducerRecord]) -> list[KafkaError | None]:
        self.batches.append("".join(entry.key.decode() for entry in batch))
        return self.broker(batch)


def test_a_batch_that_is_acknowledged_is_sent_once() -> None:
    delivery = Scripted(lambda batch: [None] * len(batch))
    assert delivery.deliver(BATCH) == [True, True, True]
    assert delivery.deliver([]) == []
    assert delivery.batches == ["abc"]


def test_a_refusal_that_takes_its_batch_with_it_costs_one_record() -> None:
    def refuses_b(batch: Sequence[ProducerRecord]) -> list[KafkaError | None]:
        spoiled = any(entry.key == b"b" for entry in batch)
        return [REFUSAL if spoiled else None] * len(batch)

    delivery = Scripted(refuses_b)
    assert delivery.deliver(BATCH) == [True, False, True]
    assert delivery.batches == ["abc", "a", "b", "c"]


def test_a_batch_spoiled_by_another_s_refusal_is_sent_one_by_one() -> None:
    """The client tells the culprit's neighbours with an error of no kind of its own."""

    def refuses_b(batch: Sequence[ProducerRecord]) -> list[KafkaError | None]:
        if len(batch) > 1:
            return [KafkaError("part of a batch"), REFUSAL, KafkaError("part of a batch")]
        return [REFUSAL if batch[0].key == b"b" else None]

    delivery = Scripted(refuses_b)
    assert delivery.deliver(BATCH) == [True, False, True]


def test_a_producer_that_met_a_refusal_is_not_used_again() -> None:
    """It would answer every later record with the same refusal."""
    closed: list[int] = []

    def refuses_b(batch: Sequence[ProducerRecord]) -> list[KafkaError | None]:
        return [REFUSAL if entry.key == b"b" else None for entry in batch]

    delivery = Scripted(refuses_b)
    delivery.close = lambda: closed.append(len(delivery.batches))  # type: ignore[method-assign]
    assert delivery.deliver(BATCH) == [True, False, True]
    assert delivery.batches == ["abc", "b"]
    assert closed == [1, 2], "after the batch, and after b alone"


def test_a_batch_that_failed_is_sent_again_whole_and_in_order() -> None:
    answers = iter([[None, KafkaConnectionError("gone"), None], [None, None, None]])
    delivery = Scripted(lambda _batch: next(answers))
    assert delivery.deliver(BATCH) == [True, True, True]
    assert delivery.batches == ["abc", "abc"]


def test_it_goes_on_until_it_is_interrupted() -> None:
    def unreachable(_batch: Sequence[ProducerRecord]) -> list[KafkaError | None]:
        raise KafkaConnectionError("refused")

    delivery = Scripted(unreachable, interrupted=lambda: len(delivery.batches) == 3)
    with pytest.raises(Interrupted):
        delivery.deliver(BATCH)
    assert delivery.batches == ["abc"] * 3


def test_a_broker_that_is_away_is_told_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    delivery = Scripted(lambda batch: [None] * len(batch))
    delivery._failing_since = float("-inf")
    for _ in range(5):
        delivery._tell(KafkaConnectionError("refused"))
    assert caplog.text.count("events stay in the outbox") == 1
    assert "127.0.0.1:1 does not answer (Connection refused): start the broker" in caplog.text
