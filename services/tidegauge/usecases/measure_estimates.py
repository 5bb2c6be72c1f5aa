"""Measures what the estimates of quality promise, on verdicts of judges and people's labels.

Answers are drawn with replacement from a file of pairs, so that the truth, the share of pairs
whose first answer people prefer, is known; a judge's score is the share of its verdicts for that
answer. Each drawing is estimated in every way, and it is counted how often an interval holds the
truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tidegauge.detection.confidence import bet, mean_sequence
from tidegauge.quality.calibration import (
    Labels,
    Scores,
    corrected_share,
    labels_alone,
    prediction_powered,
)
from tidegauge.quality.errors import EstimateError
from tidegauge.quality.streaming import Observation, quality_bets, unbiased_score
from tidegauge.usecases.errors import EvaluationFileError

__all__ = ["EstimateBar", "EstimateMeasurement", "IntervalRates", "Verdicts", "measure_estimates"]

Floats = NDArray[np.float64]
Interval = tuple[float, float]

_VOTES: Final[Mapping[str | None, float]] = {"1": 1.0, "2": 0.0}
_ANSWERS: Final = 2_000
_LABELS: Final = (50, 100, 200)
_LOW: Final = 0.5
_OFTEN, _SELDOM = 0.5, 0.05
"""Inclusion probabilities of targeted labels: of low scores, and of others."""
_STREAM: Final = 1_000
_LOOK: Final = 25
_JUDGED, _ASKED = 0.5, 0.2
"""Inclusion probabilities in a stream: of a judgment, and of a label."""
_LEAST_COVERAGE: Final = 0.93
_MOST_MISSES: Final = 0.05
_QUANTILE: Final = float(ndtri(0.975))


class Verdicts(msgspec.Struct, frozen=True):
    """What people and judges say of a pair of answers.

    Attributes:
        label: The answer that people prefer, 1 or 2.
        judges: Judge -> its verdicts, each ``"1"`` or ``"2"``, such as one for each order in
            which it saw the answers. Others, such as null, count as half a vote.
    """

    label: Literal[1, 2]
    judges: Mapping[str, Sequence[str | None]]


class IntervalRates(msgspec.Struct, frozen=True):
    """How often an interval holds the truth, and how wide it is.

    Attributes:
        judge: The judge.
        setting: How answers are labelled.
        labels: Labels a drawing; for targeted ones, their mean number.
        method: The estimate.
        coverage: Share of the intervals that hold the truth; None if all were refused.
        width: Mean width; None if all were refused.
        refused: Share of the drawings without an estimate.
    """

    judge: str
    setting: str
    labels: int
    method: str
    coverage: float | None
    width: float | None
    refused: float


class EstimateBar(msgspec.Struct, frozen=True):
    """A limit, what was found, and whether it is met."""

    name: str
    found: float
    limit: float
    met: bool


class EstimateMeasurement(msgspec.Struct, frozen=True):
    """All that was measured.

    Attributes:
        truth: Share of pairs whose first answer people prefer.
        intervals: Coverage and width by judge, setting, number of labels and method.
        bars: What has to hold.
    """

    truth: float
    intervals: tuple[IntervalRates, ...]
    bars: tuple[EstimateBar, ...]


def measure_estimates(
    pairs: Sequence[Verdicts], *, repeats: int = 1_000, streams: int = 200, seed: int = 1
) -> EstimateMeasurement:
    """Return the coverage of every estimate for every judge that has judged all pairs.

    Args:
        pairs: Verdicts and labels.
        repeats: Drawings for each judge, setting and number of labels.
        streams: Streams for each judge that are looked at again and again.
        seed: Seed of the random numbers.

    Raises:
        EvaluationFileError: No judge has verdicts on every pair.
    """
    rng = np.random.default_rng(seed)
    y = np.array([float(pair.label == 1) for pair in pairs])
    truth = float(y.mean())
    judges = sorted(
        set.intersection(*({name for name, said in pair.judges.items() if said} for pair in pairs))
    )
    if not judges:
        raise EvaluationFileError("no judge has a verdict on every pair: leave other pairs out")
    intervals: list[IntervalRates] = []
    bars: list[EstimateBar] = []
    for judge in judges:
        f = np.array([_score(pair.judges[judge]) for pair in pairs])
        for setting, draw, barred in _SETTINGS:
            found = _coverage(draw, (y, f), truth, rng, repeats)
            intervals += [
                IntervalRates(judge, setting, method=method, **rates)
                for method, rates in found.items()
            ]
            if barred:
                bars.append(_at_least(f"{judge}: PPI++, {setting}", found["PPI++"]["coverage"]))
        misses, plain = _peeking(y, f, truth, rng, streams)
        bars.append(_at_most(f"{judge}: betting, missed at some look", misses, _MOST_MISSES))
        intervals.append(IntervalRates(judge, "at every look", 0, "plain", 1 - plain, None, 0.0))
        bars.append(_at_most(f"{judge}: Hajek's bias under load, in SE", _load_bias(f, rng), 3.0))
    return EstimateMeasurement(truth, tuple(intervals), tuple(bars))


def _score(verdicts: Sequence[str | None]) -> float:
    votes = [_VOTES.get(verdict, 0.5) for verdict in verdicts]
    return math.fsum(votes) / len(votes)


@dataclass(frozen=True, slots=True)
class _Drawn:
    judged: Scores
    labels: Labels


Draw = Callable[[Floats, Floats, np.random.Generator], _Drawn]


def _random(count: int) -> Draw:
    def draw(y: Floats, f: Floats, rng: np.random.Generator) -> _Drawn:
        rows = rng.integers(y.size, size=_ANSWERS)
        labels = Labels.of(np.arange(count), y[rows[:count]], count / _ANSWERS)
        return _Drawn(Scores.of(f[rows]), labels)

    return draw


def _targeted(y: Floats, f: Floats, rng: np.random.Generator) -> _Drawn:
    rows = rng.integers(y.size, size=_ANSWERS)
    chances = np.where(f[rows] < _LOW, _OFTEN, _SELDOM)
    asked = np.flatnonzero(rng.random(rows.size) < chances)
    return _Drawn(Scores.of(f[rows]), Labels.of(asked, y[rows[asked]], chances[asked]))


def _conversations(y: Floats, f: Floats, rng: np.random.Generator) -> _Drawn:
    """Conversations of four answers that are all alike, all of them labelled or none."""
    rows = np.repeat(rng.integers(y.size, size=_ANSWERS), 4)
    count = 4 * _LABELS[-1]
    labels = Labels.of(np.arange(count), y[rows[:count]], count / rows.size)
    names = np.repeat(np.arange(_ANSWERS), 4)
    return _Drawn(Scores(f[rows], np.ones(rows.size), names), labels)


_SETTINGS: Final = (
    *((f"{count} at random", _random(count), count == _LABELS[-1]) for count in _LABELS),
    ("targeted", _targeted, True),
    (f"{_LABELS[-1]} conversations", _conversations, True),
)
"""Name of a setting, what draws it, and whether PPI++ has to hold in it."""


class _Rates(TypedDict):
    labels: int
    coverage: float | None
    width: float | None
    refused: float


def _coverage(
    draw: Draw,
    answers: tuple[Floats, Floats],
    truth: float,
    rng: np.random.Generator,
    repeats: int,
) -> dict[str, _Rates]:
    found: dict[str, list[Interval]] = {method: [] for method in _METHODS}
    labelled = 0
    for _ in range(repeats):
        drawn = draw(*answers, rng)
        labelled += drawn.labels.values.size
        for method, estimate in _METHODS.items():
            interval = estimate(drawn)
            if interval is not None:
                found[method].append(interval)
    return {
        method: _Rates(
            labels=round(labelled / repeats),
            coverage=_mean([float(low <= truth <= high) for low, high in ends]),
            width=_mean([high - low for low, high in ends]),
            refused=1 - len(ends) / repeats,
        )
        for method, ends in found.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _raw(drawn: _Drawn) -> Interval | None:
    values = drawn.judged.values
    reach = _QUANTILE * float(values.std(ddof=1)) / math.sqrt(values.size)
    return float(values.mean()) - reach, float(values.mean()) + reach


def _alone(drawn: _Drawn) -> Interval | None:
    found = labels_alone(drawn.judged, drawn.labels)
    return found.low, found.high


def _powered(drawn: _Drawn) -> Interval | None:
    found = prediction_powered(drawn.judged, drawn.labels)
    return found.low, found.high


def _corrected_share(drawn: _Drawn) -> Interval | None:
    try:
        found = corrected_share(drawn.judged, drawn.labels)
    except EstimateError:
        return None
    return found.low, found.high


_METHODS: Final[dict[str, Callable[[_Drawn], Interval | None]]] = {
    "raw judge": _raw,
    "labels only": _alone,
    "Rogan-Gladen": _corrected_share,
    "PPI++": _powered,
}


def _peeking(
    y: Floats, f: Floats, truth: float, rng: np.random.Generator, streams: int
) -> tuple[float, float]:
    """Return how many streams miss the truth at some look: the bets, and a plain interval."""
    ours = plain = 0
    for _ in range(streams):
        rows = rng.integers(y.size, size=_STREAM)
        place, asked = rng.random(_STREAM), rng.random(_STREAM) < _ASKED / _JUDGED
        numbers = np.array(
            [
                unbiased_score(
                    0.5,
                    Observation(float(f[row]) if u < _JUDGED else None, _JUDGED),
                    Observation(float(y[row]) if u < _JUDGED and a else None, _ASKED),
                )
                for row, u, a in zip(rows, place, asked, strict=True)
            ]
        )
        state = quality_bets(floor=_JUDGED, person_floor=_ASKED)
        missed = plain_missed = False
        for end in range(_LOOK, _STREAM + 1, _LOOK):
            state = bet(state, numbers[end - _LOOK : end])
            low, high = mean_sequence(state, alpha=_MOST_MISSES)
            missed |= not low <= truth <= high
            so_far = numbers[:end]
            reach = _QUANTILE * float(so_far.std(ddof=1)) / math.sqrt(end)
            plain_missed |= abs(float(so_far.mean()) - truth) > reach
        ours += missed
        plain += plain_missed
    return ours / streams, plain / streams


def _load_bias(f: Floats, rng: np.random.Generator, repeats: int = 200) -> float:
    """Return the bias of Hajek's mean in its standard errors, where load lowers the scores.

    Every second period has ten times the answers, of the worse of two scores, and the budget
    lowers their inclusion probability to a tenth.
    """
    errors = []
    for _ in range(repeats):
        calm = f[rng.integers(f.size, size=200)]
        busy = np.minimum(*f[rng.integers(f.size, size=(2, 2_000))])
        scores = np.concatenate([calm, busy])
        chances = np.repeat([0.5, 0.05], [calm.size, busy.size])
        drawn = rng.random(scores.size) < chances
        errors.append(Scores.of(scores[drawn], chances[drawn]).mean - float(scores.mean()))
    found = np.asarray(errors)
    return abs(float(found.mean())) / (float(found.std(ddof=1)) / math.sqrt(repeats))


def _at_least(name: str, found: float | None) -> EstimateBar:
    value = 0.0 if found is None else found
    return EstimateBar(name, value, _LEAST_COVERAGE, value >= _LEAST_COVERAGE)


def _at_most(name: str, found: float, limit: float) -> EstimateBar:
    return EstimateBar(name, found, limit, found <= limit)
