"""Finding the text of one request, which sketches, verdicts and alerts only name."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import Final

from tidegauge.reports.formatting import duration
from tidegauge.reports.text import plain
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.usecases.errors import UnfinishedSearchError

__all__ = ["arrival_ms", "find_exchange"]

_GATEWAY_ID: Final = re.compile(r"req-([0-9a-f]{12})[0-9a-f]{20}", re.ASCII)
_EARLIER_MS: Final = 60_000
"""How much earlier than its id says a request is looked for, should clocks differ."""


def arrival_ms(request_id: str) -> int | None:
    """Return when a request arrived, Unix milliseconds, as the gateway writes it into ids.

    Returns:
        The moment; None for an id that somebody else made.

    Example:
        >>> arrival_ms("req-018bcfe568800123456789abcdef0123"), arrival_ms("mine")
        (1700000000128, None)
    """
    found = _GATEWAY_ID.fullmatch(request_id)
    return int(found[1], 16) if found else None


def find_exchange(
    kafka: KafkaSettings,
    request_id: str,
    start_ms: int | None = None,
    *,
    seconds: float | None = None,
    clock: Callable[[], float] = monotonic,
) -> ResponseEvent | RequestEvent | None:
    """Return the response to a request, else the request itself.

    A gateway's id tells when its request arrived, and the log is read from there on; for another
    id it is read from its start.

    Args:
        kafka: Connection to Kafka.
        request_id: The request's id.
        start_ms: Leave out records with an earlier timestamp.
        seconds: Longest time for reading each topic; None reads all.
        clock: Seconds that pass.

    Returns:
        The event; None if the log does not hold it any more, or never did.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer.
        UnfinishedSearchError: It was not found in time.
    """
    name = request_id.encode()
    made_ms = arrival_ms(request_id)
    if made_ms is not None:
        start_ms = max(start_ms or 0, made_ms - _EARLIER_MS)
    unfinished = False
    for topic in (RESPONSES, REQUESTS):
        deadline = None if seconds is None else clock() + seconds
        for record in reader.read(kafka, topic, start_ms=start_ms):
            if name in record.value:
                try:
                    event = decode(record.value, RequestEvent, ResponseEvent)
                except DecodeError:
                    continue
                if event.request_id == request_id:
                    return event
            if deadline is not None and clock() > deadline:
                unfinished = True
                break
    if unfinished:
        shown = plain(request_id)[:100]
        raise UnfinishedSearchError(
            f"{shown} was not found within {duration(seconds or 0.0)}, and there is more in the "
            f"log: 'tidegauge lookup {shown}' reads all of it"
        )
    return None
