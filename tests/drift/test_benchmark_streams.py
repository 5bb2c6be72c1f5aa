from __future__ import annotations

import numpy as np
import pytest

from tidegauge.drift.benchmark_streams import (
    CHANGES,
    Change,
    Shares,
    draw,
    first_alarm,
    matched_level,
    share_out,
)
from tidegauge.drift.errors import DriftError

TOPICS = [f"t{i % 30}" for i in range(3_000)] + ["oos"] * 200
ORIGINALS = np.arange(0, 3_200, 4)


@pytest.fixture
def shares() -> Shares:
    rng = np.random.default_rng(1)
    return share_out(TOPICS, ORIGINALS, out_of_scope="oos", baseline=1_000, rng=rng)


def test_no_text_plays_two_parts(shares: Shares) -> None:
    parts = [shares.baseline, shares.known, shares.held_out, shares.out_of_scope]
    rows = np.concatenate(parts)
    assert len(set(rows.tolist())) == len(rows) == 3_200
    assert [len(part) for part in parts] == [1_000, 1_000, 1_000, 200]
    topics = np.array(TOPICS)
    assert not set(topics[shares.held_out]) & set(topics[shares.baseline])
    assert len(set(topics[shares.known[shares.swelling]])) == 5
    assert set(ORIGINALS[shares.reworded - 3_200]) == set(shares.known) & set(ORIGINALS)


def test_a_stream_without_a_change_ends_where_the_texts_do(shares: Shares) -> None:
    rng = np.random.default_rng(2)
    stream = draw(shares, Change("none"), 900, rng)
    assert len(set(stream.tolist())) == 900
    assert set(stream.tolist()) <= set(shares.known.tolist())
    assert len(draw(shares, Change("none"), 2_500, rng)) == 1_000


def test_texts_repeat_only_once_all_were_drawn(shares: Shares) -> None:
    stream = draw(shares, Change("out_of_scope", 0.2), 2_500, np.random.default_rng(2))
    counts = np.bincount(stream, minlength=3_200)
    assert np.ptp(counts[shares.known]) <= 1
    assert np.ptp(counts[shares.out_of_scope]) <= 1


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_are_as_large_as_they_say(shares: Shares, change: Change) -> None:
    stream = draw(shares, change, 4_000, np.random.default_rng(3))
    if change.kind == "swelling":
        share = np.isin(stream, shares.known[shares.swelling]).mean()
        usual = shares.swelling.mean()
        expected = change.size * usual / (1 + (change.size - 1) * usual)
    else:
        strange = {
            "held_out": shares.held_out,
            "out_of_scope": shares.out_of_scope,
            "reworded": shares.reworded,
        }
        share, expected = np.isin(stream, strange[change.kind]).mean(), change.size
    assert share == pytest.approx(expected, abs=0.03)


def test_too_few_topics_are_refused() -> None:
    with pytest.raises(DriftError, match="needs 20 topics, the file has 3"):
        share_out(
            ["a", "b", "c"],
            ORIGINALS[:0],
            out_of_scope="",
            baseline=10,
            rng=np.random.default_rng(1),
        )


def test_an_alarm_is_at_the_end_of_its_window() -> None:
    path = np.array([0.0, 2.0, 1.0])
    assert first_alarm(path, 2.0, window=10) == 20
    assert first_alarm(path, 3.0, window=10) == float("inf")


def test_the_matched_level_alarms_as_rarely_as_asked() -> None:
    rng = np.random.default_rng(4)
    paths = [np.maximum.accumulate(rng.exponential(size=100)) for _ in range(200)]
    level = matched_level(paths, window=10, mean_events=2_000)
    delays = np.array([first_alarm(path, level, 10) for path in paths])
    watched = np.minimum(delays, 1_000).sum() / np.isfinite(delays).sum()
    assert 2_000 <= watched < 2_200


def test_quiet_streams_that_agree_leave_the_level_just_above_them() -> None:
    paths = [np.zeros(100)] * 5
    assert 0 < matched_level(paths, window=10, mean_events=2_000) < 1e-300


def test_each_change_has_a_key_of_its_own() -> None:
    assert len({change.key for change in CHANGES}) == len(CHANGES)
    assert Change("out_of_scope", 0.1).key == "out_of_scope:0.1"
