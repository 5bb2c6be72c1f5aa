"""Qualification of a judge on the golden set, and whether the judge has changed since."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.adapters.vllm import JudgeRefusedError, JudgeReplyError
from tidegauge.quality.golden_set import GOOD, GoldenAnswer
from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.qualification import ALPHA, Qualification, qualify
from tidegauge.workers.judge.judges import Judge

__all__ = ["QualificationRun", "notices", "run_qualification"]

_CHANGE: Final = 0.05
"""Largest mean shift of the golden answers' scores, in standard deviations, that rounding
explains; also the largest share of them that may gain or lose a score by rounding."""


LOOKS: Final = 2
"""Tests within one qualification run, which share the chance of error evenly."""


@dataclass(frozen=True, slots=True)
class QualificationRun:
    """The result of a qualification run.

    Attributes:
        specification_hash: Hash of the judge's specification.
        qualification: Which kinds of bad answers the judge can tell from good ones.
        scores: Key of the golden answer -> its score.
    """

    specification_hash: str
    qualification: Qualification
    scores: Mapping[str, Score]

    def differs(self, earlier: Mapping[str, Score]) -> bool:
        """Whether the same golden answers are scored differently now: the judge has changed.

        Args:
            earlier: Scores of an earlier qualification run with the same specification.
        """
        common = [key for key in self.scores if key in earlier]
        pairs = [(earlier[key], self.scores[key]) for key in common]
        names = {name for before, _ in pairs for name in before.values}
        return any(
            _shift([(before.values.get(name), after.values.get(name)) for before, after in pairs])
            > _CHANGE
            for name in names
        )


async def run_qualification(
    judge: Judge,
    ask: Callable[[Judge, GoldenAnswer], Awaitable[Score]],
    golden_answers: Sequence[GoldenAnswer],
    known: Mapping[str, Score],
) -> QualificationRun:
    """Have a judge score the golden answers, and test whether it tells good from bad ones.

    Args:
        judge: The judge.
        ask: Gets the score of one golden answer; may wait for its turn.
        golden_answers: The golden answers; kinds that it is not qualified on are left out.
        known: Scores of some of these answers, from the same qualification run.

    Raises:
        JudgeUnreachableError: The server is unreachable, within an exception group; there are no
            partial qualification runs.
    """
    asked = tuple(
        golden_answer
        for golden_answer in golden_answers
        if golden_answer.kind in (GOOD, *judge.kinds)
    )

    async def one(golden_answer: GoldenAnswer) -> Score:
        try:
            return await ask(judge, golden_answer)
        except (JudgeRefusedError, JudgeReplyError) as error:
            return Score(invalid=type(error).__name__)

    async with asyncio.TaskGroup() as group:
        tasks = {
            golden_answer.key: group.create_task(one(golden_answer))
            for golden_answer in asked
            if golden_answer.key not in known
        }
    scores = {**known, **{key: task.result() for key, task in tasks.items()}}
    by_kind: dict[str, dict[str, list[float]]] = {kind: {} for kind in (GOOD, *judge.kinds)}
    for golden_answer in asked:
        for name, value in scores[golden_answer.key].values.items():
            by_kind[golden_answer.kind].setdefault(name, []).append(value)
    good = by_kind.pop(GOOD)
    found = qualify(good, by_kind, asked=len(asked), alpha=ALPHA / LOOKS)
    return QualificationRun(judge.specification.specification_hash, found, scores)


def notices(
    name: str, qualification_run: QualificationRun | None, *, changed: bool
) -> tuple[str, ...]:
    """Return a judge's state as short codes."""
    if qualification_run is None:
        return (f"qualification_pending:{name}",)
    found = qualification_run.qualification
    states = [f"qualified:{name}:{kind}" for kind in found.kinds]
    if not found.qualified:
        states.append(f"unqualified:{name}")
    if changed:
        states.append(f"judge_changed:{name}")
    return tuple(states)


def _shift(pairs: Sequence[tuple[float | None, float | None]]) -> float:
    """Return the mean change in standard deviations; infinite if many scores came or went."""
    both = [(b, a) for b, a in pairs if b is not None and a is not None]
    come_or_gone = sum((b is None) != (a is None) for b, a in pairs)
    if not both or come_or_gone > _CHANGE * len(pairs):
        return math.inf
    mean = math.fsum(b for b, _ in both) / len(both)
    variance = math.fsum((b - mean) ** 2 for b, _ in both) / len(both)
    moved = abs(math.fsum(a - b for b, a in both)) / len(both)
    if variance == 0:
        return math.inf if moved else 0.0
    return moved / math.sqrt(variance)
