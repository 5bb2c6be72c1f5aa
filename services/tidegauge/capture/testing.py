"""Example exchanges as a gateway records them, for tests of capture, shippers and readers.

Run as a module, it is a shipper that can expand the records of ``record_compact``.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidegauge.capture.frame import CompactFormat, Expanded, ExpandFormat
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.settings import CaptureSettings, KafkaAccess
from tidegauge.schemas.codec import decode
from tidegauge.schemas.exchange import Heartbeat, Message, RequestEvent, ResponseEvent
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.topics import REQUESTS, RESPONSES

__all__ = [
    "COMPACT",
    "DEADLINE_SECONDS",
    "EXCHANGES",
    "EXPAND",
    "SEGMENT",
    "TIME_MS",
    "Exchange",
    "Landed",
    "record_compact",
    "record_exchange",
    "request",
    "response",
    "settings_for",
    "wait_until",
]

SEGMENT = Segment(model="assistant", version="v1", route="/v1/chat/completions")
TIME_MS = 1_767_225_600_000
EXCHANGES = ("requests.v1", "responses.v1")
DEADLINE_SECONDS = 60.0


def request(
    request_id: str, text: str = "When is high tide?"
) -> Callable[[str, int], RequestEvent]:
    """Return a function that builds a request's event from a producer id and a sequence."""
    return lambda producer_id, sequence: RequestEvent(
        request_id=request_id,
        producer_id=producer_id,
        sequence=sequence,
        time_ms=TIME_MS,
        segment=SEGMENT,
        customer="harbour-office",
        messages=(Message(role="user", content=text),),
    )


def response(request_id: str, output: str = "At 13:42.") -> Callable[[str, int], ResponseEvent]:
    """Return a function that builds a response's event from a producer id and a sequence."""
    return lambda producer_id, sequence: ResponseEvent(
        request_id=request_id,
        producer_id=producer_id,
        sequence=sequence,
        time_ms=TIME_MS,
        segment=SEGMENT,
        customer="harbour-office",
        status=200,
        latency_ms=12.5,
        output=output,
    )


def record_exchange(recorder: Recorder, request_id: str, output: str = "At 13:42.") -> None:
    """Record one exchange, as a gateway does."""
    recorder.record_request(request(request_id))
    recorder.record_response(response(request_id, output))
    recorder.served()


Exchange = tuple[str, str]
"""A compact record: the request's id and the answer."""

COMPACT: CompactFormat[Exchange] = CompactFormat(
    "testing.exchange.1", (REQUESTS, RESPONSES), msgspec.msgpack.encode
)


def record_compact(recorder: Recorder, *exchanges: Exchange) -> None:
    """Record exchanges as compact records."""
    recorder.record_compact(COMPACT, exchanges)
    recorder.served(len(exchanges))


def _events(
    exchange: Exchange, _topics: Sequence[str], producer_id: str, sequence: int
) -> Expanded:
    request_id, output = exchange
    if output == "no answer":
        raise ValueError(output)
    return Expanded(
        (
            request(request_id)(producer_id, sequence),
            response(request_id, output)(producer_id, sequence + 1),
        ),
        ("length/short",),
    )


EXPAND = ExpandFormat(msgspec.msgpack.Decoder(list[Exchange]).decode, _events)
"""Expands a record into events; fails for the answer ``no answer``."""


def settings_for(bootstrap_servers: str, directory: Path, **changes: object) -> CaptureSettings:
    """Return settings for a broker, with frequent heartbeats."""
    settings = CaptureSettings(
        directory=directory,
        kafka=KafkaAccess(bootstrap_servers=bootstrap_servers),
        heartbeat_seconds=0.2,
    )
    return msgspec.structs.replace(settings, **changes)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: The condition did not hold within ``DEADLINE_SECONDS``.
    """
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() >= end:
            raise AssertionError(f"not within {DEADLINE_SECONDS} s: {what}")
        time.sleep(0.02)


class Landed:
    """The records of one producer on a broker.

    Args:
        records: Topic -> the producer's records, in order within each partition.
    """

    def __init__(self, records: Mapping[str, Sequence[Any]]) -> None:
        self.records = {topic: records[topic] for topic in EXCHANGES}
        self.heartbeats = [decode(record.value, Heartbeat) for record in records["heartbeats.v1"]]

    def by_partition(self) -> dict[tuple[str, int], list[int]]:
        """Return the sequences in each partition, in the partition's order."""
        sequences = defaultdict(list)
        for topic, records in self.records.items():
            for record in records:
                event = decode(record.value, RequestEvent, ResponseEvent)
                sequences[topic, record.partition].append(event.sequence)
        return sequences

    def sequences(self) -> list[int]:
        """Return all sequences, sorted and including duplicates."""
        return sorted(number for part in self.by_partition().values() for number in part)

    def accepted_by_a_reader(self) -> list[int]:
        """Return the sequences that a worker accepts: those above the last of their partition."""
        accepted: list[int] = []
        for part in self.by_partition().values():
            last = 0
            for number in part:
                if number > last:
                    accepted.append(number)
                    last = number
        return sorted(accepted)


if __name__ == "__main__":
    from tidegauge.capture import shipper  # the rest needs no Kafka client

    sys.exit(shipper.main(None, lambda _settings: {COMPACT.type: EXPAND}))
