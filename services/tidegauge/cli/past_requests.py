"""Past requests for a drift baseline: from a file, or from the log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegauge.cli.errors import PastRequestsError
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.exchange import Message, RequestEvent
from tidegauge.schemas.topics import REQUESTS
from tidegauge.workers.drift.callers import CallerCap

__all__ = ["ReadRequests", "from_file", "from_log"]


@dataclass(slots=True)
class ReadRequests:
    """Past requests, and how many were left out for which reason."""

    past: list[HistoricalRequest] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        """Count a request that is not used."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def limit(self, most: int) -> None:
        """Keep at most so many requests, drawn by the hash of text and place."""
        if len(self.past) > most:
            ranked = sorted(range(len(self.past)), key=lambda i: _rank(f"{i}/{self.past[i].text}"))
            self.left_out["over the limit"] = len(self.past) - most
            self.past = [self.past[i] for i in sorted(ranked[:most])]


class _Line(msgspec.Struct):
    text: str
    time_ms: int | None = None


def from_file(path: Path, preparation: Preparation) -> ReadRequests:
    """Read a JSONL file: a line each, ``{"text": …}`` with ``time_ms`` if it is known.

    Raises:
        PastRequestsError: The file cannot be read, or a line is not as it must be.
    """
    found = ReadRequests()
    decoder = msgspec.json.Decoder(_Line)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    one = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise PastRequestsError(
                        f'{path}, line {number}: {error}; a line is {{"text": "…"}}'
                    ) from error
                asked = (Message(role=_role(preparation), content=one.text),)
                text = prepare(asked, preparation).text
                if text:
                    found.past.append(HistoricalRequest(text, time_ms=one.time_ms))
                else:
                    found.leave_out("empty")
    except OSError as error:
        raise PastRequestsError(f"cannot read the prompts {path}: {error.strerror}") from error
    return found


def _role(preparation: Preparation) -> str:
    return "system" if preparation.selection == "system" else "user"


def from_log(  # noqa: PLR0913 - a stretch of the log, and what to take of it
    settings: KafkaSettings,
    preparation: Preparation,
    *,
    start_ms: int,
    end_ms: int,
    segment: str | None,
    caller_cap: int,
    window_ms: int,
) -> ReadRequests:
    """Read a stretch of ``requests.v1``.

    Args:
        settings: How to reach Kafka.
        preparation: How texts are made.
        start_ms: Start of the stretch in event time.
        end_ms: Its end, excluded.
        segment: Only this segment's, by its key; all if None.
        caller_cap: Most events of one caller in a window of a segment; 0 for all.
        window_ms: Length of a window.

    Raises:
        LogError: The broker does not answer, or there is no such topic.
    """
    found, callers = ReadRequests(), CallerCap(window_ms)
    last: dict[tuple[int, str], int] = {}
    for record in reader.read(settings, REQUESTS, start_ms=start_ms):
        try:
            event = decode(record.value, RequestEvent)
        except DecodeError:
            found.leave_out("undecodable")
            continue
        producer = (record.partition.index, event.producer_id)
        if event.sequence <= last.get(producer, 0):
            continue
        last[producer] = event.sequence
        if not start_ms <= event.time_ms < end_ms or event.shadow:
            continue
        if segment is not None and event.segment.key != segment:
            continue
        text = prepare(event.messages, preparation).text if event.capture != "none" else None
        if not text:
            found.leave_out("not captured" if text is None else "empty")
        elif callers.admits(
            record.partition, event.segment, event.customer, event.time_ms, most=caller_cap
        ):
            found.past.append(HistoricalRequest(text, event.segment, event.time_ms))
        else:
            found.leave_out("over the caller's cap")
    return found


def _rank(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()
