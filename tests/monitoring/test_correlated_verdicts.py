"""Verdicts on the answers of one conversation resemble each other: alarms stay as rare as promised.

Monitors of quality count answers. What conversations add to the chance of counting is in the
dispersion that a baseline shows between its blocks of time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe
from tidegauge.detection.indicators import count_asked
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.rate_references import hallucination_reference, quality_reference
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Sketch, SourceRange
from tidegauge.simulation.conversations import Script, play
from tidegauge.streaming import histogram

SEGMENT = Segment(model="m", version="v1", route="/chat")
JUDGE = "judge@0123abcd"
SCORE = measures.score(JUDGE, "score")
WINDOW_SECONDS = 60
START_MS = 1_700_006_400_000
PROMISED = 0.2
"""Share of streams that may alarm by the end: t / A."""
CORRELATION = 0.5
"""Correlation of two verdicts on one conversation."""
INVENTED_BELOW = -1.75
"""Answers below it are hallucinations: 4% of them."""
WARM_UP_SECONDS = 1_800.0
"""Conversations that are under way when the traffic begins."""


@dataclass(frozen=True)
class Answers:
    """Answers of conversations of 5 to 20 turns, one conversation a ``gap_seconds`` on average."""

    gap_seconds: float = 20.0
    worse: float = 0.0

    def windows(self, hours: float, rng: np.random.Generator) -> Iterator[Sketch]:
        """Yield the windows of a stretch of time: a score and a verdict for each answer."""
        seconds, latent = self._draw(3600 * hours, rng)
        scores, invented = ndtr(latent), latent < INVENTED_BELOW
        for number in range(int(3600 * hours) // WINDOW_SECONDS):
            inside = seconds // WINDOW_SECONDS == number
            if inside.any():
                yield sketch(number, scores[inside], int(invented[inside].sum()))

    def _draw(
        self, length: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        openings = rng.poisson((length + WARM_UP_SECONDS) / self.gap_seconds)
        turns = rng.integers(5, 21, openings)
        scripts = [Script((("q", "a"),) * count, "t") for count in range(21)]
        begun = np.sort(rng.uniform(-WARM_UP_SECONDS, length, openings))
        played = play(scripts, turns, begun, rng)
        own = rng.normal(size=len(played.seconds))
        shared = rng.normal(size=openings)[played.conversation]
        latent = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * own - self.worse
        inside = (played.seconds >= 0) & (played.seconds < length)
        return played.seconds[inside], latent[inside]


def sketch(number: int, scores: NDArray[np.float64], invented: int) -> Sketch:
    checked, hits = measures.grounding_checked(JUDGE), measures.hallucinated(JUDGE)
    return Sketch(
        kind="quality",
        producer_id="quality/responses.v1-0",
        sequence=number + 1,
        segment=SEGMENT,
        window_start_ms=START_MS + number * WINDOW_SECONDS * 1000,
        window_ms=WINDOW_SECONDS * 1000,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=0),
        baseline="",
        events=len(scores),
        hits={checked: len(scores), hits: invented},
        trials={},
        moments={},
        histograms={SCORE: histogram.add(histogram.empty(), scores.tolist())},
        strata={},
    )


def references(hours: float, answers: Answers, rng: np.random.Generator) -> list[Reference]:
    past = list(answers.windows(hours, rng))
    found = (
        quality_reference(JUDGE, ["score"], SEGMENT, past, "UTC"),
        hallucination_reference(JUDGE, SEGMENT, past, "UTC"),
    )
    return [each for each in found if isinstance(each, Reference)]


def counted_alone(reference: Reference) -> Reference:
    """Take answers for independent draws with the baseline's rates."""
    return msgspec.structs.replace(
        reference,
        low=reference.rate,
        high=reference.rate,
        block_ms=(),
        dispersion=(0.0,) * len(reference.rate),
        refused="",
    )


def alarms(reference: Reference, windows: list[Sketch], hours: float) -> bool:
    bets = place_bets(reference, falls=False)
    evidence, threshold = no_evidence(bets), math.log(3600 * hours / PROMISED)
    for window in windows:
        counts = np.array([count_asked(one, window) for one in reference.indicators], np.int64)
        evidence = observe(
            bets,
            evidence,
            counts[:, 0],
            counts[:, 1],
            duration_seconds=WINDOW_SECONDS,
            start_ms=window.window_start_ms,
            slot=reference.slot(window.window_start_ms),
        )
        if judge(bets, evidence, log_threshold=threshold, most=0).alarm:
            return True
    return False


def shares(streams: int, past: float, hours: float, *, alone: bool = False) -> tuple[float, float]:
    """Return the shares of references that alarm, and that make no promise."""
    fired, refused, tested = 0, 0, 0
    for seed in range(streams):
        rng = np.random.default_rng(seed)
        for reference in references(past, Answers(), rng):
            tested += 1
            if alone:
                fired += alarms(
                    counted_alone(reference), list(Answers().windows(hours, rng)), hours
                )
            elif reference.refused:
                refused += 1
            else:
                fired += alarms(reference, list(Answers().windows(hours, rng)), hours)
    return fired / (tested - refused), refused / tested


def slack(streams: int) -> float:
    return 3 * math.sqrt(PROMISED * (1 - PROMISED) / streams)


def test_correlated_verdicts_raise_no_alarms_in_brief() -> None:
    fired, refused = shares(3, past=6, hours=6)
    assert fired <= PROMISED
    assert refused < 0.5


def test_answers_that_are_counted_alone_do() -> None:
    fired, _ = shares(2, past=6, hours=6, alone=True)
    assert fired > 2 * PROMISED


def test_worse_conversations_are_noticed() -> None:
    rng = np.random.default_rng(7)
    (scores, _) = references(6, Answers(), rng)
    assert alarms(scores, list(Answers(worse=1.0).windows(6, rng)), 6)


@pytest.mark.stats
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("past", "hours"), [(1, 24), (6, 24), (24, 24)])
def test_correlated_verdicts_keep_the_promise(past: float, hours: float) -> None:
    fired, refused = shares(60, past, hours)
    assert fired <= PROMISED + slack(60)
    assert refused < 0.2
