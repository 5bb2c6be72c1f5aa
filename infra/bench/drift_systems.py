"""The systems that the drift benchmark compares: how each follows a stream.

A system is given a baseline and gives back a function from a stream to its statistic after
each window; larger always means more evidence, so that every system can be set to the same
measured rate of false alarms. Settings are those that found most of a few tried, or what the
system's documentation recommends.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ |= {"DO_NOT_TRACK": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import numpy as np  # noqa: E402 - peers read the environment when they are imported

from drift_given import Follow, Given, Rows, System  # noqa: E402 - the same

FEATURES = 512
NEIGHBOURS, POINTS, WARM_UP = 5, 2_048, 2_000
# Its bound is so wide that one false alarm in some 2,000 events takes levels beyond 1.
ADWIN_LEVELS = tuple(10.0**power for power in (0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.1, 0))


def _features(given: Given) -> Callable[[np.ndarray], np.ndarray]:
    """Return random Fourier features of a Gaussian kernel, the mean of the baseline's taken off."""
    shape = (given.vectors.shape[1], FEATURES // 2)
    directions = (given.rng.normal(size=shape) / given.width).astype(np.float32)

    def features(vectors: np.ndarray) -> np.ndarray:
        turned = vectors @ directions
        return np.hstack([np.cos(turned), np.sin(turned)]) / np.sqrt(FEATURES // 2)

    usual = features(given.vectors[given.rows]).mean(axis=0)
    return lambda vectors: features(vectors) - usual


def _fading(rate: float, window: int) -> tuple[float, np.ndarray]:
    """Return what is left of a mean after a window, and the weights of the window's events."""
    return (1 - rate) ** window, rate * (1 - rate) ** np.arange(window - 1, -1, -1)


def ewma(rate: float, given: Given) -> Follow:
    """Follow the distance of an exponentially weighted mean of features from the baseline's."""
    features, (kept, weights) = _features(given), _fading(rate, given.window)

    def follow(stream: Rows) -> Iterator[float]:
        mean = np.zeros(FEATURES)
        for vectors in given.windows(stream):
            mean = kept * mean + weights @ features(vectors)
            yield float(np.linalg.norm(mean))

    return follow


def newma(slow: float, fast: float, given: Given) -> Follow:
    """Follow the distance of two means of features, one slow and one fast.

    Source: Keriven, Garreau and Poli, "NEWMA: a new method for scalable model-free online
    change-point detection" (2020), algorithm 1; both means begin at the baseline's.
    """
    features = _features(given)
    kept_slow, slow_weights = _fading(slow, given.window)
    kept_fast, fast_weights = _fading(fast, given.window)

    def follow(stream: Rows) -> Iterator[float]:
        slow_mean, fast_mean = np.zeros(FEATURES), np.zeros(FEATURES)
        for vectors in given.windows(stream):
            found = features(vectors)
            slow_mean = kept_slow * slow_mean + slow_weights @ found
            fast_mean = kept_fast * fast_mean + fast_weights @ found
            yield float(np.linalg.norm(fast_mean - slow_mean))

    return follow


def alibi_online(name: str, window: int, given: Given) -> Follow:
    """Follow the statistic of an online detector of alibi-detect.

    Its own thresholds, which ``ert`` and ``n_bootstraps`` are for, only choose where it
    starts: the alarm is where false alarms are as frequent as every system's.
    """
    import alibi_detect.cd  # noqa: PLC0415 - slow to import
    import torch  # noqa: PLC0415 - slow to import

    torch.manual_seed(given.seed)
    detector = getattr(alibi_detect.cd, name)(
        given.reference(),
        ert=100,
        window_size=window,
        n_bootstraps=300,
        backend="pytorch",
        device="cpu",
        verbose=False,
    )

    def follow(stream: Rows) -> Iterator[float]:
        detector.reset_state()
        for vectors in given.windows(stream):
            yield [detector.score(vector) for vector in vectors][-1]

    return follow


def _windows(given: Given, size: int, measure: Callable[[np.ndarray], float]) -> Follow:
    """Measure each window of so many events when it is full."""

    def follow(stream: Rows) -> Iterator[float]:
        last = -np.inf
        for end in range(given.window, len(stream) + 1, given.window):
            if end % size == 0:
                last = measure(given.vectors[stream[end - size : end]])
            yield last

    return follow


def frouros_mmd(size: int, given: Given) -> Follow:
    """Follow frouros's MMD of each window, its kernel as wide as texts are apart."""
    from frouros.detectors.data_drift import MMD  # noqa: PLC0415 - slow to import
    from frouros.utils.kernels import rbf_kernel  # noqa: PLC0415 - slow to import

    detector = MMD(kernel=partial(rbf_kernel, sigma=given.width))
    detector.fit(X=given.reference())
    return _windows(given, size, lambda window: detector.compare(X=window)[0].distance)


def evidently_embeddings(method: str, size: int, given: Given) -> Follow:
    """Follow each window's score by one of Evidently's drift methods for embeddings."""
    import pandas as pd  # noqa: PLC0415 - slow to import
    from evidently.legacy.metrics.data_drift import (  # noqa: PLC0415 - slow to import
        embedding_drift_methods,
    )

    measure: Any = getattr(embedding_drift_methods, method)()
    reference = pd.DataFrame(given.reference())
    # A copy, for the classifier writes its target into what it is given.
    return _windows(
        given, size, lambda window: float(measure(pd.DataFrame(window), reference.copy())[0])
    )


def _novelty(given: Given) -> tuple[Callable[[np.ndarray], list[float]], list[float]]:
    """Return how strange vectors are, and the same of some of the baseline.

    1 - mean cosine to the nearest of some points of the baseline.
    """
    shuffled = given.rng.permutation(given.rows)
    count = min(POINTS, len(shuffled) // 2)
    points = given.vectors[shuffled[:count]]

    def scores(vectors: np.ndarray) -> list[float]:
        cosines = vectors @ points.T
        nearest = np.partition(cosines, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
        return list(1.0 - nearest.mean(axis=1, dtype=np.float64))

    return scores, scores(given.vectors[shuffled[count : count + WARM_UP]])


def page_hinkley(given: Given) -> Follow:
    """Follow the larger of river's two cumulative sums of the mean novelty."""
    from river.drift import PageHinkley  # noqa: PLC0415 - slow to import

    scores, past = _novelty(given)
    warm: Any = PageHinkley(threshold=float("inf"))
    for score in past:
        warm.update(score)

    def follow(stream: Rows) -> Iterator[float]:
        detector = copy.deepcopy(warm)
        for vectors in given.windows(stream):
            for score in scores(vectors):
                detector.update(score)
            yield float(
                max(
                    detector._sum_increase - detector._min_increase,  # noqa: SLF001 - no other way
                    detector._max_decrease - detector._sum_decrease,  # noqa: SLF001 - no other way
                )
            )

    return follow


def adwin(given: Given) -> Follow:
    """Follow the smallest significance at which river's ADWIN has cut the mean novelty."""
    from river.drift import ADWIN  # noqa: PLC0415 - slow to import

    scores, past = _novelty(given)
    warm = [ADWIN(delta=level, clock=given.window) for level in ADWIN_LEVELS]
    for detector in warm:
        for score in past:
            detector.update(score)

    def follow(stream: Rows) -> Iterator[float]:
        detectors = copy.deepcopy(warm)
        worst = -np.inf
        for vectors in given.windows(stream):
            found = scores(vectors)
            for level, detector in zip(ADWIN_LEVELS, detectors, strict=True):
                for score in found:
                    detector.update(score)
                    if detector.drift_detected:
                        worst = max(worst, -float(np.log10(level)))
            yield worst

    return follow


SYSTEMS = (
    System("EWMA of random features, 1/128", None, partial(ewma, 1 / 128), "512 features"),
    System("EWMA of random features, 1/512", None, partial(ewma, 1 / 512), "512 features"),
    System("NEWMA", None, partial(newma, 1 / 2_048, 1 / 256), "512 features, 1/256 and 1/2,048"),
    System("Page-Hinkley", "river", page_hinkley, "novelty: 5 nearest of 2,048, after 2,000"),
    System(
        "ADWIN",
        "river",
        adwin,
        "novelty: 5 nearest of 2,048, after 2,000; 10 levels",
        slow=True,
    ),
    System(
        "LSDD online",
        "alibi-detect",
        partial(alibi_online, "LSDDDriftOnline", 50),
        "window 50, reference 1,000",
        slow=True,
    ),
    System(
        "MMD online",
        "alibi-detect",
        partial(alibi_online, "MMDDriftOnline", 50),
        "window 50, reference 1,000",
        slow=True,
    ),
    System(
        "MMD",
        "frouros",
        partial(frouros_mmd, 100),
        "windows of 100, reference 1,000",
        slow=True,
    ),
    *(
        System(
            f"embedding drift, {method}",
            "evidently",
            partial(evidently_embeddings, method, 200),
            "windows of 200, reference 1,000",
            slow=method != "distance",
        )
        for method in ("model", "mmd", "distance")
    ),
)
