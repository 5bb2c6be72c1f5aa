"""Our drift monitor in the drift benchmark: the same code as in the worker and the monitor."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

import tidegauge.detection.reference
import tidegauge.drift.fitting
from drift_texts import Texts, Vectors
from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe, pack
from tidegauge.drift.baseline import DriftBaseline, UnitBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.errors import BaselineDocumentError
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.projection import cells, hit_table, hits_of, project
from tidegauge.drift.units import Unit

__all__ = ["Ours", "Watched", "keep_baseline", "watch"]

Rows: TypeAlias = NDArray[np.int64]

_WITHOUT_EFFECT = {
    "benchmark_streams.py",
    "rewording.py",
    "e_detector.py",
    "evidence.py",
    "polya_urn.py",
}
"""Modules that decide nothing about a baseline of texts without times."""
_AT_ONCE = 500
"""Texts looked at together: the most that a worker gets from one poll."""
_BUSY_BLOCK = 100
"""Events of a window where cost is measured: ten seconds of ten requests a second. Delays are
told in smaller ones, to be told finely."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A baseline and what each text is to it.

    Attributes:
        baseline: The baseline.
        unit: What it holds normal of the texts' kind of unit.
        hits: Whether each indicator holds for each text, shape (n, J).
        cells: Each text's cell in each Polya urn's division, shape (n, M + 1); -1 for none.
    """

    baseline: DriftBaseline
    unit: UnitBaseline
    hits: NDArray[np.bool_]
    cells: Rows


def keep_baseline(
    texts: Texts, vectors: Vectors, rows: Rows, seed: Sequence[int], folder: Path
) -> Watched:
    """Build a baseline and look at every text through it, unless the folder has both.

    Args:
        texts: The file's.
        vectors: Theirs.
        rows: Rows of the baseline.
        seed: Of the build's draws.
        folder: Where baselines are kept, by the code that made them.
    """
    code = _code()
    given = hashlib.sha256(vectors.tobytes() + rows.tobytes() + repr(seed).encode()).hexdigest()
    kept = folder / f"baseline-{code}-{given[:16]}.npz"
    if kept.exists():
        read = np.load(kept)
        try:
            baseline = DriftBaseline.from_bytes(read["document"].tobytes())
        except BaselineDocumentError:
            kept.unlink()
        else:
            return Watched(baseline, baseline.openings, read["hits"], read["cells"])
    baseline = fit(
        [HistoricalRequest(texts.texts[i]) for i in rows],
        vectors[rows],
        embedder="benchmark",
        preparation=Preparation(),
        rng=np.random.default_rng(seed),
    )
    watched = watch(baseline, texts.texts, vectors)
    for old in folder.glob("baseline-*.npz"):
        if not old.name.startswith(f"baseline-{code}-"):
            old.unlink()
    np.savez(
        kept,
        document=np.frombuffer(baseline.to_bytes(), np.uint8),
        hits=watched.hits,
        cells=watched.cells,
    )
    return watched


def _code() -> str:
    """Return the hash of the modules that make a baseline."""
    rooms = (tidegauge.drift.fitting.__file__, tidegauge.detection.reference.__file__)
    sources = [path for room in rooms for path in sorted(Path(room).parent.glob("*.py"))]
    made = [path.read_bytes() for path in sources if path.name not in _WITHOUT_EFFECT]
    return hashlib.sha256(b"\0".join(made)).hexdigest()[:16]


def watch(
    baseline: DriftBaseline,
    texts: Sequence[str],
    vectors: Vectors,
    unit: Unit = Unit.OPENING,
) -> Watched:
    """Look at texts through a baseline; the vectors are theirs, and all are units of one kind."""
    known = baseline.units[unit]
    projected = project(known.projection, texts, vectors)
    hits = hit_table(known.projection, texts, projected, known.references[""].indicators)
    in_cells = cells(known.projection, known.bin_edges[""], projected)
    return Watched(baseline, known, hits, in_cells)


def count_indices(found: Rows, size: int) -> Rows:
    """Return how often each index below ``size`` occurs, shape (size,); -1 is none."""
    return np.bincount(found + 1, minlength=size + 1)[1:]


class Ours:
    """Our monitor on streams of rows, time counted in events."""

    def __init__(self, watched: Watched, window: int) -> None:
        """Place the bets.

        Args:
            watched: The baseline and the texts.
            window: Events of a window.
        """
        self._watched = watched
        self._bets = place_bets(watched.unit.references[""], polya_urns=True)
        self._window = window
        self._state_bytes = 0

    def path(self, stream: Rows, until: float = np.inf) -> NDArray[np.float64]:
        """Return the log statistic after each window.

        Args:
            stream: A row for each event.
            until: The path ends where the statistic reaches this.
        """
        bets, watched = self._bets, self._watched
        evidence, found = no_evidence(bets), []
        trials = np.full(watched.hits.shape[1], self._window)
        for start in range(0, len(stream) - self._window + 1, self._window):
            rows = stream[start : start + self._window]
            evidence = observe(
                bets,
                evidence,
                watched.hits[rows].sum(axis=0, dtype=np.int64),
                trials,
                duration_seconds=float(self._window),
                cells=[
                    count_indices(watched.cells[rows, number], len(urn.spacings))
                    for number, urn in enumerate(bets.polya_urns)
                ],
            )
            found.append(judge(bets, evidence, log_threshold=0.0, most=0).log_statistic)
            if found[-1] >= until:
                break
        self._state_bytes = max(self._state_bytes, len(pack(evidence)))
        return np.array(found)

    @property
    def state_bytes(self) -> int:
        """The largest state that a segment had."""
        return self._state_bytes

    def testing_microseconds(self, stream: Rows) -> float:
        """Return the CPU time per event of counting and judging, in windows of a busy service."""
        busy = Ours(self._watched, _BUSY_BLOCK)
        began = time.process_time()
        path = busy.path(stream)
        return 1e6 * (time.process_time() - began) / (len(path) * _BUSY_BLOCK)

    def looking_microseconds(self, texts: Sequence[str], vectors: Vectors) -> float:
        """Return the CPU time per event of looking at texts, some at once as a worker does."""
        projection, bin_edges = (
            self._watched.unit.projection,
            self._watched.unit.bin_edges[""],
        )
        began = time.process_time()
        for start in range(0, len(texts), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            seen = project(projection, texts[some], vectors[some])
            hits_of(projection, texts[some], seen)
            cells(projection, bin_edges, seen)
        return 1e6 * (time.process_time() - began) / len(texts)
