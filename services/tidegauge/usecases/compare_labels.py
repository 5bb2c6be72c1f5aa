"""Sets the judges beside people: what the log's labels say of its judgments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from tidegauge.quality.agreement import Agreement, agreements
from tidegauge.quality.calibration import Calibrated
from tidegauge.quality.labels import mean_labels
from tidegauge.quality.proxy import SequentialMean, assisted, paired_scores, sequential_mean
from tidegauge.reports.formatting import count, number
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.evaluations import JudgmentEvent, LabelEvent
from tidegauge.schemas.topics import JUDGMENTS, LABELS, Topic
from tidegauge.streaming.processor import Record

__all__ = [
    "LabelComparison",
    "compare_labels",
    "corrected_sentence",
    "corrected_sentences",
    "log_comparison",
]

_EXPENSIVE: Final = ("helpfulness", "score")
_CHEAP: Final = ("likelihood", "fluency")

Evaluation = TypeVar("Evaluation", JudgmentEvent, LabelEvent)
ReadSince = Callable[[Topic, int, int | None], Iterable[Record]]
"""From a topic, a start and an end (Unix milliseconds, None for now) to its records."""


class LabelComparison(msgspec.Struct, frozen=True):
    """The agreement of judges with people, and with each other.

    Attributes:
        judges: Each score of each judge, with what people say of the same answers.
        assisted: The mean of the judge of helpfulness, helped by the likelihood judge, for one
            look.
        followed: The same over all traffic, corrected by people, for every look.
    """

    judges: tuple[Agreement, ...]
    assisted: Calibrated | None
    followed: SequentialMean | None


def compare_labels(
    read: ReadSince, *, start_ms: int, end_ms: int | None = None, model: str = ""
) -> LabelComparison:
    """Return each judge's scores of a time beside people's labels, whenever these were given.

    Args:
        read: Reads the log.
        start_ms: Judgments that reached the log before are left out, Unix milliseconds.
        end_ms: Answers from then on, and those from before the start, are left out; None for
            neither.
        model: Only answers of this model; all if empty.

    Raises:
        LogError: The broker does not answer.
    """
    people = mean_labels(_events(read(LABELS, 0, None), LabelEvent))
    judgments = [
        each
        for each in _events(read(JUDGMENTS, start_ms, None), JudgmentEvent)
        if each.segment.model == (model or each.segment.model)
        and (end_ms is None or start_ms <= each.time_ms < end_ms)
    ]
    answers = paired_scores(judgments, expensive=_EXPENSIVE, cheap=_CHEAP)
    return LabelComparison(
        judges=agreements(judgments, people),
        assisted=assisted(answers),
        followed=sequential_mean(answers, people),
    )


def log_comparison(kafka: KafkaSettings, start_ms: int, model: str = "") -> LabelComparison:
    """Return the comparison of what Kafka holds since a moment.

    Raises:
        LogError: The broker does not answer.
    """

    def read(topic: Topic, start: int, end: int | None) -> Iterable[Record]:
        return reader.read(kafka, topic, start_ms=start, end_ms=end)

    return compare_labels(read, start_ms=start_ms, model=model)


def corrected_sentence(each: Agreement) -> str:
    """Return the mean label of all answers in words, or why there is none."""
    if (found := each.corrected) is None:
        return each.corrected_refused or "unknown"
    by = f"{number(found.mean)} ({number(found.low)} to {number(found.high)})"
    by += f" by {count(found.labels)} labels"
    if found.conversations < found.labels:
        by += f" of {count(found.conversations)} conversations"
    if each.chances_estimated:
        by += ", whose inclusion probabilities are estimated,"
    if found.alone is not None:
        return f"{by} alone: {found.alone}"
    return f"{by} and the judge, whose weight is {number(found.weight)}"


def corrected_sentences(found: LabelComparison) -> tuple[str, ...]:
    """Return what people say of all answers, a sentence for each labelled score of each judge."""
    return tuple(
        f"As people see it, {each.judge} {each.score} is {corrected_sentence(each)}; the judge's "
        f"own mean is {number(each.judge_mean)}."
        for each in found.judges
        if each.labelled
    )


def _events(records: Iterable[Record], form: type[Evaluation]) -> Iterator[Evaluation]:
    for record in records:
        try:
            yield decode(record.value, form)
        except DecodeError:
            continue  # not an event of tidegauge's
