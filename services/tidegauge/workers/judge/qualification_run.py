"""Qualification of a judge on the golden set, and whether the judge has changed since."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidegauge.adapters.vllm import (
    JudgeRefusedError,
    JudgeReplyError,
    JudgeServerError,
    JudgeUnreachableError,
    JudgeUnusableError,
)
from tidegauge.quality.errors import ExchangeTooLongError
from tidegauge.quality.golden_set import GOOD, GoldenAnswer, asked_of
from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.qualification import ALPHA, Qualification, qualify
from tidegauge.workers.judge.judges import Judge

__all__ = [
    "QualificationRun",
    "StoredRun",
    "explain",
    "notices",
    "qualification_of",
    "run_qualification",
]

_CHANGE: Final = 0.05
"""Largest mean shift of the golden answers' scores, in standard deviations, that rounding
explains; also the largest share of them that may gain or lose a score by rounding."""
_LEFT_OUT: Final = 0.1
"""Largest share of the golden answers that may stay without a reply."""
_AWAY: Final = 3
"""Calls in a row without a reply after which a server is away, and no more are tried."""

LOOKS: Final = 2
"""Tests within one qualification run, which share the chance of error evenly."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A qualification run that was stored.

    Attributes:
        time_ms: When it ended.
        scores: Key of the golden answer -> its score.
    """

    time_ms: int
    scores: Mapping[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QualificationRun:
    """The result of a qualification run.

    Attributes:
        specification_hash: Hash of the judge's specification.
        qualification: Which kinds of bad answers the judge can tell from good ones.
        scores: Key of the golden answer -> its score.
        refused: The server's sentence, if it refused every golden answer.
    """

    specification_hash: str
    qualification: Qualification
    scores: Mapping[str, Score]
    refused: str = ""

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

    A golden answer to which the server gives no reply is asked for a second time and then left
    out, if they are few.

    Args:
        judge: The judge.
        ask: Gets the score of one golden answer; may wait for its turn.
        golden_answers: The golden answers; kinds that it is not qualified on are left out.
        known: Scores of some of these answers, by the same specification on the same server.

    Raises:
        JudgeUnreachableError: Too many golden answers got no reply.
        JudgeUnusableError: The server lacks what the judge needs.
    """
    asked = asked_of(golden_answers, judge.kinds, judge.specification.unit)
    scores = {answer.key: known[answer.key] for answer in asked if answer.key in known}
    refusals: list[str] = []
    missing: list[JudgeUnreachableError] = []
    for _ in range(2):
        rest = {answer.key: answer for answer in asked if answer.key not in scores}
        found, missing = await _ask_all(judge, ask, list(rest.values()), refusals)
        scores |= found
        if not missing or (rest and not found):
            break
    if missing and (not scores or len(missing) > max(1, _LEFT_OUT * len(asked))):
        raise missing[-1]
    refused = refusals[-1] if refusals and len(refusals) == len(asked) else ""
    judged = [answer for answer in asked if answer.key in scores]
    qualification = qualification_of(judge, judged, scores)
    return QualificationRun(judge.specification.specification_hash, qualification, scores, refused)


def qualification_of(
    judge: Judge, golden_answers: Sequence[GoldenAnswer], scores: Mapping[str, Score]
) -> Qualification:
    """Return the qualification that scores of golden answers show.

    Args:
        judge: The judge.
        golden_answers: The golden answers that it was asked about.
        scores: Key of the golden answer -> its score, for each of them.
    """
    kinds = dict.fromkeys((GOOD, *judge.kinds, *(answer.kind for answer in golden_answers)))
    by_kind: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    for answer in golden_answers:
        for name, value in scores[answer.key].values.items():
            by_kind[answer.kind].setdefault(name, []).append(value)
    good = by_kind.pop(GOOD)
    return qualify(good, by_kind, asked=len(golden_answers), alpha=ALPHA / LOOKS)


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


def explain(found: Qualification) -> str:
    """Return why a judge is not qualified, in a sentence.

    Example:
        >>> explain(Qualification((), scored=3, asked=10))
        'it scored 3 of 10 golden answers'
    """
    if not found.asked:
        return (
            "there are no golden answers for it: name built-in kinds of bad answers under "
            "qualified_on, or give a golden set of your own"
        )
    if not found.separations or 5 * found.scored < 4 * found.asked:
        return f"it scored {found.scored} of {found.asked} golden answers"
    areas = ", ".join(
        f"{each.kind} {each.area:.2f}" for each in found.separations if not each.qualified
    )
    return f"it does not tell good from bad golden answers (area under the curve: {areas})"


async def _ask_all(
    judge: Judge,
    ask: Callable[[Judge, GoldenAnswer], Awaitable[Score]],
    golden_answers: Sequence[GoldenAnswer],
    refusals: list[str],
) -> tuple[dict[str, Score], list[JudgeUnreachableError]]:
    scores: dict[str, Score] = {}
    missing: list[JudgeUnreachableError] = []
    unusable: list[JudgeServerError] = []

    async def one(answer: GoldenAnswer) -> None:
        if unusable or (not scores and len(missing) >= _AWAY):
            return
        try:
            scores[answer.key] = await ask(judge, answer)
        except JudgeUnusableError as error:
            unusable.append(error)
        except JudgeUnreachableError as error:
            missing.append(error)
        except (JudgeRefusedError, JudgeReplyError) as error:
            refusals.append(str(error))
            scores[answer.key] = Score(invalid=type(error).__name__)
        except ExchangeTooLongError as error:
            scores[answer.key] = Score(invalid=type(error).__name__)

    async with asyncio.TaskGroup() as group:
        for answer in golden_answers:
            group.create_task(one(answer))
    if unusable:
        raise unusable[0]
    return scores, missing


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
