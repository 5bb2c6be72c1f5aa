from __future__ import annotations

import numpy as np
import pytest

from tidegauge.drift.errors import DriftError
from tidegauge.drift.protocol import (
    CHANGES,
    Change,
    Shares,
    draw,
    first_alarm,
    matched_level,
    share_out,
)

TOPICS = [f"t{i % 30}" for i in range(3_000)] + ["oos"] * 200
REWORDED = np.arange(3_200, 3_300)


@pytest.fixture
def shares() -> Shares:
    return share_out(TOPICS, out_of_scope="oos", baseline=1_000, rng=np.random.default_rng(1))


def test_no_text_plays_two_parts(shares: Shares) -> None:
    parts = [shares.baseline, shares.known, shares.held_out, shares.out_of_scope]
    rows = np.concatenate(parts)
    assert len(set(rows.tolist())) == len(rows) == 3_200
    assert [len(part) for part in parts] == [1_000, 1_000, 1_000, 200]
    topics = np.array(TOPICS)
    assert not set(topics[shares.held_out]) & set(topics[shares.baseline])
    assert len(set(topics[shares.known[shares.swelling]])) == 5


def test_a_stream_without_a_change_repeats_no_text(shares: Shares) -> None:
    rng = np.random.default_rng(2)
    stream = draw(shares, Change("none"), 900, rng, reworded=REWORDED)
    assert len(set(stream.tolist())) == 900
    assert set(stream.tolist()) <= set(shares.known.tolist())
    longer = draw(shares, Change("none"), 2_500, rng, reworded=REWORDED)
    assert np.bincount(longer).max() == 3


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_are_as_large_as_they_say(shares: Shares, change: Change) -> None:
    stream = draw(shares, change, 4_000, np.random.default_rng(3), reworded=REWORDED)
    if change.kind == "swelling":
        share = np.isin(stream, shares.known[shares.swelling]).mean()
        usual = shares.swelling.mean()
        expected = change.size * usual / (1 + (change.size - 1) * usual)
    else:
        strange = {
            "held_out": shares.held_out,
            "out_of_scope": shares.out_of_scope,
            "reworded": REWORDED,
        }
        share, expected = np.isin(stream, strange[change.kind]).mean(), change.size
    assert share == pytest.approx(expected, abs=0.03)


def test_too_few_topics_are_refused() -> None:
    with pytest.raises(DriftError, match="needs 20 topics, the file has 3"):
        share_out(["a", "b", "c"], out_of_scope="", baseline=10, rng=np.random.default_rng(1))


def test_an_alarm_is_at_the_end_of_its_block() -> None:
    path = np.array([0.0, 2.0, 1.0])
    assert first_alarm(path, 2.0, block=10) == 20
    assert first_alarm(path, 3.0, block=10) == float("inf")


def test_the_matched_level_alarms_as_rarely_as_asked() -> None:
    rng = np.random.default_rng(4)
    paths = [np.maximum.accumulate(rng.exponential(size=100)) for _ in range(200)]
    level = matched_level(paths, block=10, mean_events=2_000)
    delays = np.array([first_alarm(path, level, 10) for path in paths])
    watched = np.minimum(delays, 1_000).sum() / np.isfinite(delays).sum()
    assert 2_000 <= watched < 2_200


def test_a_statistic_that_cannot_be_that_rare_never_alarms() -> None:
    paths = [np.zeros(100)] * 5
    assert matched_level(paths, block=10, mean_events=2_000) == float("inf")
