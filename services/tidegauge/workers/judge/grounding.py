"""Holds answers against their context, beside the judges: no model and no server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from prometheus_client import Counter

from tidegauge.quality.context import GUESS, ContextRule, ContextState
from tidegauge.quality.hallucination import (
    LABEL,
    CheckedAnswer,
    NotChecked,
    check_hallucination,
    hits_of,
)
from tidegauge.quality.judged_exchange import SkipReason, judgeable
from tidegauge.quality.sampling import draw
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.sketches import Exemplar, JudgeCondition, SketchKind
from tidegauge.streaming.extractor import Extractor, Measurement, Origin
from tidegauge.workers.judge.judgment import cluster_counts, exemplar_of

__all__ = ["GroundingExtractor", "GroundingRule"]

_CHECKED = Counter(
    "tidegauge_grounding_checks", "Answers held against their context, or why not", ["outcome"]
)
_UNKNOWN: Final = {SkipReason.NOT_CAPTURED: NotChecked.NOT_CAPTURED, SkipReason.CUT: NotChecked.CUT}
"""Why the texts of an answer are not known; other answers that cannot be judged are no answers."""


@dataclass(frozen=True, slots=True)
class GroundingRule:
    """Which answers are held against their context, and what that is.

    Attributes:
        rate: Share of the answers; each has the same chance.
        salt: Salt of the draw.
        context: Which texts are context.
        qualified: Whether the check tells good from bad golden answers: only then it may alarm.
    """

    rate: float = 1.0
    salt: str = ""
    context: ContextRule = GUESS
    qualified: bool = True


class GroundingExtractor:
    """Adds to what another extractor measures whether the answer's context supports it.

    Args:
        inner: The other extractor, whose measurements are added to.
        rule: Which answers are looked at, and how.
    """

    def __init__(self, inner: Extractor[ResponseEvent], rule: GroundingRule) -> None:
        self._inner = inner
        self._rule = rule

    @property
    def kind(self) -> SketchKind:
        """The kind of the other extractor's sketches."""
        return self._inner.kind

    @property
    def reads(self) -> type[ResponseEvent]:
        """The type of event that is measured: responses."""
        return ResponseEvent

    def notices(self) -> tuple[str, ...]:
        """Return the states of both as short codes."""
        own = () if self._rule.qualified else (f"unqualified:{LABEL.partition('@')[0]}",)
        return (*self._inner.notices(), *own)

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return the judges that do not work."""
        return self._inner.conditions()

    def measure(self, events: Sequence[tuple[Origin, ResponseEvent]]) -> Sequence[Measurement]:
        """Return what each answer adds to its segment's window."""
        measurements = self._inner.measure(events)
        return [
            self._with_check(event, measurement)
            for (_, event), measurement in zip(events, measurements, strict=True)
        ]

    def _with_check(self, event: ResponseEvent, measurement: Measurement) -> Measurement:
        if draw(f"grounding/{self._rule.salt}", event.request_id) >= self._rule.rate:
            return measurement
        found = self._check(event)
        if found is None:
            return measurement
        if isinstance(found, NotChecked):
            _CHECKED.labels(found.value).inc()
            return replace(
                measurement, totals={**measurement.totals, measures.CONTEXT: {found.value: 1}}
            )
        _CHECKED.labels("unsupported" if found.hallucinated else "supported").inc()
        hits = [*hits_of(LABEL, unsupported=found.hallucinated)]
        if not self._rule.qualified:
            hits.append(measures.unqualified(LABEL))
        return replace(
            measurement,
            hits=(*measurement.hits, *hits),
            trials=(*measurement.trials, measures.unqualified(LABEL)),
            totals={
                **measurement.totals,
                measures.CONTEXT: {ContextState.GIVEN.value: 1},
                **cluster_counts(LABEL, event, unsupported=found.hallucinated),
            },
            exemplar=exemplar_of(event),
            examples=(*measurement.examples, *_examples(event, found)),
        )

    def _check(self, event: ResponseEvent) -> CheckedAnswer | NotChecked | None:
        exchange = judgeable(event)
        if isinstance(exchange, SkipReason):
            return _UNKNOWN.get(exchange)
        if not exchange.answer.strip():
            return None
        return check_hallucination(exchange, self._rule.context)


def _examples(event: ResponseEvent, found: CheckedAnswer) -> tuple[tuple[str, Exemplar], ...]:
    """Return an answer as an example: of all that were looked at, and of those that invent."""
    shown = exemplar_of(event)
    typical = msgspec.structs.replace(shown, value=float(len(found.unsupported)))
    examples = [(measures.typical(LABEL, measures.HALLUCINATION), typical)]
    if found.hallucinated:
        # The more it invents, the less its rank, so that merging keeps the worst answers.
        worst = msgspec.structs.replace(typical, rank=shown.rank / (1 + len(found.unsupported)))
        examples.append((measures.worst(LABEL, measures.HALLUCINATION), worst))
    return tuple(examples)
