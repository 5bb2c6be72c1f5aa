from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tidegauge.adapters.sentence_transformers.batching import by_length

LENGTHS = st.lists(st.integers(0, 300), max_size=60)


@given(LENGTHS, st.integers(1, 512), st.integers(0, 64))
def test_every_text_is_in_one_batch_and_batches_keep_to_their_limits(
    lengths: list[int], most_tokens: int, most_padding: int
) -> None:
    batches = list(by_length(lengths, most_tokens=most_tokens, most_padding=most_padding))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        widths = [lengths[index] for index in batch]
        padded = len(batch) * max(widths)
        assert len(batch) == 1 or padded <= most_tokens
        assert padded - sum(widths) <= most_padding


@given(LENGTHS)
def test_no_text_is_padded_by_a_shorter_neighbours_batch(lengths: list[int]) -> None:
    ranges = [
        (min(lengths[i] for i in batch), max(lengths[i] for i in batch))
        for batch in by_length(lengths, most_tokens=64, most_padding=24)
    ]
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))


def test_a_text_beyond_the_limit_stands_alone() -> None:
    assert list(by_length([3, 900, 4], most_tokens=16, most_padding=900)) == [[0, 2], [1]]


def test_texts_of_one_length_fill_a_batch() -> None:
    assert list(by_length([4] * 5, most_tokens=16, most_padding=0)) == [[0, 1, 2, 3], [4]]


def test_what_would_be_mostly_padding_is_computed_apart() -> None:
    assert list(by_length([5, 60, 6], most_tokens=512, most_padding=24)) == [[0, 2], [1]]
