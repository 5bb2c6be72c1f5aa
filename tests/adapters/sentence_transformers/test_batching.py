from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidegauge.adapters.sentence_transformers.batching import by_length

LENGTHS = st.lists(st.integers(0, 300), max_size=60)


@given(LENGTHS, st.integers(1, 512))
def test_every_text_is_in_one_batch_and_batches_keep_to_the_budget(
    lengths: list[int], budget: int
) -> None:
    batches = list(by_length(lengths, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        width = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * width <= budget


@given(LENGTHS)
def test_no_text_is_padded_by_a_shorter_neighbours_batch(lengths: list[int]) -> None:
    ranges = [
        (min(lengths[i] for i in batch), max(lengths[i] for i in batch))
        for batch in by_length(lengths, 64)
    ]
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))


def test_a_text_beyond_the_budget_stands_alone() -> None:
    assert list(by_length([3, 900, 4], 16)) == [[0, 2], [1]]
