from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from tidegauge.drift.baseline import DriftBaseline, fingerprint
from tidegauge.drift.errors import BaselineDocumentError, VectorsError
from tidegauge.drift.power import detection_delay
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.projection import project


@pytest.fixture
def baseline(world: Any, build: Any) -> DriftBaseline:  # noqa: ANN401 - fixtures
    made = build(*world.ask(1_000, range(6)))
    assert isinstance(made, DriftBaseline)
    return made


def test_a_document_gives_the_same_baseline_and_bytes_again(
    baseline: DriftBaseline,
    world: Any,  # noqa: ANN401 - a fixture
) -> None:
    read = DriftBaseline.from_bytes(baseline.to_bytes(), "drift-1")
    assert read.to_bytes() == baseline.to_bytes()
    assert {reference.baseline for reference in read.openings.references.values()} == {"drift-1"}
    texts, vectors = world.ask(200, range(8))
    before, after = (
        project(baseline.openings.projection, texts, vectors),
        project(read.openings.projection, texts, vectors),
    )
    np.testing.assert_array_equal(before.cluster, after.cluster)
    np.testing.assert_array_equal(before.novelty, after.novelty)


@pytest.mark.parametrize("document", [b"", b"junk", b"\x80", b"{}"])
def test_bytes_that_are_no_baseline_are_refused(document: bytes) -> None:
    with pytest.raises(BaselineDocumentError, match=r"drift-9.*build it again"):
        DriftBaseline.from_bytes(document, "drift-9")


def test_a_baseline_of_another_method_is_refused(baseline: DriftBaseline) -> None:
    plain = msgspec.msgpack.decode(baseline.to_bytes())
    other = msgspec.msgpack.encode(plain | {"method": "drift/99"})
    with pytest.raises(BaselineDocumentError, match="made by drift/99"):
        DriftBaseline.from_bytes(other, "drift-1")


def test_a_baseline_from_before_units_is_refused(baseline: DriftBaseline) -> None:
    plain = msgspec.msgpack.decode(baseline.to_bytes())
    flat = {**plain, **plain.pop("units")["opening"]}
    older = msgspec.msgpack.encode(flat | {"form": 3, "method": "drift/4"})
    with pytest.raises(BaselineDocumentError, match=r"made by drift/4 in form 3.*build it again"):
        DriftBaseline.from_bytes(older, "drift-1")


def test_spacings_that_allow_no_bets_are_refused(baseline: DriftBaseline) -> None:
    plain = msgspec.msgpack.decode(baseline.to_bytes())
    plain["units"]["opening"]["references"][""]["polya_urns"][0]["spacings"][1] = -1.0
    with pytest.raises(BaselineDocumentError, match=r"holds -1.0 spacings"):
        DriftBaseline.from_bytes(msgspec.msgpack.encode(plain), "drift-1")


def test_what_makes_a_baseline_is_in_its_fingerprint(baseline: DriftBaseline) -> None:
    assert baseline.fingerprint == fingerprint("e1", Preparation())
    assert fingerprint("e2", Preparation()) != baseline.fingerprint
    assert fingerprint("e1", Preparation(selection="system")) != baseline.fingerprint


def test_vectors_of_another_dimension_are_refused(baseline: DriftBaseline) -> None:
    with pytest.raises(VectorsError, match="vectors of 32 numbers"):
        project(baseline.openings.projection, ["a"], np.zeros((1, 7), np.float32))


def test_larger_topics_are_noticed_sooner(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    baseline = build(*world.ask(400, range(8)))  # fewer clusters than topics
    widest = baseline.openings.references[""]
    delays = [
        detection_delay(widest, baseline.openings.unseen_topic_rates, s)
        for s in (0.05, 0.1, 0.2, 0.4)
    ]
    assert delays == sorted(delays, reverse=True)
    assert 5 < delays[-1] < 300
    assert detection_delay(widest, baseline.openings.unseen_topic_rates, 1e-6) == float("inf")


def test_the_summary_is_in_words_for_the_manifest(baseline: DriftBaseline) -> None:
    summary = baseline.summary()
    assert (summary["events"], summary["season"]) == ("1000", "none")
    assert all(isinstance(value, str) for value in summary.values())
