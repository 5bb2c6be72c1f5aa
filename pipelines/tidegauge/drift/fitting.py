"""Fits a drift baseline to past requests.

Requests are split by a hash of the text and of the number of its copy, so that a text is as
frequent on either side as in the traffic. Side A, a third, determines the reduction, the codebooks
and the projections; their rates are counted on side B, so that nothing is tested on what it was
fitted to. Another tenth determines which texts are frequent; where some are, novelty is counted on
the rest of the requests. Every text is measured against the reference points without itself and
its copies. A new request is measured against all of them, so its novelty is, if anything, lower
than that of the baseline's own: the error is on the safe side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.indicators import Indicator
from tidegauge.drift import descriptors
from tidegauge.drift.baseline import Cluster, DriftBaseline, Projection
from tidegauge.drift.codebook import cluster_count, fit_codebook, part_count
from tidegauge.drift.counting import CountedRequests, HistoricalRequest, references
from tidegauge.drift.errors import TooFewTextsError, VectorsError
from tidegauge.drift.novelty import (
    REFERENCE_POINTS,
    ReferencePoints,
    find_frequent,
    index_points,
    is_frequent,
    novelty,
)
from tidegauge.drift.power import unseen_topic_rates
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.projection import NOVELTY_ASKED, hit_table, indicators, novelty_above, project
from tidegauge.drift.terms import top_terms
from tidegauge.drift.vectors import Reduction, assign, fit_reduction, unit_vectors
from tidegauge.schemas.hashing import hash_64
from tidegauge.schemas.sketches import EXEMPLAR_CHARACTERS

__all__ = ["FEWEST_TEXTS", "HistoricalRequest", "fit"]

Vectors: TypeAlias = NDArray[np.float32]
Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

FEWEST_TEXTS = 200
"""With fewer, bands are so wide that only a very large change would be detected."""

_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998)
_TAIL = 0.05
_DIVISIONS = 3
_SIDES = 3
"""One request in this many is on side A; bounding the rates on side B takes more requests."""
_TELLING = 10
"""One request in this many determines which texts are frequent."""
_DIRECTIONS, _TEXTS_A_DIRECTION = 8, 100
_LANGUAGE_SHARE = 0.01
_EXEMPLARS = 3


def fit(  # noqa: PLR0913 - the requests, what made their vectors, and what may be kept
    requests: Sequence[HistoricalRequest],
    vectors: Vectors,
    *,
    embedder: str,
    preparation: Preparation,
    rng: np.random.Generator,
    keep_exemplars: bool = True,
    caller_cap: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> DriftBaseline:
    """Fit a drift baseline to past requests.

    Args:
        requests: Requests with a text, n of them.
        vectors: Their unit vectors, shape (n, d).
        embedder: Fingerprint of the embedder that made the vectors.
        preparation: How the requests became texts.
        rng: Draws the codebook's seeds.
        keep_exemplars: Whether clusters may keep texts, to be shown to people.
        caller_cap: Most events of one caller that a window counted; 0 for all.
        progress: Called with a few words on each step before it begins.

    Raises:
        TooFewTextsError: There are fewer than ``FEWEST_TEXTS`` texts, or fewer than half as
            many different ones.
        VectorsError: The vectors do not fit the texts.
    """
    _, first, text_of = np.unique(
        [p.text for p in requests], return_index=True, return_inverse=True
    )
    if len(requests) < FEWEST_TEXTS or len(first) < FEWEST_TEXTS // 2:
        raise TooFewTextsError(found=min(len(requests), 2 * len(first)), needed=FEWEST_TEXTS)
    if vectors.shape[:1] != (len(requests),) or not np.isfinite(vectors).all():
        raise VectorsError(
            f"{len(requests)} texts need as many finite vectors, got {vectors.shape}"
        )
    texts = [p.text for p in requests]
    ranks = np.array([hash_64(texts[i]) for i in first], np.uint64)
    on_a, telling = _sides(texts)
    frequent = find_frequent([texts[i] for i in np.flatnonzero(telling)])
    progress("finding topics")
    reduction = fit_reduction(vectors[on_a])
    along = reduction.along(vectors)
    reduced = unit_vectors(along)
    centroids = fit_codebook(reduced[on_a], cluster_count(int(on_a.sum())), rng)
    progress("measuring novelty")
    chosen = np.argsort(ranks, kind="stable")[:REFERENCE_POINTS]
    # The points are stored in half precision: novelty is measured with the stored values.
    rounded = reduced[first[chosen]].astype(np.float16).astype(np.float32)
    points, order = index_points(rounded, centroids)
    scores = novelty(reduced, points, own=text_of, point_texts=chosen[order])
    parts = part_count(int(on_a.sum()))
    divisions = np.stack([fit_codebook(reduced[on_a], parts, rng) for _ in range(_DIVISIONS)])
    others = ~is_frequent(frequent, texts)
    projection = _projection(
        reduction, along[on_a], points, scores[others], texts, divisions, frequent
    )
    progress("naming topics")
    clusters = _clusters(requests, reduced, centroids, first, keep_exemplars=keep_exemplars)
    unseen_rates = unseen_topic_rates(reduced, points, projection.levels)
    progress("counting rates")
    tested = indicators(projection, clusters)
    projected = project(projection, texts, vectors, scores=scores)
    # The requests that determine the frequent texts give a biased count of the other texts.
    counted_on = ~telling if len(frequent) else np.ones_like(on_a)
    asked = others & counted_on
    counted = CountedRequests(
        tested=tested,
        hits=hit_table(projection, texts, projected, tested),
        trials=_trials(tested, ~on_a, counted_on, asked),
        on_a=on_a,
        novelty_asked=asked,
        reduced=reduced,
        novelty=scores,
    )
    bands, bin_edges = references(requests, counted, projection)
    times = [p.time_ms for p in requests if p.time_ms is not None]
    return DriftBaseline(
        embedder=embedder,
        preparation=preparation,
        projection=projection,
        clusters=clusters,
        references=bands,
        bin_edges=bin_edges,
        unseen_topic_rates={
            novelty_above(name): rate
            for name, rate in zip(projection.level_names, unseen_rates, strict=False)
        },
        facts={
            "events": len(requests),
            "texts": len(first),
            **({"from_ms": min(times), "to_ms": max(times)} if times else {}),
        },
        caller_cap=caller_cap,
    )


def _sides(texts: Sequence[str]) -> tuple[Flags, Flags]:
    """Return which requests are on side A, and which determine the frequent texts.

    Both depend on a hash, independently of each other; copies of a text are distinguished by
    their number.
    """
    copies: Counter[str] = Counter()
    hashes = []
    for text in texts:
        copies[text] += 1
        hashes.append(hash_64(f"{text}\0{copies[text]}"))
    drawn = np.array(hashes, np.uint64)
    return drawn % _SIDES == 0, drawn // _SIDES % _TELLING == 0


def _trials(tested: Sequence[Indicator], on_b: Flags, counted_on: Flags, asked: Flags) -> Flags:
    """Return whether each of n requests is a trial of each of J indicators, shape (n, J).

    Args:
        tested: The indicators.
        on_b: Whether a request is on side B, shape (n,).
        counted_on: Whether it did not determine the frequent texts, shape (n,).
        asked: Whether novelty is counted on it, shape (n,).
    """
    of_family = {"clusters": on_b, "projections": on_b, "novelty": asked}
    everything = np.ones_like(on_b)
    columns = [
        counted_on if one.name == NOVELTY_ASKED else of_family.get(one.family, everything)
        for one in tested
    ]
    return np.stack(columns, axis=1)


def _projection(  # noqa: PLR0913, PLR0917 - the parts of a projection
    reduction: Reduction,
    along: Vectors,
    points: ReferencePoints,
    scores: Vectors,
    texts: Sequence[str],
    divisions: Vectors,
    frequent: NDArray[np.uint64],
) -> Projection:
    leading = along[:, : min(_DIRECTIONS, len(along) // _TEXTS_A_DIRECTION)]
    names = [f"{level:g}" for level in _LEVELS if level <= 1 - 1 / len(scores)]
    levels = np.quantile(scores, [float(name) for name in names], method="higher")
    codes = [descriptors.language(text) for text in texts]
    common = [c for c in descriptors.LANGUAGES if codes.count(c) >= _LANGUAGE_SHARE * len(codes)]
    return Projection(
        reduction=reduction,
        points=points,
        levels=levels.astype(np.float32),
        level_names=tuple(names),
        lows=np.quantile(leading, _TAIL, axis=0).astype(np.float32),
        highs=np.quantile(leading, 1 - _TAIL, axis=0).astype(np.float32),
        divisions=divisions,
        languages=tuple(common),
        frequent=frequent,
    )


def _clusters(
    requests: Sequence[HistoricalRequest],
    vectors: Vectors,
    centroids: Vectors,
    first: Counts,
    *,
    keep_exemplars: bool,
) -> tuple[Cluster, ...]:
    nearest = assign(vectors[first], centroids)
    members = [first[nearest == k] for k in range(len(centroids))]
    terms = top_terms([[requests[i].text for i in group] for group in members])
    found = []
    for k, group in enumerate(members):
        central = group[np.argsort(-(vectors[group] @ centroids[k]), kind="stable")]
        shown = tuple(requests[i].text[:EXEMPLAR_CHARACTERS] for i in central[:_EXEMPLARS])
        title = ", ".join(terms[k]) or f"cluster {k}"
        found.append(
            Cluster(
                title=title if keep_exemplars else f"cluster {k}",
                terms=terms[k] if keep_exemplars else (),
                exemplars=shown if keep_exemplars else (),
            )
        )
    return tuple(found)
