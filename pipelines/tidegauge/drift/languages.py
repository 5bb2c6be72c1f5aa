"""Languages whose openings are also tested by themselves.

A new topic among the users of a language that makes up a tenth of the traffic is a hundredth of all
openings where a tenth of these users ask for it: too little to be noticed among all. A language
with a part of the openings therefore has bands and cells of its own, in the projection of all
openings, and a monitor of its own. All its openings count for the monitor of all openings as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.baseline import UnitBaseline
from tidegauge.drift.blindness import LEAST_SHARE, NO_LANGUAGE
from tidegauge.drift.counting import CountedRequests, HistoricalRequest, references
from tidegauge.drift.descriptors import language
from tidegauge.drift.power import unseen_topic_rates
from tidegauge.drift.projection import indicators, novelty_above
from tidegauge.reports.formatting import count

__all__ = ["FEWEST_BESIDE", "FEWEST_DIFFERENT", "MOST_LANGUAGES", "language_baselines"]

Counts: TypeAlias = NDArray[np.int64]

FEWEST_BESIDE = 200
"""Openings in a language, or follow-ups, that have a monitor beside that of all openings: with
fewer, it would take more of the budget than it could show."""
FEWEST_DIFFERENT = 50
"""With fewer different ones, topics and novelty would be fitted to a handful of points. Copies need
no more: the frequent texts are counted apart, and no edge separates copies of one text."""
MOST_LANGUAGES = 6
"""Most languages with a monitor of their own: each takes a part of the budget."""
_UNTOLD = NO_LANGUAGE | {"latin"}
"""Codes of texts whose language is not told."""


def language_baselines(
    requests: Sequence[HistoricalRequest],
    counted: CountedRequests,
    openings: UnitBaseline,
    blind: Mapping[str, float],
    *,
    zone: str,
) -> tuple[dict[str, UnitBaseline], dict[str, str]]:
    """Return what is normal for the openings in each language, and why others have nothing.

    Only where at least two languages have a twentieth of the openings each: with one language, its
    openings are all openings. Texts whose language cannot be told belong to none.

    Args:
        requests: The openings, n of them.
        counted: Their hits, trials, vectors and novelty among all openings.
        openings: What is normal for all openings.
        blind: Languages that the embedder cannot tell apart.
        zone: Time zone of the seasons' slots.

    Returns:
        Language -> what is normal, the most frequent first; language -> why it has nothing of its
        own, for people.
    """
    codes = [language(one.text) for one in requests]
    shares = Counter(codes)
    common = [
        code
        for code, openings_in in shares.most_common()
        if code not in _UNTOLD and openings_in >= LEAST_SHARE * len(codes)
    ]
    if len(common) < 2:  # noqa: PLR2004 - see above
        return {}, {}
    found: dict[str, UnitBaseline] = {}
    pooled: dict[str, str] = {}
    for code in common:
        rows = np.array([row for row, other in enumerate(codes) if other == code], np.int64)
        different = len({requests[row].text for row in rows.tolist()})
        if code in blind:
            pooled[code] = "the embedder cannot tell its texts apart"
        elif len(rows) < FEWEST_BESIDE or different < FEWEST_DIFFERENT:
            pooled[code] = (
                f"{count(len(rows))} openings, {count(different)} of them different, where "
                f"{FEWEST_BESIDE} and {FEWEST_DIFFERENT} are needed"
            )
        elif len(found) >= MOST_LANGUAGES:
            pooled[code] = f"{MOST_LANGUAGES} languages are more frequent"
        else:
            made = _baseline_in(code, rows, requests, counted, openings, zone)
            if "" in made.references:
                found[code] = made
            else:
                pooled[code] = "its requests cannot be divided for counting"
    return found, pooled


def _baseline_in(  # noqa: PLR0913, PLR0917 - a language, its openings, and all of them
    code: str,
    rows: Counts,
    requests: Sequence[HistoricalRequest],
    counted: CountedRequests,
    openings: UnitBaseline,
    zone: str,
) -> UnitBaseline:
    projection = replace(openings.projection, language=code)
    tested = indicators(projection, openings.clusters)
    names = {one.name for one in tested}
    columns = [j for j, one in enumerate(counted.tested) if one.name in names]
    of_language = counted.of(rows)
    bands, bin_edges = references(
        [requests[row] for row in rows.tolist()],
        replace(
            of_language,
            tested=tested,
            hits=of_language.hits[:, columns],
            trials=of_language.trials[:, columns],
        ),
        projection,
        zone=zone,
    )
    unseen = unseen_topic_rates(of_language.reduced, projection.points, projection.levels)
    return UnitBaseline(
        projection=projection,
        clusters=openings.clusters,
        references=bands,
        bin_edges=bin_edges,
        unseen_topic_rates={
            novelty_above(name): rate
            for name, rate in zip(projection.level_names, unseen, strict=False)
        }
        or openings.unseen_topic_rates,
    )
