"""Single facts of an answer, read from odd values."""

from __future__ import annotations

import math

import pytest

from tidegauge.capture.answer_fields import index_of


@pytest.mark.parametrize(
    ("value", "index"),
    [(2, 2), (2.0, 2), ("2", 2), (1.5, None), (True, None), (math.inf, None), (math.nan, None)],
)
def test_an_index_is_a_whole_number_or_none(value: object, index: int | None) -> None:
    assert index_of({"index": value}) == index
