"""Past requests for a drift baseline: from a file, or from a stretch of the log.

A baseline counts its past as the worker counts the stream: the first request of a conversation,
and one later turn of it (``drift.units``). All others are left out here, before they are embedded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec

from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.drift.units import (
    NotCounted,
    Unit,
    beginning_of,
    conversation_of,
    counted_turn,
    join_openings,
    unit_at,
    unit_of,
)
from tidegauge.runtime.json_lines import read_json_lines
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.exchange import Message, RequestEvent
from tidegauge.schemas.hashing import hash_64
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming.processor import Partition
from tidegauge.usecases.errors import PastRequestsError
from tidegauge.usecases.stretch import Stretch
from tidegauge.workers.drift.extractor import CallerCap

__all__ = ["ReadRequests", "from_file", "from_log"]

_REASONS: Final = {
    NotCounted.REPEAT: "sent again",
    NotCounted.SAME_TURN: "further steps of a turn",
    NotCounted.LATER_TURN: "further turns of a conversation",
    NotCounted.NO_CONVERSATION: "of a conversation that is not known",
}
_FORM: Final = (
    'a line is {"text": "…", "conversation_id": "…", "turn": 1, "time_ms": 1767225600000}, '
    "and only the text is needed"
)
OPENINGS_ONLY: Final = (
    "no line has a conversation_id, so each counts as the first message of a conversation, and "
    "later messages are not watched: give every line its conversation_id, and its turn or the "
    "lines in order, to have them watched, too"
)


@dataclass(slots=True)
class ReadRequests:
    """Past requests, and what was left out for which reason.

    Attributes:
        past: The requests.
        left_out: Reason -> the number of requests that are not used.
        remarks: What a person should know of the requests.
    """

    past: list[HistoricalRequest] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def limit(self, most: int) -> None:
        """Keep at most so many requests: whole conversations, drawn by a hash."""
        if len(self.past) <= most:
            return
        groups: defaultdict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(self.past):
            groups[one.conversation_id or f"{place}/{one.text}"].append(place)
        kept: list[int] = []
        for group in sorted(groups, key=hash_64):
            if len(kept) + len(groups[group]) > most:
                break
            kept += groups[group]
        self.left_out["over the limit"] += len(self.past) - len(kept)
        self.past = [self.past[place] for place in sorted(kept)]

    def notes(self) -> list[str]:
        """Return what was left out, and the remarks, as lines for a person."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.most_common())
        return [*([f"left out: {reasons}"] if reasons else []), *self.remarks]


class _Line(msgspec.Struct):
    text: str
    conversation_id: str | int | None = None
    turn: Annotated[int, msgspec.Meta(ge=1)] | None = None
    time_ms: int | None = None

    @property
    def conversation(self) -> str | None:
        """The conversation's id as a text; None if the line has none."""
        return None if self.conversation_id in {None, ""} else str(self.conversation_id)


def from_file(path: Path, preparation: Preparation) -> ReadRequests:
    """Read a JSONL file of requests.

    Each line has a ``text``, and a ``conversation_id``, a ``turn`` and a ``time_ms`` where they
    are known. The lines of a conversation without turns count in the order of their times, or of
    the file where they have none. A line without a conversation is a conversation of its own.

    Raises:
        PastRequestsError: The file cannot be read, or a line is not as it must be.
    """
    lines = _lines(path)
    found = ReadRequests()
    if lines and all(line.conversation is None for line in lines):
        found.remarks.append(OPENINGS_ONLY)
    for line, turn in zip(lines, _turns(path, lines), strict=True):
        unit = NotCounted.REPEAT if turn is None else unit_at(turn, line.conversation)
        if turn is None or isinstance(unit, NotCounted):
            found.left_out[_REASONS[NotCounted(unit)]] += 1
            continue
        asked = (Message(role=_role(preparation), content=line.text),)
        text = prepare(asked, preparation).text
        if text:
            found.past.append(
                HistoricalRequest(
                    text,
                    time_ms=line.time_ms,
                    conversation_id=line.conversation,
                    turn=turn,
                )
            )
        else:
            found.left_out["empty"] += 1
    return found


def _lines(path: Path) -> list[_Line]:
    lines = []
    for number, line in read_json_lines(path, _Line, PastRequestsError, _FORM):
        if line.conversation is None and (line.turn or 1) > 1:
            raise PastRequestsError(
                f"{path}, line {number}: turn {line.turn} of no conversation; give its "
                f"conversation_id, too: {_FORM}"
            )
        lines.append(line)
    return lines


def _turns(path: Path, lines: Sequence[_Line]) -> list[int | None]:
    """Return each line's turn; None for a turn that another line has already.

    Raises:
        PastRequestsError: Only some lines of a conversation have a turn.
    """
    turns: list[int | None] = [1] * len(lines)
    conversations: defaultdict[str, list[int]] = defaultdict(list)
    for place, line in enumerate(lines):
        if line.conversation is not None:
            conversations[line.conversation].append(place)
    for conversation, places in conversations.items():
        given = [lines[place].turn for place in places]
        if None not in given:
            seen: set[int | None] = set()
            for place, turn in zip(places, given, strict=True):
                turns[place] = None if turn in seen else turn
                seen.add(turn)
            continue
        if any(given):
            raise PastRequestsError(
                f"{path}: only some lines of the conversation {conversation!r} have a turn; give "
                "it in all of them or in none"
            )
        times = [lines[place].time_ms for place in places]
        if None not in times:
            places = sorted(places, key=lambda place: lines[place].time_ms or 0)  # noqa: PLW2901
        for turn, place in enumerate(places, start=1):
            turns[place] = turn
    return turns


def _role(preparation: Preparation) -> str:
    return "system" if preparation.selection == "system" else "user"


def from_log(  # noqa: PLR0913 - a stretch of the log, and what to take of it
    settings: KafkaSettings,
    preparation: Preparation,
    stretch: Stretch,
    *,
    segment: str | None,
    caller_cap: int,
    window_ms: int,
) -> ReadRequests:
    """Read a stretch of ``requests.v1``.

    Args:
        settings: How to reach Kafka.
        preparation: How texts are made.
        stretch: The stretch.
        segment: Only this segment's, by its key; all if None.
        caller_cap: Most events of one caller in a window of a segment; 0 for all.
        window_ms: Length of a window.

    Raises:
        LogError: The broker does not answer, or there is no such topic.
        TimeRangeError: The log does not hold the stretch from its start.
    """
    found, callers = ReadRequests(), CallerCap(window_ms)
    units: list[Unit] = []
    beginnings: list[int] = []
    for partition, event in _requests(settings, stretch, segment, found):
        unit = unit_of(event)
        if isinstance(unit, NotCounted):
            found.left_out[_REASONS[unit]] += 1
            continue
        text = prepare(event.messages, preparation).text if event.capture != "none" else None
        if not text:
            found.left_out["not captured" if text is None else "empty"] += 1
        elif callers.admits(
            *(partition, event.segment, event.customer, event.time_ms),
            most=caller_cap,
            kind=unit,
        ):
            found.past.append(_historical(event, unit, text))
            units.append(unit)
            beginnings.append(beginning_of(event))
        else:
            found.left_out["over the caller's cap"] += 1
    joined = join_openings(units, [one.conversation_id for one in found.past], beginnings)
    found.past = [
        replace(one, conversation_id=conversation)
        for one, conversation in zip(found.past, joined, strict=True)
    ]
    return found


def _requests(
    settings: KafkaSettings, stretch: Stretch, segment: str | None, found: ReadRequests
) -> Iterator[tuple[Partition, RequestEvent]]:
    """Yield the requests of a stretch once each, and count those that are left out.

    Raises:
        TimeRangeError: The log does not hold the stretch from its start.
    """
    last: dict[tuple[int, str], int] = {}
    first_ms = stretch.end_ms
    for record in reader.read(settings, REQUESTS, start_ms=stretch.start_ms):
        if record.is_tombstone:
            continue
        try:
            event = decode(record.value, RequestEvent)
        except DecodeError:
            found.left_out["undecodable"] += 1
            continue
        producer = (record.partition.index, event.producer_id)
        if event.sequence <= last.get(producer, 0):
            continue
        last[producer] = event.sequence
        if not stretch.start_ms <= event.time_ms < stretch.end_ms or event.shadow:
            continue
        if segment is not None and event.segment.key != segment:
            continue
        first_ms = min(first_ms, event.time_ms)
        if stretch.leaves_out(event.segment.model, event.time_ms):
            found.left_out["in an excluded time"] += 1
        else:
            yield record.partition, event
    if first_ms < stretch.end_ms:
        stretch.check_held(first_ms)


def _historical(event: RequestEvent, unit: Unit, text: str) -> HistoricalRequest:
    conversation = conversation_of(event)
    is_opening = unit is Unit.OPENING or conversation is None
    return HistoricalRequest(
        text,
        event.segment,
        event.time_ms,
        conversation_id=conversation,
        turn=1 if is_opening else counted_turn(conversation or ""),
        request_id=event.request_id,
    )
