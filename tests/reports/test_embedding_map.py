from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from tidegauge.reports.embedding_map import FEWEST, PlacedRequest, embedding_map, svg

RNG = np.random.default_rng(7)


def placed(
    count: int, centre: float, topic: str = "cards", embedder: str = "e"
) -> list[PlacedRequest]:
    vectors = RNG.normal(0, 0.1, (count, 8))
    vectors[:, 0] += centre
    return [PlacedRequest(embedder, topic, vector.astype("<f2").tobytes()) for vector in vectors]


def test_what_lies_apart_lies_apart_on_the_map() -> None:
    found = embedding_map(placed(60, 0.0), placed(40, 1.0))
    assert found is not None
    assert (found.reference.shape, found.current.shape) == ((60, 2), (40, 2))
    assert found.reference[:, 0].max() < found.current[:, 0].min()
    assert 0.5 < found.explained <= 1.0


def test_the_same_requests_give_the_same_map() -> None:
    one, other = placed(30, 0.0), placed(30, 0.5, "<loans>")
    maps = [embedding_map(one, other) for _ in range(2)]
    first, second = (svg(found) for found in maps if found is not None)
    assert first == second
    assert "&lt;loans&gt;" in first
    assert "<loans>" not in first


def test_names_lie_within_the_map_and_not_on_each_other() -> None:
    topics = ["a long name of a topic", "another long name", "and a third one of some"]
    sides = [[one for name in topics for one in placed(40, 0.0, name)] for _ in range(2)]
    found = embedding_map(*sides)
    assert found is not None
    names = re.findall(r'<text x="(\d+)" y="(\d+)"', svg(found))
    assert len(names) == 3
    heights = sorted(int(y) for _, y in names)
    assert all(below - above >= 14 for above, below in itertools.pairwise(heights))
    assert all(60 < int(x) < 700 for x, _ in names)


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        (placed(60, 0.0), []),
        (placed(60, 0.0), placed(FEWEST - 1, 0.0)),
        (placed(60, 0.0, embedder="other"), placed(60, 0.0)),
        ([PlacedRequest("e", "t", b"")] * 60, [PlacedRequest("e", "t", b"")] * 60),
    ],
)
def test_too_few_vectors_of_one_model_give_no_map(
    reference: list[PlacedRequest], current: list[PlacedRequest]
) -> None:
    assert embedding_map(reference, current) is None


def test_vectors_that_are_all_the_same_are_one_place() -> None:
    same = [PlacedRequest("e", "t", np.ones(8, "<f2").tobytes())] * 30
    found = embedding_map(same, same)
    assert found is not None
    assert found.explained == 0.0
    assert "nan" not in svg(found)
