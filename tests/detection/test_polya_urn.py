from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detection import polya_urn
from tidegauge.detection.bets import Bets, place_bets
from tidegauge.detection.e_detector import Evidence, judge, no_evidence, observe, pack, unpack
from tidegauge.detection.errors import PolyaUrnError
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.detection.polya_urn import (
    REFRESH_EVENTS,
    PolyaUrn,
    PolyaUrnState,
    count_cells,
    fluctuation,
    initial_state,
    log_statistic,
    observe_cells,
    ready,
    strongest,
)
from tidegauge.detection.reference import Reference, build
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch, SourceRange

WINDOW_SECONDS, EVENTS = 10.0, 20
SIZE = 60
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def urn(spacings: Floats, **changed: Any) -> PolyaUrn:  # noqa: ANN401 - any field
    made = PolyaUrn(
        labels=tuple(f"c{c}" for c in range(len(spacings))),
        owners=tuple(c // 10 for c in range(len(spacings))),
        spacings=tuple(spacings.tolist()),
        mixture_weights=(0.5, 0.9),
        share=0.5,
    )
    return msgspec.structs.replace(made, **changed)


def random_urn(rng: np.random.Generator, *, spacings: int = 12) -> tuple[PolyaUrn, Floats]:
    """Return an urn and the cells' true rates, by their law where cells hold so many spacings."""
    held = np.full(SIZE, float(spacings))
    return urn(held), rng.dirichlet(held)


def follow(made: PolyaUrn, windows: Counts) -> tuple[PolyaUrnState, Floats]:
    """Return the last state and the log statistic after each window, with the whole budget."""
    bets = ready(msgspec.structs.replace(made, share=1.0))
    state, path = initial_state(bets), []
    for index, hits in enumerate(windows):
        state = observe_cells(
            bets,
            state,
            hits,
            duration_seconds=WINDOW_SECONDS,
            elapsed_seconds=index * WINDOW_SECONDS,
        )
        path.append(log_statistic(bets, state))
    return state, np.array(path)


def shifted(rates: Floats) -> Floats:
    """Return rates of which one cell in four has doubled."""
    found = rates.copy()
    found[::4] *= 2
    return np.asarray(found / found.sum())


def test_a_change_spread_over_many_cells_is_found() -> None:
    rng = np.random.default_rng(1)
    made, rates = random_urn(rng, spacings=100)
    _, path = follow(made, rng.multinomial(EVENTS, shifted(rates), 600))
    assert path[-1] > np.log(30 * 86_400)


def alarm_share(*, streams: int, windows: int, plugged_in: bool) -> dict[float, float]:
    rng = np.random.default_rng(2)
    peaks = []
    for _ in range(streams):
        made, rates = random_urn(rng)
        if plugged_in:  # the wrong variant: the cells' shares taken for their rates
            made = urn(1e9 * np.array(made.spacings))
        peaks.append(follow(made, rng.multinomial(EVENTS, rates, windows))[1].max())
    span = windows * WINDOW_SECONDS
    return {p: float(np.mean(np.array(peaks) >= np.log(span / p))) for p in (0.1, 0.3)}


def within(shares: dict[float, float], streams: int) -> bool:
    return all(s <= p + 3 * np.sqrt(p * (1 - p) / streams) for p, s in shares.items())


def test_null_streams_alarm_no_more_often_than_promised() -> None:
    assert within(alarm_share(streams=60, windows=150, plugged_in=False), 60)


@pytest.mark.stats
@pytest.mark.timeout(600)
def test_a_thousand_null_streams_keep_the_promise_and_plugged_in_rates_do_not() -> None:
    assert within(alarm_share(streams=1_000, windows=200, plugged_in=False), 1_000)
    assert not within(alarm_share(streams=100, windows=200, plugged_in=True), 100)


@pytest.mark.parametrize("target", [(), (0.1, 0.2, 0.7)])
def test_a_windows_gain_has_mean_one_exactly(target: tuple[float, ...]) -> None:
    """Over all outcomes of a window of events drawn from the urn, whatever came before."""
    made = urn(np.array([2.5, 4.0, 1.5]), target=target)
    bets = ready(made)
    before = initial_state(bets)
    for hits in np.array([[70, 10, 30], [5, 1, 40]]):
        before = observe_cells(bets, before, hits, duration_seconds=1.0, elapsed_seconds=0.0)
    assert target or not np.allclose(before.growth, 1)
    mean = np.zeros(len(made.mixture_weights))
    for outcome in product(range(3), repeat=4):
        held, chance = bets.spacings + before.seen, 1.0
        for cell in outcome:
            chance *= held[cell] / held.sum()
            held = held + np.eye(3)[cell]
        hits = np.bincount(outcome, minlength=3)
        mean += chance * np.exp(polya_urn._log_gains(bets, before, hits))
    np.testing.assert_allclose(mean, 1.0, rtol=1e-9)


def test_nothing_is_bet_before_enough_was_seen() -> None:
    few = np.eye(SIZE, dtype=np.int64)[3] * (REFRESH_EVENTS - 1)
    made, _ = random_urn(np.random.default_rng(5))
    _, path = follow(made, np.stack([few, few]))
    np.testing.assert_allclose(path, np.log([WINDOW_SECONDS, 2 * WINDOW_SECONDS]))


def test_growth_follows_what_grew() -> None:
    usual = np.full(SIZE, 1 / SIZE)
    seen = 10 * SIZE * usual
    seen[:6] *= 4
    found = polya_urn._growth(seen, usual)
    assert (found[:6] > 2.5).all()
    assert (found[6:] < 1).all()


def test_rates_that_fluctuate_by_themselves_cost_what_they_would_gain() -> None:
    rng = np.random.default_rng(6)
    made, rates = random_urn(rng, spacings=200)
    calm = rng.multinomial(300, rates, 60)
    swings = rates * rng.lognormal(0, 0.5, (6, SIZE)).repeat(10, axis=0)
    wild = np.stack([rng.multinomial(300, p / p.sum()) for p in swings])
    tolerance = fluctuation(made.spacings, wild)
    assert fluctuation(made.spacings, calm) < 0.15 < tolerance
    allowed = msgspec.structs.replace(made, tolerance=tolerance)
    assert follow(allowed, wild)[1].max() < np.log(1e5) < follow(made, wild)[1].max()


def reference(made: PolyaUrn, counts: Counts) -> Reference:
    groups = [f"g{g}" for g in range(SIZE // 10)]
    built = build(
        baseline="b1",
        segment=Segment(model="m"),
        indicators=[Indicator(name=g, title=g, family="clusters", counter=Hits(g)) for g in groups],
        hits=counts.reshape(-1, 10).sum(axis=1)[None],
        trials=np.full((1, len(groups)), counts.sum()),
    )
    return msgspec.structs.replace(built, polya_urns=(made,))


def after(bets: Bets, evidence: Evidence, hits: Counts) -> Evidence:
    """Observe one window, divided into the same cells for every urn."""
    return observe(
        bets,
        evidence,
        hits.reshape(-1, 10).sum(axis=1),
        np.full(SIZE // 10, EVENTS),
        duration_seconds=WINDOW_SECONDS,
        cells=[hits for _ in bets.polya_urns],
    )


def test_in_a_detector_they_share_the_budget_and_name_who_grew() -> None:
    rng = np.random.default_rng(7)
    made, usual = random_urn(rng, spacings=100)
    rates = usual.copy()
    rates[20:25] *= 3
    rates /= rates.sum()
    held = reference(made, rng.multinomial(100 * SIZE, usual))
    bets, plain = place_bets(held, polya_urns=True), place_bets(held)
    assert plain.polya_urns == ()
    np.testing.assert_allclose(bets.log_weights, plain.log_weights + np.log(0.5))
    evidence = no_evidence(bets)
    for window in range(200):
        hits = rng.multinomial(EVENTS, rates if window >= 50 else usual)
        kept = unpack(pack(evidence)) if window % 7 == 0 else evidence
        evidence = after(bets, kept, hits)
    decision = judge(bets, evidence, log_threshold=np.log(30 * 86_400))
    assert decision.alarm
    assert decision.parts[0].indicator == 2
    assert decision.parts[0].rises
    assert sum(part.share for part in decision.parts) <= 1 + 1e-9


def test_the_largest_statistic_counts_and_not_their_sum() -> None:
    rng = np.random.default_rng(11)
    made, usual = random_urn(rng)
    held = reference(made, rng.multinomial(12 * SIZE, usual))
    twice = msgspec.structs.replace(
        held, polya_urns=tuple(msgspec.structs.replace(made, share=0.25) for _ in range(2))
    )
    bets = place_bets(twice, polya_urns=True)
    evidence = no_evidence(bets)
    for hits in rng.multinomial(EVENTS, usual, 20):
        evidence = after(bets, evidence, hits)
    each = log_statistic(bets.polya_urns[0], evidence.polya_urns[0])
    bands = float(np.logaddexp.reduce(bets.log_weights + evidence.log_m, axis=None))
    found = judge(bets, evidence, log_threshold=1.0).log_statistic
    assert found == max(each, bands)


def test_a_snapshot_keeps_every_bit() -> None:
    rng = np.random.default_rng(8)
    made, usual = random_urn(rng)
    bets = place_bets(reference(made, rng.multinomial(12 * SIZE, usual)), polya_urns=True)
    evidence = no_evidence(bets)
    for hits in rng.multinomial(EVENTS, usual, 10):
        evidence = after(bets, evidence, hits)
    assert pack(unpack(pack(evidence))) == pack(evidence)
    assert unpack(pack(replace(evidence, polya_urns=()))).polya_urns == ()


def test_the_best_bet_says_whose_cells_grew_and_since_when() -> None:
    made, usual = random_urn(np.random.default_rng(9), spacings=50)
    grown = usual.copy()
    grown[30:36] *= 5
    rng = np.random.default_rng(10)
    windows = [
        *rng.multinomial(EVENTS, usual, 60),
        *rng.multinomial(EVENTS, grown / grown.sum(), 60),
    ]
    state, _ = follow(made, np.array(windows))
    owner, hits, trials, since = strongest(ready(made), state)
    assert owner == 3
    assert 0 < hits < trials <= 120 * EVENTS
    assert since <= 80 * WINDOW_SECONDS


def test_cells_are_counted_in_a_sketchs_totals() -> None:
    made, _ = random_urn(np.random.default_rng(9))
    sketch = Sketch(
        kind="drift",
        producer_id="p",
        sequence=1,
        segment=Segment(model="m"),
        window_start_ms=0,
        window_ms=10_000,
        source=SourceRange(topic="t", partition=0, first_offset=0, last_offset=1),
        events=3,
        totals={polya_urn.TOTAL: {"c0": 2, "c7": 1, "unknown": 5}},
    )
    found = count_cells(ready(made), sketch)
    assert (found[0], found[7], found.sum()) == (2, 1, 3)


@pytest.mark.parametrize("spacing", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cell_without_a_positive_spacing_is_refused(spacing: float) -> None:
    with pytest.raises(PolyaUrnError, match=r"cell c1 holds .* spacings.*build the baseline again"):
        urn(np.array([3.0, spacing]))


def test_a_target_that_is_no_number_is_refused() -> None:
    with pytest.raises(PolyaUrnError, match="target"):
        urn(np.ones(2), target=(0.5, float("nan")))


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_statistic_that_is_no_number_hides_no_other(broken: float) -> None:
    rng = np.random.default_rng(9)
    made, usual = random_urn(rng, spacings=100)
    bets = place_bets(reference(made, rng.multinomial(100 * SIZE, usual)), polya_urns=True)
    sound = after(bets, no_evidence(bets), rng.multinomial(EVENTS, usual))
    plain = judge(bets, sound, log_threshold=1.0)
    (state,) = sound.polya_urns
    no_urn = replace(sound, polya_urns=(replace(state, log_m=np.full(2, broken)),))
    found = judge(bets, no_urn, log_threshold=1.0)
    assert (plain.not_finite, found.not_finite) == (0, 1)
    log_bands = np.logaddexp.reduce((bets.log_weights + sound.log_m).ravel())
    assert found.log_statistic == pytest.approx(log_bands)
    assert sum(part.share for part in found.parts) <= 1 + 1e-9
    no_band = replace(
        sound, log_m=np.where(np.arange(SIZE // 10)[:, None] == 2, broken, sound.log_m)
    )
    found = judge(bets, no_band, log_threshold=1.0)
    assert found.not_finite == 1
    assert np.isfinite(found.log_statistic)
    assert all(np.isfinite(part.share) for part in found.parts)
    assert 2 not in {part.indicator for part in found.parts[1:]}
    nothing = replace(no_urn, log_m=np.full_like(sound.log_m, broken))
    found = judge(bets, nothing, log_threshold=1.0)
    assert (found.parts, found.not_finite) == ((), 1 + SIZE // 10)
