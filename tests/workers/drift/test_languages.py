"""Languages with a monitor of their own, from the baseline through the worker to the verdict."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.workers.drift.conftest import WordVectors, request_event
from tests.workers.drift.test_conversations import Watch, extractor_of, measured, sketch_of

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation
from tidegauge.monitoring.catalog import language_monitor, monitors_in
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.findings import State
from tidegauge.usecases.references import drift_references
from tidegauge.usecases.topic_power import noticed_topics

_COMMON = {
    "en": ("my", "how", "what", "please", "have", "to"),
    "de": ("mein", "ist", "wie", "nicht", "und", "wo"),
    "fr": ("mon", "comment", "avec", "pas", "quel", "pour"),
}
_NEW = ("zebra", "quagga", "okapi", "gnu", "ibex", "kudu", "eland", "oryx")


def asked(rng: np.random.Generator, code: str, *, new: bool = False) -> str:
    """Draw a text: a common word of the language, and three of its own things or of new ones."""
    things = _NEW if new else [f"{code}-thing-{number}" for number in range(14)]
    words = rng.choice(things, 3, replace=False)
    return f"{rng.choice(_COMMON[code])} {' '.join(words)} {rng.integers(10**5)}"


def baseline_of(**numbers: int) -> DriftBaseline:
    rng = np.random.default_rng(5)
    texts = [asked(rng, code) for code, number in numbers.items() for _ in range(number)]
    made = fit(
        [HistoricalRequest(text) for text in texts],
        WordVectors().embed(texts),
        embedder="words",
        preparation=Preparation(),
        rng=np.random.default_rng(1),
    )
    return DriftBaseline.from_bytes(made.to_bytes(), "drift-1")


@pytest.fixture(scope="module")
def baseline() -> DriftBaseline:
    return baseline_of(en=1_280, de=400, fr=100)


def events_of(
    rng: np.random.Generator, number: int, *, new_german: float = 0.0
) -> list[RequestEvent]:
    """Return a window of 16 openings in English, 5 in German and perhaps one in French.

    Args:
        rng: Draws them.
        number: Number of the window.
        new_german: Share of those in German that are on a new topic.
    """
    texts = [asked(rng, "en") for _ in range(16)]
    texts += [asked(rng, "de", new=rng.random() < new_german) for _ in range(5)]
    texts += [asked(rng, "fr") for _ in range(rng.binomial(2, 0.625))]
    return [request_event(text, 100 * number + place) for place, text in enumerate(texts)]


def test_a_frequent_language_has_references_of_its_own(baseline: DriftBaseline) -> None:
    assert list(baseline.languages) == ["en", "de"]
    assert baseline.pooled == {
        "fr": "100 openings, 100 of them different, where 200 and 50 are needed"
    }
    german = baseline.languages["de"].references[""]
    assert max(german.trials) == 400
    assert not any(one.family == "languages" for one in german.indicators)
    assert german.baseline == "drift-1"
    assert set(drift_references(baseline)) == {
        "drift.topics",
        "drift.language.en",
        "drift.language.de",
    }
    noticed = noticed_topics(baseline)
    (told,) = [one for one in noticed if one.share == 0.2 and one.monitor == "drift.language.de"]
    assert told.of == "openings in the language or script de"
    # A fifth of those in German is less than a twentieth of all.
    (among_all,) = [one for one in noticed if one.share == 0.05 and one.monitor == "drift.topics"]
    assert told.events < among_all.events


def test_one_language_and_texts_of_unknown_language_have_none() -> None:
    alone = baseline_of(en=400, de=10)
    assert (alone.languages, alone.pooled) == ({}, {})


def test_a_language_that_the_embedder_is_blind_to_is_pooled() -> None:
    rng = np.random.default_rng(5)
    texts = [asked(rng, code) for code in ("en", "de") for _ in range(300)]
    vectors = WordVectors().embed(texts)
    vectors[300:] = vectors[300]
    vectors[300:, 0] += 0.01 * rng.normal(size=300)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = fit(
        [HistoricalRequest(text) for text in texts],
        vectors,
        embedder="words",
        preparation=Preparation(),
        rng=np.random.default_rng(1),
    )
    assert list(made.languages) == ["en"]
    assert made.pooled == {"de": "the embedder cannot tell its texts apart"}


def test_openings_count_for_all_and_for_their_language(baseline: DriftBaseline) -> None:
    rng = np.random.default_rng(0)
    events = events_of(rng, 0)
    sketch = sketch_of(measured(extractor_of(baseline), *events))
    german = measures.in_language("de")
    assert sketch.hits[measures.EMBEDDED] == len(events)
    assert sketch.hits[german + measures.EMBEDDED] == 5
    assert sketch.hits[measures.in_language("en") + measures.EMBEDDED] == 16
    assert sum(n for name, n in sketch.hits.items() if name.startswith(f"{german}length/")) == 5
    assert monitors_in(sketch)[1:] == (language_monitor("de"), language_monitor("en"))
    without = msgspec.structs.replace(
        sketch, hits={name: n for name, n in sketch.hits.items() if not name.startswith("in/")}
    )
    assert len(monitors_in(without)) == 1


def test_a_new_topic_in_one_language_is_found_there_and_sooner(baseline: DriftBaseline) -> None:
    watch, rng = Watch(baseline), np.random.default_rng(3)
    for number in range(40):
        watch.window(number, events_of(rng, number, new_german=0.2))
    of_german, of_all = watch.verdicts("drift.language.de"), watch.verdicts("drift.topics")
    (alarmed, *_) = [one for one in of_german if one.state is State.WARN]
    assert alarmed.sentence.startswith("People ask for something else in the language or script de")
    before = [one for one in of_all if one.time_ms < alarmed.time_ms]
    assert not any(one.state is State.WARN for one in before), "4% of all openings"
    assert all(one.state is not State.WARN for one in watch.verdicts("drift.language.en"))


def test_without_a_change_no_language_alarms(baseline: DriftBaseline) -> None:
    watch, rng = Watch(baseline), np.random.default_rng(4)
    for number in range(60):
        watch.window(number, events_of(rng, number))
    assert {one.state for one in watch.verdicts("drift.language.de")[10:]} == {State.OK}
    assert {one.state for one in watch.verdicts("drift.topics")[10:]} == {State.OK}
