"""Peers of the drift benchmark, in an environment of their own.

    python drift_peers.py [--systems NAME,…] [--most N] STREAMS.npz RESULTS.json

reads the streams that ``tidegauge bench drift`` wrote and writes, for each system, change
and stream, the system's statistic after each block. Larger always means more evidence, so
that every system can be set to the same rate of false alarms, as it was measured on the
streams without a change.

``ewma_rff``  distance of an exponentially weighted mean of random Fourier features from the
    baseline's mean;
``newma``     distance of two such means with different forgetting factors (Keriven, Garreau
    and Poli, "NEWMA: a new method for scalable model-free online change-point detection",
    2020), written from the paper;
``mmd_online``  alibi-detect's MMDDriftOnline;
``page_hinkley``, ``adwin``  river's, on the mean cosine distance to the baseline's mean.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

FEATURES = 512
SLOW, FAST = 1 / 1024, 1 / 64
REFERENCE = 1_000
WINDOW = 50


class Given:
    """What every system is given."""

    def __init__(self, path: str) -> None:
        data = np.load(path)
        self.vectors = data["vectors"].astype(np.float32)
        self.baseline = self.vectors[data["baseline"]]
        self.block = int(data["block"])
        self.streams = {
            name.removeprefix("stream/"): data[name]
            for name in data.files
            if name.startswith("stream/")
        }
        rng = np.random.default_rng(0)
        pairs = self.baseline[rng.integers(0, len(self.baseline), (2, 2_000))]
        self.width = float(np.median(np.linalg.norm(pairs[0] - pairs[1], axis=1)))
        directions = rng.normal(size=(self.vectors.shape[1], FEATURES // 2)) / self.width
        turned = self.vectors @ directions.astype(np.float32)
        self.features = np.hstack([np.cos(turned), np.sin(turned)]) / np.sqrt(FEATURES // 2)
        self.usual = self.features[data["baseline"]].mean(axis=0)


def ewma_rff(given: Given) -> Callable[[np.ndarray], list[float]]:
    """Return the path of the distance to the baseline's mean."""

    def path(stream: np.ndarray) -> list[float]:
        mean, found = given.usual.copy(), []
        for count, row in enumerate(stream, start=1):
            mean += FAST / 4 * (given.features[row] - mean)
            if count % given.block == 0:
                found.append(float(np.linalg.norm(mean - given.usual)))
        return found

    return path


def newma(given: Given) -> Callable[[np.ndarray], list[float]]:
    """Return the path of the distance of two means, one slow and one fast."""

    def path(stream: np.ndarray) -> list[float]:
        slow, fast, found = given.usual.copy(), given.usual.copy(), []
        for count, row in enumerate(stream, start=1):
            slow += SLOW * (given.features[row] - slow)
            fast += FAST * (given.features[row] - fast)
            if count % given.block == 0:
                found.append(float(np.linalg.norm(fast - slow)))
        return found

    return path


def mmd_online(given: Given) -> Callable[[np.ndarray], list[float]]:
    """Return the path of alibi-detect's statistic."""
    from alibi_detect.cd import MMDDriftOnline  # noqa: PLC0415 - a peer may be missing

    rng = np.random.default_rng(0)
    reference = given.baseline[rng.choice(len(given.baseline), REFERENCE, replace=False)]

    def path(stream: np.ndarray) -> list[float]:
        detector = MMDDriftOnline(
            reference,
            ert=2_000,
            window_size=WINDOW,
            backend="pytorch",
            n_bootstraps=200,
            verbose=False,
        )
        found = []
        for count, row in enumerate(stream, start=1):
            data = detector.predict(given.vectors[row], return_test_stat=True)["data"]
            if count % given.block == 0:
                found.append(float(data["test_stat"]))
        return found

    return path


def _distance(given: Given) -> np.ndarray:
    middle = given.baseline.mean(axis=0)
    return 1 - given.vectors @ (middle / np.linalg.norm(middle))


def page_hinkley(given: Given) -> Callable[[np.ndarray], list[float]]:
    """Return the path of river's cumulative sum over its minimum."""
    from river.drift import PageHinkley  # noqa: PLC0415 - a peer may be missing

    scores = _distance(given)

    def path(stream: np.ndarray) -> list[float]:
        detector, found = PageHinkley(threshold=float("inf"), delta=0.005), []
        for count, row in enumerate(stream, start=1):
            detector.update(float(scores[row]))
            if count % given.block == 0:
                found.append(float(detector._sum_increase - detector._min_increase))  # noqa: SLF001 - river shows no statistic
        return found

    return path


def adwin(given: Given) -> Callable[[np.ndarray], list[float]]:
    """Return the path of the smallest significance at which river's ADWIN has cut."""
    from river.drift import ADWIN  # noqa: PLC0415 - a peer may be missing

    scores = _distance(given)
    levels = (0.5, 0.2, 0.05, 0.01, 1e-3, 1e-5)

    def path(stream: np.ndarray) -> list[float]:
        detectors = [ADWIN(delta=level, clock=given.block) for level in levels]
        worst, found = 0.0, []
        for count, row in enumerate(stream, start=1):
            for level, detector in zip(levels, detectors, strict=True):
                detector.update(float(scores[row]))
                if detector.drift_detected:
                    worst = max(worst, -float(np.log(level)))
            if count % given.block == 0:
                found.append(worst)
        return found

    return path


SYSTEMS = {
    "ewma_rff": ewma_rff,
    "newma": newma,
    "mmd_online": mmd_online,
    "page_hinkley": page_hinkley,
    "adwin": adwin,
}


def main() -> None:
    """Run the systems named, all if none is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--most", type=int, default=1_000, help="streams of each change")
    parser.add_argument("streams")
    parser.add_argument("results", type=Path)
    asked = parser.parse_args()
    given = Given(asked.streams)
    results = {}
    for name in asked.systems.split(","):
        follow = SYSTEMS[name](given)
        print(f"{name}: {sum(map(len, given.streams.values()))} streams", flush=True)
        results[name] = {
            change: [follow(stream) for stream in streams[: asked.most]]
            for change, streams in given.streams.items()
        }
    asked.results.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
