"""Put a judge before the anchor set, and tell when it has changed since."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.adapters.vllm import JudgeRefusedError, JudgeReplyError
from tidegauge.quality.golden_set import GOOD, GoldenAnswer
from tidegauge.quality.qualification import ALPHA, Qualification, qualify
from tidegauge.quality.scores import Score
from tidegauge.workers.judge.judges import Judge

__all__ = ["QualificationRun", "examine", "notices"]

_CHANGE: Final = 0.05
"""Mean shift of the anchors' scores, in standard deviations, that is no rounding any more; and
the share of them that may come to have a score, or none, by rounding."""


LOOKS: Final = 2
"""How often one examination may be looked at before it is over: the chance of error is split."""


@dataclass(frozen=True, slots=True)
class QualificationRun:
    """What the anchors showed.

    Attributes:
        epoch: The judge's epoch.
        qualification: What it can tell.
        scores: Key of the anchor -> its score.
    """

    epoch: str
    qualification: Qualification
    scores: Mapping[str, Score]

    def differs(self, earlier: Mapping[str, Score]) -> bool:
        """Whether the same anchors are scored otherwise now: the judge has changed.

        Args:
            earlier: Their scores at an earlier examination in the same epoch.
        """
        common = [key for key in self.scores if key in earlier]
        pairs = [(earlier[key], self.scores[key]) for key in common]
        names = {name for before, _ in pairs for name in before.values}
        return any(
            _shift([(before.values.get(name), after.values.get(name)) for before, after in pairs])
            > _CHANGE
            for name in names
        )


async def examine(
    judge: Judge,
    ask: Callable[[Judge, GoldenAnswer], Awaitable[Score]],
    anchors: Sequence[GoldenAnswer],
    known: Mapping[str, Score],
) -> QualificationRun:
    """Return what a judge makes of the anchor set.

    Args:
        judge: Whom to examine.
        ask: Gets the score of one anchor; may wait for its turn.
        anchors: What to put before it; kinds that it is not examined on are left out.
        known: Scores of some of these anchors, from the same examination.

    Raises:
        JudgeUnreachableError: The server is away, within an exception group; an examination
            is whole or not at all.
    """
    asked = tuple(anchor for anchor in anchors if anchor.kind in (GOOD, *judge.kinds))

    async def one(anchor: GoldenAnswer) -> Score:
        try:
            return await ask(judge, anchor)
        except (JudgeRefusedError, JudgeReplyError) as error:
            return Score(invalid=type(error).__name__)

    async with asyncio.TaskGroup() as group:
        tasks = {
            anchor.key: group.create_task(one(anchor))
            for anchor in asked
            if anchor.key not in known
        }
    scores = {**known, **{key: task.result() for key, task in tasks.items()}}
    by_kind: dict[str, dict[str, list[float]]] = {kind: {} for kind in (GOOD, *judge.kinds)}
    for anchor in asked:
        for name, value in scores[anchor.key].values.items():
            by_kind[anchor.kind].setdefault(name, []).append(value)
    good = by_kind.pop(GOOD)
    found = qualify(good, by_kind, asked=len(asked), alpha=ALPHA / LOOKS)
    return QualificationRun(judge.specification.epoch, found, scores)


def notices(name: str, examination: QualificationRun | None, *, changed: bool) -> tuple[str, ...]:
    """Return a judge's state as short codes."""
    if examination is None:
        return (f"unexamined:{name}",)
    found = examination.qualification
    states = [f"qualified:{name}:{kind}" for kind in found.kinds]
    if not found.qualified:
        states.append(f"unqualified:{name}")
    if changed:
        states.append(f"judge_changed:{name}")
    return tuple(states)


def _shift(pairs: Sequence[tuple[float | None, float | None]]) -> float:
    """Return the mean change in standard deviations; many scores come or gone are a change."""
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
