"""The engine's promises, each as a test that can fail."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from tidegauge.detection import e_detector
from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe
from tidegauge.detection.errors import EngineError, EvidenceMismatchError
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.detection.reference import Reference, build
from tidegauge.schemas import Segment

SEGMENT = Segment(model="m")
WINDOW = 10.0
N = 40
DAY = 86_400.0


def indicators(count: int) -> list[Indicator]:
    return [
        Indicator(
            name=f"i/{j}",
            title=f"indicator {j}",
            family="f",
            counter=Hits(f"i/{j}"),
        )
        for j in range(count)
    ]


def reference(hits: Sequence[int], trials: int, *, alpha: float = 0.05) -> Reference:
    """Return the bands of one window of baseline."""
    return build(
        baseline="b1",
        segment=SEGMENT,
        indicators=indicators(len(hits)),
        hits=np.array([hits]),
        trials=np.full((1, len(hits)), trials),
        alpha=alpha,
    )


def plug_in(of: Reference) -> Reference:
    """Return the wrong variant: the estimated rates taken for the truth."""
    return msgspec.structs.replace(of, low=of.rate, high=of.rate)


def with_band(low: float, high: float, *, baseline: str = "b1") -> Reference:
    """Return a reference of one indicator with the band given."""
    made = reference([50], 1000)
    return msgspec.structs.replace(made, low=(low,), high=(high,), baseline=baseline)


def gains(low: float, high: float) -> NDArray[np.float64]:
    """Return L for each possible count of hits, shape (N + 1, G)."""
    bets = place_bets(with_band(low, high))
    zero = no_evidence(bets)
    return np.stack(
        [
            np.exp(observe(bets, zero, np.array([x]), np.array([N]), duration_seconds=1.0).log_m[0])
            for x in range(N + 1)
        ]
    )


def expected_gain(low: float, high: float, rate: float) -> NDArray[np.float64]:
    return np.asarray(binom.pmf(np.arange(N + 1), N, rate) @ gains(low, high))


@given(
    low=st.floats(0.001, 0.5),
    width=st.floats(0, 0.4),
    inside=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_no_bet_gains_inside_the_band(low: float, width: float, inside: float) -> None:
    high = low + width
    assert expected_gain(low, high, low + inside * width).max() <= 1 + 1e-9


def test_bets_break_even_at_their_edge_of_the_band() -> None:
    rises, falls = slice(0, 5), slice(5, 10)
    np.testing.assert_allclose(expected_gain(0.04, 0.06, 0.06)[rises], 1)
    np.testing.assert_allclose(expected_gain(0.04, 0.06, 0.04)[falls], 1)


def test_a_bet_gains_outside_the_band() -> None:
    assert expected_gain(0.04, 0.06, 0.15).max() > 2
    assert expected_gain(0.2, 0.3, 0.05).max() > 2


def follow(made: Reference, counts: NDArray[np.int64], trials: int) -> NDArray[np.float64]:
    """Return the log statistic after each window; counts of shape (windows, J)."""
    bets = place_bets(made)
    evidence, n = no_evidence(bets), np.full(counts.shape[1], trials)
    path = []
    for hits in counts:
        evidence = observe(bets, evidence, hits, n, duration_seconds=WINDOW)
        path.append(judge(bets, evidence, log_threshold=0.0, most=0).log_statistic)
    return np.array(path)


def alarm_shares(
    rng: np.random.Generator, *, streams: int, events: int, windows: int, plugged_in: bool
) -> dict[float, float]:
    """Return, for each promised chance of an alarm, the share of null streams that alarmed.

    Every stream has a baseline of its own, of so many events.
    """
    rates = np.array([0.001, 0.01, 0.01, 0.02, 0.05, 0.05, 0.1, 0.2, 0.3, 0.5])
    peaks = []
    for _ in range(streams):
        made = reference(list(rng.binomial(events, rates)), events)
        used = plug_in(made) if plugged_in else made
        used = msgspec.structs.replace(used, low=tuple(max(x, 1e-9) for x in used.low))
        used = msgspec.structs.replace(used, high=tuple(max(x, 1e-9) for x in used.high))
        peaks.append(follow(used, rng.binomial(N, rates, (windows, len(rates))), N).max())
    span = windows * WINDOW
    promises = (0.1, 0.3, 0.9)
    return {p: float(np.mean(np.array(peaks) >= np.log(span / p))) for p in promises}


def within(shares: dict[float, float], streams: int) -> bool:
    return all(
        share <= promised + 3 * np.sqrt(promised * (1 - promised) / streams)
        for promised, share in shares.items()
    )


def test_null_streams_alarm_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(11)
    shares = alarm_shares(rng, streams=150, events=500, windows=150, plugged_in=False)
    assert within(shares, 150), shares


def test_plugged_in_rates_break_the_promise() -> None:
    rng = np.random.default_rng(11)
    shares = alarm_shares(rng, streams=150, events=500, windows=150, plugged_in=True)
    assert not within(shares, 150), shares


@pytest.mark.stats
@pytest.mark.timeout(600)
@pytest.mark.parametrize("events", [500, 10_000])
def test_a_thousand_null_streams_keep_three_budgets(events: int) -> None:
    rng = np.random.default_rng(events)
    shares = alarm_shares(rng, streams=1_000, events=events, windows=400, plugged_in=False)
    assert within(shares, 1_000), shares


@pytest.mark.stats
@pytest.mark.timeout(600)
@pytest.mark.parametrize("events", [500, 10_000])
def test_a_thousand_null_streams_with_plugged_in_rates_do_not(events: int) -> None:
    rng = np.random.default_rng(events)
    shares = alarm_shares(rng, streams=1_000, events=events, windows=400, plugged_in=True)
    assert not within(shares, 1_000), shares


@given(
    st.lists(st.tuples(st.integers(0, N), st.integers(0, N)), min_size=1, max_size=12),
    st.randoms(),
)
@settings(deadline=None)
def test_how_events_are_spread_over_workers_changes_nothing(
    windows: list[tuple[int, int]], random: object
) -> None:
    rng = np.random.default_rng(int(getattr(random, "randrange")(2**32)))  # noqa: B009
    bets = place_bets(reference([40, 200], 1_000))
    whole = spread = no_evidence(bets)
    for pair in windows:
        hits, n = np.array(pair), np.array([N, N])
        whole = observe(bets, whole, hits, n, duration_seconds=WINDOW)
        workers = rng.multinomial(hits, np.full(3, 1 / 3))
        others = rng.multinomial(n - hits, np.full(3, 1 / 3))
        order = rng.permutation(3)
        merged = np.sum([workers[:, w] for w in order], axis=0)
        asked = np.sum([(workers + others)[:, w] for w in order], axis=0)
        spread = observe(bets, spread, merged, asked, duration_seconds=WINDOW)
    np.testing.assert_array_equal(whole.log_m, spread.log_m)


def test_two_half_bets_in_one_window_do_not_depend_on_the_order_of_events() -> None:
    """One window of all events gives the product of its events' gains, whatever their order."""
    bets = place_bets(with_band(0.05, 0.1))
    once = observe(
        bets, no_evidence(bets), np.array([7]), np.array([N]), duration_seconds=WINDOW
    ).log_m
    for seed in range(5):
        order = np.random.default_rng(seed).permutation([1] * 7 + [0] * (N - 7))
        logs = np.zeros_like(once)
        for hit in order:
            one = observe(
                bets, no_evidence(bets), np.array([hit]), np.array([1]), duration_seconds=1.0
            )
            logs += one.log_m
        np.testing.assert_allclose(once - np.log(WINDOW), logs, atol=1e-12)


@given(st.lists(st.integers(0, N), min_size=1, max_size=20), st.integers(0, 20))
@settings(deadline=None)
def test_a_snapshot_in_between_changes_not_a_bit(counts: list[int], cut: int) -> None:
    bets = place_bets(with_band(0.04, 0.06))
    straight = resumed = no_evidence(bets)
    for index, x in enumerate(counts):
        hits, n = np.array([x]), np.array([N])
        straight = observe(bets, straight, hits, n, duration_seconds=WINDOW)
        if index == cut:
            resumed = e_detector.unpack(e_detector.pack(resumed))
        resumed = observe(bets, resumed, hits, n, duration_seconds=WINDOW)
        judge(bets, resumed, log_threshold=1.0)
    assert e_detector.pack(straight) == e_detector.pack(resumed)


def test_a_shift_is_dated_and_named() -> None:
    bets = place_bets(reference([1_000, 500], 10_000))
    evidence = no_evidence(bets)
    for window in range(60):
        hits = np.array([4, 2 if window < 40 else 12])
        evidence = observe(bets, evidence, hits, np.array([N, N]), duration_seconds=WINDOW)
    decision = judge(bets, evidence, log_threshold=np.log(30 * DAY))
    first = decision.parts[0]
    assert decision.alarm
    assert (first.indicator, first.rises) == (1, True)
    assert first.seconds_ago == pytest.approx(20 * WINDOW, abs=2 * WINDOW)
    assert first.hits / first.trials == pytest.approx(12 / N, abs=0.05)
    assert first.share > 0.99


def test_parts_are_at_most_what_was_asked_and_their_shares_at_most_one() -> None:
    bets = place_bets(reference([100] * 8, 1_000))
    evidence = observe(
        bets, no_evidence(bets), np.full(8, 9), np.full(8, N), duration_seconds=WINDOW
    )
    decision = judge(bets, evidence, log_threshold=1.0, most=3)
    assert len(decision.parts) == 3
    assert sum(part.share for part in decision.parts) == pytest.approx(3 / 8)
    unnamed = judge(bets, evidence, log_threshold=1.0, most=0)
    assert (unnamed.log_statistic, unnamed.parts) == (decision.log_statistic, ())


def test_a_band_that_is_open_below_bets_on_rises_only() -> None:
    bets = place_bets(reference([0, 50], 1_000))
    weights = np.exp(bets.log_weights)
    np.testing.assert_allclose(weights.sum(axis=1), 0.5)
    np.testing.assert_array_equal(weights[0, 5:], 0)
    np.testing.assert_allclose(weights[1], 0.05)


def test_before_the_first_window_there_is_nothing_to_say() -> None:
    bets = place_bets(with_band(0.04, 0.06))
    decision = judge(bets, no_evidence(bets), log_threshold=1.0)
    assert (decision.alarm, decision.parts) == (False, ())


def test_an_empty_window_lets_time_pass_and_keeps_the_evidence() -> None:
    bets = place_bets(with_band(0.04, 0.06))
    before = observe(bets, no_evidence(bets), np.array([9]), np.array([N]), duration_seconds=WINDOW)
    after = observe(bets, before, np.array([0]), np.array([0]), duration_seconds=WINDOW)
    assert after.elapsed_seconds == 2 * WINDOW
    np.testing.assert_allclose(np.exp(after.log_m), np.exp(before.log_m) + WINDOW)


@pytest.mark.parametrize("shifted", [0.1, 0.2])
def test_the_delay_is_near_what_information_allows(shifted: float) -> None:
    """A matched shift is found within 1.3 times log(A / (w D)) / KL(changed || edge)."""
    rng = np.random.default_rng(3)
    made = reference([500, 500], 10_000)
    ratio = 2.5
    rate = made.high[0] * ratio if shifted > 0.1 else made.high[0] * 1.7
    weight = made.weights[0] / 10
    kl = rate * np.log(rate / made.high[0]) + (1 - rate) * np.log((1 - rate) / (1 - made.high[0]))
    threshold = np.log(30 * DAY)
    bound = 1.3 * (threshold - np.log(weight * WINDOW)) / kl
    delays = []
    for _ in range(40):
        counts = np.column_stack([rng.binomial(N, rate, 80), rng.binomial(N, 0.05, 80)])
        alarms = follow(made, counts, N) >= threshold
        assert alarms.any()
        delays.append((int(np.argmax(alarms)) + 1) * N)
    assert np.mean(delays) <= bound + N  # a window is the finest step


def test_evidence_of_another_baseline_is_refused() -> None:
    old = no_evidence(place_bets(with_band(0.04, 0.06, baseline="old")))
    bets = place_bets(with_band(0.04, 0.06))
    with pytest.raises(EvidenceMismatchError, match=r"old.*active one is 'b1'.*start from"):
        observe(bets, old, np.array([1]), np.array([N]), duration_seconds=WINDOW)
    with pytest.raises(EvidenceMismatchError):
        judge(bets, old, log_threshold=1.0)


def test_counts_that_do_not_fit_are_refused() -> None:
    bets = place_bets(with_band(0.04, 0.06))
    with pytest.raises(EngineError, match="1 indicators"):
        observe(bets, no_evidence(bets), np.array([1, 2]), np.array([N, N]), duration_seconds=1.0)


@pytest.mark.parametrize("data", [b"", b"junk", b"\x80"])
def test_bytes_that_are_no_evidence_are_refused(data: bytes) -> None:
    with pytest.raises(EngineError, match="no evidence"):
        e_detector.unpack(data)


def test_evidence_of_a_newer_version_is_refused() -> None:
    packed = msgspec.msgpack.decode(e_detector.pack(no_evidence(place_bets(with_band(0.1, 0.2)))))
    with pytest.raises(EngineError, match="version 9"):
        e_detector.unpack(msgspec.msgpack.encode(packed | {"version": 9}))


def test_the_strongest_parts_of_each_family_are_named() -> None:
    bets = place_bets(reference([20] * 7, 1_000))
    families = ["novelty", "novelty", "novelty", "clusters", "lengths", "clusters", "clusters"]
    evidence = no_evidence(bets)
    for _ in range(20):
        hits = np.array([30, 28, 26, 12, 1, 10, 8])
        evidence = observe(bets, evidence, hits, np.full(7, N), duration_seconds=WINDOW)
    named = judge(bets, evidence, log_threshold=10.0, most=2, families=families)
    assert [part.indicator for part in named.parts] == [0, 1, 3, 5, 4]
    plain = judge(bets, evidence, log_threshold=10.0, most=2)
    assert [part.indicator for part in plain.parts] == [0, 1]
    assert named.log_statistic == plain.log_statistic
