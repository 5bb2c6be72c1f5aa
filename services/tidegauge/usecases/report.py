"""Making a report: two ranges of the log, sampled, and rendered by Evidently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from tidegauge.adapters.evidently import EvidentlyProcess, Preface
from tidegauge.drift.descriptors import language
from tidegauge.monitoring.incidents import Incident, incidents
from tidegauge.reports.embedding_map import (
    FEWEST,
    EmbeddingMap,
    PlacedRequest,
    embedding_map,
    svg,
)
from tidegauge.reports.formatting import count, percent
from tidegauge.reports.rows import Row, Sample, Tables, tables
from tidegauge.reports.titles import column_title
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.codec import TIME_HEADER
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent
from tidegauge.schemas.exchange import (
    Capture,
    Heartbeat,
    Message,
    ResponseEvent,
    last_user_message,
)
from tidegauge.schemas.topics import EMBEDDINGS, HEARTBEATS, JUDGMENTS, RESPONSES, Topic
from tidegauge.streaming.processor import Record
from tidegauge.usecases.compare_labels import compare_labels, corrected_sentences
from tidegauge.usecases.make_bill import told_costs
from tidegauge.usecases.past_alerts import past_alerts
from tidegauge.usecases.references import LogBaselines
from tidegauge.usecases.report_order import ReportOrder
from tidegauge.usecases.time_range import TimeRange

__all__ = ["Reader", "ReportMaker", "SampledRecords", "report_maker", "sampled", "spoken_language"]

LATE_MS = 6 * 3_600_000
"""How long after a range its events are looked for in the log: gateways keep them while the
broker is away, and what is judged comes later still."""

_OUTBOXES_MS = 86_400_000
"""How far back gateways that still hold events are looked for."""

E = TypeVar("E", ResponseEvent, EmbeddingEvent, JudgmentEvent)

Reader = Callable[[Topic, int, int], Iterable[Record]]
"""From a topic, a start and an end (Unix milliseconds) to its records in that range."""

Incidents = Callable[[TimeRange], Iterable[Incident]]
"""Returns the incidents of a time, those that fire first."""


class TableRenderer(Protocol):
    """Writes comparisons as files that a browser shows."""

    def warm(self) -> None:
        """Get ready meanwhile: a comparison will be wanted soon."""

    def render(self, tables: Tables, preface: Preface, path: Path) -> None:
        """Write a comparison to a file, below what stands first.

        Raises:
            TidegaugeError: It could not be written.
        """


@dataclass(frozen=True, slots=True)
class SampledRecords:
    """The rows of one range.

    Attributes:
        rows: At most as many as were asked for.
        seen: Exchanges in the range.
        unreadable: Records that are no events.
        late: Exchanges that reached the log after the range had ended.
        placed: Vectors of some of the rows' requests.
    """

    rows: tuple[Row, ...]
    seen: int
    unreadable: int
    late: int = 0
    placed: tuple[PlacedRequest, ...] = ()


def spoken_language(messages: Sequence[Message], capture: Capture) -> str | None:
    """Return the language of the last thing that the user said, if it was captured."""
    if capture == "none":
        return None
    text = last_user_message(messages)
    return language(text) if text else None


def sampled(
    read: Reader,
    found: TimeRange,
    *,
    rows: int,
    titles: Mapping[int, str] | None = None,
    wanted: Callable[[ResponseEvent], bool] = lambda _event: True,
) -> SampledRecords:
    """Read a range and sample its exchanges.

    Args:
        read: Reads the log.
        found: The range, in event time.
        rows: Exchanges to keep.
        titles: Cluster -> title, for those that have one.
        wanted: Which exchanges count.

    Raises:
        TidegaugeError: The log cannot be read.
    """
    sample = Sample(rows, spoken_language)
    unreadable = late = 0

    def events(topic: Topic, kind: type[E]) -> Iterable[E]:
        nonlocal unreadable, late
        for record in read(topic, found.start_ms, found.end_ms + LATE_MS):
            after = record.timestamp_ms >= found.end_ms
            if record.is_tombstone or (after and _is_of_another_time(record, found)):
                continue
            try:
                event = decode(record.value, kind)
            except DecodeError:
                unreadable += not after
                continue
            if event.time_ms in found and (not isinstance(event, ResponseEvent) or wanted(event)):
                late += after and kind is ResponseEvent
                yield event

    for response in events(RESPONSES, ResponseEvent):
        sample.add(response)
    if sample.rows:
        for embedding in events(EMBEDDINGS, EmbeddingEvent):
            sample.place(embedding, titles)
        for judgment in events(JUDGMENTS, JudgmentEvent):
            sample.judge(judgment)
    return SampledRecords(sample.rows, sample.seen, unreadable, late, sample.placed)


def _is_of_another_time(record: Record, found: TimeRange) -> bool:
    """Whether a record's header says, without a look at its value, that it is of another time."""
    written = dict(record.headers).get(TIME_HEADER, b"")
    try:
        time_ms = datetime.fromisoformat(written.decode()).timestamp() * 1000
    except (ValueError, OverflowError):
        return False
    return round(time_ms) not in found


def _in_outboxes(read: Reader, found: TimeRange) -> int:
    """Return how many exchanges gateways have captured that had not reached the log at last."""
    latest: dict[str, Heartbeat] = {}
    for record in read(HEARTBEATS, found.start_ms, found.end_ms + LATE_MS + _OUTBOXES_MS):
        try:
            heartbeat = decode(record.value, Heartbeat)
        except DecodeError:
            continue  # the monitor reports such a record as a dead letter
        latest[heartbeat.producer_id] = heartbeat
    return sum(
        max(0, beat.captured.get(RESPONSES.name, 0) - beat.shipped.get(RESPONSES.name, 0))
        for beat in latest.values()
    )


def verdicts_of(incidents: Iterable[Incident]) -> tuple[str, ...]:
    """Return what the monitor says of a time, a sentence each."""
    said = [
        f"{found.severity if found.fires else 'ended'}: {found.title()} (/i/{found.incident_id})"
        for found in incidents
    ]
    return tuple(said) or ("No alarm fired in the current range.",)


def log_incidents(kafka: KafkaSettings, current: TimeRange) -> tuple[Incident, ...]:
    """Return the incidents that had begun before the end of a range and had not ended before it.

    Raises:
        TopicError: There is no topic of alerts.
        LogError: The broker does not answer.
    """
    return tuple(
        found
        for found in incidents(past_alerts(kafka))
        if found.onset.time_ms < current.end_ms
        and (found.fires or max(alarm.time_ms for alarm in found.alarms) >= current.start_ms)
    )


def _no_incidents(_current: TimeRange) -> Iterable[Incident]:
    return ()


def _no_sentences(_found: TimeRange) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class ReportMaker:
    """Samples what an order compares, and writes the comparison.

    Attributes:
        read: Reads the log.
        rows: Exchanges sampled from each range.
        titles: Returns the titles of the clusters, for those that have one.
        incidents: Returns the incidents of the current range.
        labels: Returns what people say of a range, a sentence each.
        costs: Returns what a range cost, a sentence each.
        renderer: Writes the comparison.
    """

    read: Reader
    rows: int
    titles: Callable[[], Mapping[int, str]] = dict
    incidents: Incidents = _no_incidents
    labels: Callable[[TimeRange], tuple[str, ...]] = _no_sentences
    costs: Callable[[TimeRange], tuple[str, ...]] = _no_sentences
    renderer: TableRenderer = field(default_factory=EvidentlyProcess)

    def make(self, order: ReportOrder, path: Path) -> tuple[str, ...]:
        """Write the HTML of a comparison to a file.

        Returns:
            Facts on what was compared.

        Raises:
            TidegaugeError: The log cannot be read, a range is empty, or rendering failed.
        """
        self.renderer.warm()
        titles = self.titles()
        reference, current = order.reference, order.current
        before, after = (
            sampled(self.read, found, rows=self.rows, titles=titles, wanted=wanted)
            for found, wanted in zip((reference, current), order.filters, strict=True)
        )
        compared = tables(before.rows, after.rows)
        facts = [
            f"Compared: {order.selection}.",
            f"Reference: {reference}, {_sampled(before)}.",
            f"Current: {current}, {_sampled(after)}.",
            f"{len(compared.columns)} columns; no text of a prompt or an answer is in this file.",
        ]
        later = max(reference, current, key=lambda found: found.end_ms)
        if waiting := _in_outboxes(self.read, later):
            facts.append(
                f"Incomplete: {count(waiting)} exchanges that gateways have captured had not "
                "reached the log; make the report again once they have."
            )
        if compared.left_out:
            facts.append(f"Left out, without values to compare: {_titles(compared.left_out)}.")
        if compared.constant:
            facts.append(f"The same throughout: {_titles(compared.constant)}.")
        facts += [
            f"{name}: {sentence}"
            for name, found in (("Reference", reference), ("Current", current))
            for sentence in (*self.labels(found), *self.costs(found))
        ]
        drawn = embedding_map(before.placed, after.placed)
        if drawn is None:
            facts.append(
                f"No map of the requests: it takes {FEWEST} vectors of each range, by one model."
            )
        verdicts = verdicts_of(self.incidents(current))
        preface = Preface(
            title="tidegauge: two ranges of traffic compared",
            verdicts=verdicts,
            facts=tuple(facts),
            figure=svg(drawn) if drawn else "",
            caption=_caption(drawn) if drawn else "",
        )
        self.renderer.render(compared, preface, path)
        return (*facts, *verdicts)


def _caption(drawn: EmbeddingMap) -> str:
    return (
        f"{count(len(drawn.reference))} and {count(len(drawn.current))} requests in the two "
        f"leading principal directions of their vectors, which hold {percent(drawn.explained)} of "
        "the variance: what lies apart here differs, what lies together may differ elsewhere."
    )


def _sampled(found: SampledRecords) -> str:
    said = f"{count(len(found.rows))} of {count(found.seen)} exchanges"
    if found.late:
        said += f", {count(found.late)} of them reached the log after the range"
    return f"{said}, {count(found.unreadable)} records unreadable" if found.unreadable else said


def report_maker(kafka: KafkaSettings, rows: int, models: Path | None = None) -> ReportMaker:
    """Return what makes reports from the log.

    Args:
        kafka: How to reach Kafka.
        rows: Exchanges sampled from each range.
        models: The gateway's configuration, for the prices of servers.
    """

    def read(topic: Topic, start_ms: int, end_ms: int | None) -> Iterable[Record]:
        return reader.read(kafka, topic, start_ms=start_ms, end_ms=end_ms)

    def labels(found: TimeRange) -> tuple[str, ...]:
        return corrected_sentences(
            compare_labels(read, start_ms=found.start_ms, end_ms=found.end_ms)
        )

    return ReportMaker(
        read,
        rows,
        titles=LogBaselines(kafka).titles,
        incidents=partial(log_incidents, kafka),
        labels=labels,
        costs=partial(told_costs, kafka, models),
    )


def _titles(columns: Iterable[str]) -> str:
    return ", ".join(map(column_title, columns))
