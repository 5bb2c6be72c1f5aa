"""Sets the judges beside people: what the log's labels say of its judgments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from tidegauge.quality.agreement import Agreement, agreements
from tidegauge.quality.calibration import Calibrated
from tidegauge.quality.labels import mean_labels
from tidegauge.quality.proxy import SequentialMean, assisted, paired_scores, sequential_mean
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.evaluations import JudgmentEvent, LabelEvent
from tidegauge.schemas.topics import JUDGMENTS, LABELS, Topic

__all__ = ["LabelComparison", "compare_labels"]

_EXPENSIVE: Final = ("helpfulness", "score")
_CHEAP: Final = ("likelihood", "fluency")

Evaluation = TypeVar("Evaluation", JudgmentEvent, LabelEvent)


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


def compare_labels(settings: KafkaSettings, *, start_ms: int, model: str = "") -> LabelComparison:
    """Return each judge's scores beside people's labels.

    Args:
        settings: How to reach Kafka.
        start_ms: Judgments from before are left out, Unix milliseconds.
        model: Only answers of this model; all if empty.

    Raises:
        LogError: The broker does not answer.
    """
    people = mean_labels(_events(settings, LABELS, LabelEvent))
    judgments = [
        each
        for each in _events(settings, JUDGMENTS, JudgmentEvent, start_ms)
        if each.segment.model == (model or each.segment.model)
    ]
    answers = paired_scores(judgments, expensive=_EXPENSIVE, cheap=_CHEAP)
    return LabelComparison(
        judges=agreements(judgments, people),
        assisted=assisted(answers),
        followed=sequential_mean(answers, people),
    )


def _events(
    settings: KafkaSettings, topic: Topic, form: type[Evaluation], start_ms: int = 0
) -> Iterator[Evaluation]:
    for record in reader.read(settings, topic, start_ms=start_ms):
        try:
            yield decode(record.value, form)
        except DecodeError:
            continue  # not an event of tidegauge's
