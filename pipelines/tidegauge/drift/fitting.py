"""Fits a drift baseline to past requests.

Only units are used (``drift.units``). What openings are projected with is fitted to openings alone:
among the short replies of follow-ups, new topics would be noticed later. What follow-ups are
projected with is fitted to both: they are on the topics that conversations begin with.

Requests are split by a hash of the conversation, or of the text and of the number of its copy where
no conversation is known, so that a text is as frequent on either side as in the traffic. Side A, a
third, determines the reduction, the codebooks and the projections; their rates are counted on side
B, so that nothing is tested on what it was fitted to. Another tenth determines which texts are
frequent; where some are, novelty is counted on the rest of the requests. Every text is measured
against the reference points without itself, its copies and the texts of its own conversation. A new
request is measured against all of them, so its novelty is, if anything, lower than that of the
baseline's own: the error is on the safe side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.indicators import Indicator
from tidegauge.detection.seasons import UTC
from tidegauge.drift import descriptors
from tidegauge.drift.baseline import Cluster, DriftBaseline, Projection, UnitBaseline
from tidegauge.drift.blindness import blind_languages, remark
from tidegauge.drift.codebook import cluster_count, fit_codebook, part_count
from tidegauge.drift.counting import CountedRequests, HistoricalRequest, references
from tidegauge.drift.errors import TooFewTextsError, VectorsError
from tidegauge.drift.languages import FEWEST_BESIDE, FEWEST_DIFFERENT, language_baselines
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
from tidegauge.drift.reduction import fit_reduction
from tidegauge.drift.sides import owners_of, sides
from tidegauge.drift.terms import top_terms
from tidegauge.drift.units import Unit
from tidegauge.drift.vectors import Reduction, assign, unit_vectors
from tidegauge.reports.formatting import duration
from tidegauge.schemas.hashing import hash_64

__all__ = ["FEWEST_DIFFERENT", "FEWEST_TEXTS", "HistoricalRequest", "check_enough", "fit"]

Vectors: TypeAlias = NDArray[np.float32]
Counts: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

FEWEST_TEXTS = 100
"""The promise is exact at any size; with fewer, a fifth on new topics is hardly ever noticed."""
_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998)
_TAIL = 0.05
_DIVISIONS = 3
_DIRECTIONS, _TEXTS_A_DIRECTION = 8, 100
_LANGUAGE_SHARE = 0.01
_EXEMPLARS = 3
_FEWEST_TO_TELL = 10
"""Openings that tell at which rate they come."""


def fit(  # noqa: PLR0913 - the requests, what made their vectors, and what may be kept
    requests: Sequence[HistoricalRequest],
    vectors: Vectors,
    *,
    embedder: str,
    preparation: Preparation,
    rng: np.random.Generator,
    keep_exemplars: bool = True,
    power: bool = True,
    caller_cap: int = 0,
    zone: str = UTC,
    progress: Callable[[str], None] = lambda _: None,
) -> DriftBaseline:
    """Fit a drift baseline to past requests.

    Args:
        requests: Requests with a text, n of them; those that are no units are left out.
        vectors: Their unit vectors, shape (n, d).
        embedder: Fingerprint of the embedder that made the vectors.
        preparation: How the requests became texts.
        rng: Draws the codebook's seeds.
        keep_exemplars: Whether clusters may keep terms and requests' ids, to be shown to people.
        power: Whether to measure how rare the texts of a new topic would be, from which follows
            how soon it is noticed.
        caller_cap: Most events of one caller that a window counted; 0 for all.
        zone: Time zone of the seasons' slots.
        progress: Called with a few words on each step before it begins.

    Raises:
        TooFewTextsError: There are fewer than ``FEWEST_TEXTS`` openings, or fewer than
            ``FEWEST_DIFFERENT`` different ones.
        VectorsError: The vectors do not fit the texts.
    """
    if vectors.shape[:1] != (len(requests),) or not np.isfinite(vectors).all():
        raise VectorsError(
            f"{len(requests)} texts need as many finite vectors, got {vectors.shape}"
        )
    units = np.array([one.unit for one in requests], object)
    counted = (units == Unit.OPENING) | (units == Unit.FOLLOWUP)
    requests = [one for one, used in zip(requests, counted, strict=True) if used]
    vectors, units = vectors[counted], units[counted]
    texts = [one.text for one in requests]
    openings = np.flatnonzero(units == Unit.OPENING)
    check_enough(requests)
    followups = np.flatnonzero(units == Unit.FOLLOWUP)
    no_followups = (
        _untested(len(followups)) if _too_few([texts[i] for i in followups], FEWEST_BESIDE) else ""
    )
    on_a, telling = sides(requests)
    sample = _Sample(requests, texts, vectors, units, on_a, telling)
    blind = blind_languages(texts, vectors)
    choices = _Choices(rng, keep_exemplars, power, zone, remark(blind), progress)
    times = [one.time_ms for one in requests if one.time_ms is not None]
    made, counts = _fit_unit(Unit.OPENING, sample.of(openings), choices)
    languages, pooled = language_baselines(
        [requests[i] for i in openings], counts, made, blind, zone=zone
    )
    return DriftBaseline(
        embedder=embedder,
        preparation=preparation,
        openings=made,
        followups=None if no_followups else _fit_unit(Unit.FOLLOWUP, sample, choices)[0],
        no_followups=no_followups,
        languages=languages,
        pooled=pooled,
        facts={
            "events": len(requests),
            "openings": len(openings),
            "followups": len(followups),
            "texts": len(set(texts)),
            **({"from_ms": min(times), "to_ms": max(times)} if times else {}),
        },
        caller_cap=caller_cap,
    )


def check_enough(requests: Sequence[HistoricalRequest]) -> None:
    """Check that there are enough openings of conversations for a baseline.

    Args:
        requests: Past requests; those that open no conversation are not counted.

    Raises:
        TooFewTextsError: There are fewer than ``FEWEST_TEXTS``, or fewer than
            ``FEWEST_DIFFERENT`` different ones.
    """
    openings = [one for one in requests if one.unit is Unit.OPENING]
    texts = [one.text for one in openings]
    if _too_few(texts, FEWEST_TEXTS):
        raise TooFewTextsError(
            texts=len(texts),
            different=len(set(texts)),
            needed=FEWEST_TEXTS,
            needed_different=FEWEST_DIFFERENT,
            after=_after([one.time_ms for one in openings if one.time_ms is not None]),
        )


def _after(times_ms: Sequence[int]) -> str:
    """Return in which time ``FEWEST_TEXTS`` come at the rate of some; empty where too few tell."""
    if not _FEWEST_TO_TELL <= len(times_ms) < FEWEST_TEXTS:
        return ""
    between = (max(times_ms) - min(times_ms)) / 1000 / (len(times_ms) - 1)
    return duration(FEWEST_TEXTS * between) if between else ""


@dataclass(frozen=True, slots=True)
class _Sample:
    """Requests that are units, n of them, with their texts, vectors and sides."""

    requests: Sequence[HistoricalRequest]
    texts: Sequence[str]
    vectors: Vectors
    units: NDArray[np.object_]
    on_a: Flags
    telling: Flags

    def of(self, rows: Counts) -> _Sample:
        """Return some of them."""
        return _Sample(
            [self.requests[row] for row in rows],
            [self.texts[row] for row in rows],
            self.vectors[rows],
            self.units[rows],
            self.on_a[rows],
            self.telling[rows],
        )


@dataclass(frozen=True, slots=True)
class _Choices:
    rng: np.random.Generator
    keep_exemplars: bool
    power: bool
    zone: str
    remark: str
    progress: Callable[[str], None]


def _fit_unit(
    unit: Unit, sample: _Sample, choices: _Choices
) -> tuple[UnitBaseline, CountedRequests]:
    """Return what is normal for the units of one kind, projected with what all of these show.

    Returns:
        What is normal, and the counts of these units that it is of.
    """
    _, first, text_of = np.unique(sample.texts, return_index=True, return_inverse=True)
    ranks = np.array([hash_64(sample.texts[i]) for i in first], np.uint64)
    choices.progress("finding topics")
    reduction = fit_reduction(sample.vectors[sample.on_a], choices.rng)
    along = reduction.along(sample.vectors)
    reduced = unit_vectors(along)
    centroids = fit_codebook(
        reduced[sample.on_a], cluster_count(int(sample.on_a.sum())), choices.rng
    )
    choices.progress("measuring novelty")
    chosen = np.argsort(ranks, kind="stable")[:REFERENCE_POINTS]
    # The points are stored in half precision: novelty is measured with the stored values.
    rounded = reduced[first[chosen]].astype(np.float16).astype(np.float32)
    points, order = index_points(rounded, centroids)
    own, owners = owners_of(sample.requests, text_of)
    scores = novelty(reduced, points, own=own, owners=owners[chosen[order]])
    choices.progress("naming topics")
    clusters = _clusters(
        sample.requests, reduced, centroids, first, keep_exemplars=choices.keep_exemplars
    )
    choices.progress("counting rates")
    rows = np.flatnonzero(sample.units == unit)
    counted = _UnitSample(sample.of(rows), along[rows], reduced[rows], scores[rows])
    return _count_unit(unit, counted, reduction, points, clusters, choices)


@dataclass(frozen=True, slots=True)
class _UnitSample:
    """The units of one kind, and where they lie."""

    sample: _Sample
    along: Vectors
    reduced: Vectors
    scores: Vectors


def _count_unit(  # noqa: PLR0913, PLR0917 - units, and what they are projected with
    unit: Unit,
    units: _UnitSample,
    reduction: Reduction,
    points: ReferencePoints,
    clusters: tuple[Cluster, ...],
    choices: _Choices,
) -> tuple[UnitBaseline, CountedRequests]:
    texts, on_a, telling = units.sample.texts, units.sample.on_a, units.sample.telling
    frequent = find_frequent([texts[i] for i in np.flatnonzero(telling).tolist()])
    parts = part_count(int(on_a.sum()))
    divisions = [fit_codebook(units.reduced[on_a], parts, choices.rng) for _ in range(_DIVISIONS)]
    others = ~is_frequent(frequent, texts)
    projection = _projection(
        unit,
        reduction,
        units.along[on_a],
        points,
        units.scores[others],
        texts,
        np.stack(divisions),
        frequent,
    )
    unseen_rates = (
        unseen_topic_rates(units.reduced, points, projection.levels) if choices.power else ()
    )
    tested = indicators(projection, clusters)
    projected = project(projection, texts, units.sample.vectors, scores=units.scores)
    # The requests that determine the frequent texts give a biased count of the other texts.
    counted_on = ~telling if len(frequent) else np.ones_like(on_a)
    asked = others & counted_on
    counted = CountedRequests(
        tested=tested,
        hits=hit_table(projection, texts, projected, tested),
        trials=_trials(tested, ~on_a, counted_on, asked),
        on_a=on_a,
        novelty_asked=asked,
        reduced=units.reduced,
        novelty=units.scores,
    )
    bands, bin_edges = references(units.sample.requests, counted, projection, zone=choices.zone)
    made = UnitBaseline(
        projection=projection,
        clusters=clusters,
        references={
            key: msgspec.structs.replace(one, remark=choices.remark) for key, one in bands.items()
        },
        bin_edges=bin_edges,
        unseen_topic_rates={
            novelty_above(name): rate
            for name, rate in zip(projection.level_names, unseen_rates, strict=False)
        },
    )
    return made, counted


def _too_few(texts: Sequence[str], fewest: int) -> bool:
    return len(texts) < fewest or len(set(texts)) < FEWEST_DIFFERENT


def _untested(followups: int) -> str:
    """Return why follow-ups are not tested."""
    if not followups:
        return "no past request is known to be a follow-up of a conversation"
    return (
        f"{followups} conversations have a follow-up that counts, and {FEWEST_BESIDE} are needed, "
        f"at least {FEWEST_DIFFERENT} of them different"
    )


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
    unit: Unit,
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
    common = [
        code
        for code in descriptors.LANGUAGES
        # Requests without text are told apart from the first one on.
        if code == descriptors.MEDIA or codes.count(code) >= _LANGUAGE_SHARE * len(codes)
    ]
    return Projection(
        unit=unit,
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
        known = [requests[i].request_id for i in central if requests[i].request_id]
        shown = tuple(known[:_EXEMPLARS])
        title = ", ".join(terms[k]) or f"cluster {k}"
        found.append(
            Cluster(
                title=title if keep_exemplars else f"cluster {k}",
                terms=terms[k] if keep_exemplars else (),
                exemplars=shown if keep_exemplars else (),
            )
        )
    return tuple(found)
