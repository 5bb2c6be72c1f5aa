from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.engine import adaptive
from tidegauge.engine.adaptive import (
    REFRESH_EVENTS,
    STAKES,
    Cells,
    advance,
    fluctuation,
    no_memory,
    ready,
)
from tidegauge.engine.detector import judge, no_evidence, observe, pack, place_bets, unpack
from tidegauge.engine.indicators import Hits, Indicator
from tidegauge.engine.reference import Reference, build
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch, SourceRange

BLOCK_SECONDS, EVENTS = 10.0, 20
SIZE = 60
RATES = np.random.default_rng(0).dirichlet(np.full(SIZE, 2.0))
Counts = NDArray[np.int64]


def cells(rng: np.random.Generator, *, events: int = 6_000) -> Cells:
    prior = rng.multinomial(events, RATES) + 0.5
    return Cells(
        divisions=1,
        labels=tuple(f"c{c}" for c in range(SIZE)),
        owners=tuple(c // 10 for c in range(SIZE)),
        prior=tuple(prior / prior.sum()),
        counts=tuple(rng.multinomial(events, RATES).tolist()),
        share=0.5,
        alpha=0.025,
    )


def follow(made: Cells, blocks: Counts) -> tuple[adaptive.Memory, NDArray[np.float64]]:
    """Return the last state and the log of the mean statistic after each block."""
    pricing = ready(made)
    memory, path = no_memory(pricing), []
    for index, hits in enumerate(blocks):
        memory = advance(
            pricing,
            memory,
            hits.reshape(made.divisions, -1),
            duration_seconds=BLOCK_SECONDS,
            elapsed_seconds=index * BLOCK_SECONDS,
        )
        path.append(np.logaddexp.reduce(memory.log_m, axis=None) - np.log(memory.log_m.size))
    return memory, np.array(path)


def shifted() -> NDArray[np.float64]:
    """Return rates of which one cell in four has grown by half."""
    rates = RATES.copy()
    rates[::4] *= 1.5
    return np.asarray(rates / rates.sum())


def test_a_change_spread_over_many_cells_is_found() -> None:
    rng = np.random.default_rng(1)
    made = cells(rng)
    _, path = follow(made, rng.multinomial(EVENTS, shifted(), 500))
    assert path[-1] > np.log(30 * 86_400)


def alarm_share(*, streams: int, blocks: int, plugged_in: bool) -> dict[float, float]:
    rng = np.random.default_rng(2)
    peaks = []
    for _ in range(streams):
        made = cells(rng, events=800)
        if plugged_in:  # the wrong variant: the baseline's mean price taken for the truth
            made = msgspec.structs.replace(made, counts=tuple(10**9 * c for c in made.counts))
        peaks.append(follow(made, rng.multinomial(EVENTS, RATES, blocks))[1].max())
    span = blocks * BLOCK_SECONDS
    return {p: float(np.mean(np.array(peaks) >= np.log(span / p))) for p in (0.1, 0.3)}


def within(shares: dict[float, float], streams: int) -> bool:
    return all(s <= p + 3 * np.sqrt(p * (1 - p) / streams) for p, s in shares.items())


def test_null_streams_alarm_no_more_often_than_promised() -> None:
    assert within(alarm_share(streams=40, blocks=150, plugged_in=False), 40)


@pytest.mark.stats
@pytest.mark.timeout(600)
def test_many_null_streams_keep_the_promise_and_a_plugged_in_price_does_not() -> None:
    assert within(alarm_share(streams=400, blocks=300, plugged_in=False), 400)
    assert not within(alarm_share(streams=400, blocks=300, plugged_in=True), 400)


def test_the_bound_of_a_mean_price_holds_as_often_as_promised() -> None:
    rng = np.random.default_rng(3)
    prices = np.minimum(0.25 + rng.gamma(1.0, 0.75, SIZE), 8.0)
    truth = float(RATES @ prices)
    missed = 0
    for _ in range(2_000):
        counts = rng.multinomial(500, RATES)[None]
        (bound,) = adaptive._upper(prices[None], RATES[None], counts, log_level=-np.log(0.05))
        missed += bound < truth
        assert bound < 1.5 * truth
    assert missed / 2_000 <= 0.05


def test_one_event_gains_nothing_on_average_while_the_bound_holds() -> None:
    """Exact over all outcomes of one event; events of a block multiply."""
    rng = np.random.default_rng(4)
    memory, _ = follow(cells(rng), rng.multinomial(EVENTS, shifted(), 30))
    assert memory.refreshes == 30 * EVENTS // REFRESH_EVENTS
    assert (memory.prices != 1).any()
    events = np.eye(SIZE, dtype=np.int64)
    gains = np.array([adaptive._log_gains(memory.prices, hits[None])[0] for hits in events])
    expected = np.tensordot(RATES, np.exp(gains), axes=1)
    assert expected.shape == (len(STAKES),)
    assert (expected <= 1).all()


def test_nothing_is_bet_before_enough_was_seen() -> None:
    few = np.eye(SIZE, dtype=np.int64)[3] * (REFRESH_EVENTS - 1)
    memory, path = follow(cells(np.random.default_rng(5)), np.stack([few, few]))
    assert memory.refreshes == 1
    np.testing.assert_allclose(path, np.log([BLOCK_SECONDS, 2 * BLOCK_SECONDS]))


def test_prices_follow_what_grew() -> None:
    usual = np.full((1, SIZE), 1 / SIZE)
    seen = 10 * SIZE * usual
    seen[0, :6] *= 4
    (found,) = adaptive._growth(seen, usual)
    assert (found[:6] > 2.5).all()
    assert (found[6:] < 1).all()


def test_a_division_that_fits_the_change_is_enough() -> None:
    rng = np.random.default_rng(10)
    rates = RATES.copy()
    rates[20:25] *= 4
    rates /= rates.sum()
    blind = rng.permutation(SIZE) // 2  # pairs of any two cells

    def both(counts: NDArray[Any]) -> NDArray[Any]:
        """Count also by pair; half of that division's cells stay empty."""
        pairs = counts @ (blind[:, None] == np.arange(SIZE)).astype(counts.dtype)
        return np.concatenate([counts, pairs], axis=-1)

    one = cells(rng)
    prior, counts = np.array(one.prior), np.array(one.counts)
    two = msgspec.structs.replace(
        one,
        divisions=2,
        labels=tuple(f"c{c}" for c in range(2 * SIZE)),
        owners=one.owners * 2,
        prior=tuple(np.maximum(both(prior), 1e-6)),
        counts=tuple(both(counts).tolist()),
    )
    stream = rng.multinomial(EVENTS, rates, 150)
    memory, path = follow(two, both(stream))
    _, alone = follow(one, stream)
    assert path[-1] > 0.95 * alone[-1]
    assert adaptive.strongest(ready(two), memory)[0] == 2


def test_rates_that_fluctuate_by_themselves_widen_the_bound() -> None:
    rng = np.random.default_rng(6)
    made = cells(rng)
    calm = rng.multinomial(300, RATES, 60)
    wild = np.stack(
        [
            rng.multinomial(300, p / p.sum())
            for p in RATES * rng.lognormal(0, 0.5, (6, SIZE)).repeat(10, axis=0)
        ]
    )
    pricing = ready(made)
    assert fluctuation(pricing, calm[:, None]) < 0.15 < fluctuation(pricing, wild[:, None])


def reference(made: Cells) -> Reference:
    groups = [f"g{g}" for g in range(SIZE // 10)]
    counts = np.array(made.counts).reshape(-1, 10).sum(axis=1)
    built = build(
        baseline="b1",
        segment=Segment(model="m"),
        indicators=[Indicator(name=g, title=g, family="clusters", counter=Hits(g)) for g in groups],
        hits=counts[None],
        trials=np.full((1, len(groups)), counts.sum()),
    )
    return msgspec.structs.replace(built, cells=made)


def test_in_a_detector_they_share_the_budget_and_name_who_grew() -> None:
    rng = np.random.default_rng(7)
    rates = RATES.copy()
    rates[20:25] *= 3
    rates /= rates.sum()
    made = reference(cells(rng))
    bets, plain = place_bets(made, adaptive=True), place_bets(made)
    assert plain.cells is None
    np.testing.assert_allclose(bets.log_weights, plain.log_weights + np.log(0.5))
    evidence = no_evidence(bets)
    for block in range(200):
        hits = rng.multinomial(EVENTS, rates if block >= 50 else RATES)
        evidence = observe(
            bets,
            unpack(pack(evidence)) if block % 7 == 0 else evidence,
            hits.reshape(-1, 10).sum(axis=1),
            np.full(SIZE // 10, EVENTS),
            duration_seconds=BLOCK_SECONDS,
            cells=hits[None],
        )
    decision = judge(bets, evidence, log_threshold=np.log(30 * 86_400))
    assert decision.alarm
    assert decision.parts[0].indicator == 2
    assert decision.parts[0].rises
    assert sum(part.share for part in decision.parts) <= 1 + 1e-9


def test_a_snapshot_keeps_every_bit() -> None:
    rng = np.random.default_rng(8)
    bets = place_bets(reference(cells(rng)), adaptive=True)
    evidence = no_evidence(bets)
    for hits in rng.multinomial(EVENTS, RATES, 10):
        evidence = observe(
            bets,
            evidence,
            hits.reshape(-1, 10).sum(axis=1),
            np.full(SIZE // 10, EVENTS),
            duration_seconds=BLOCK_SECONDS,
            cells=hits[None],
        )
    assert pack(unpack(pack(evidence))) == pack(evidence)
    assert unpack(pack(replace(evidence, memory=None))).memory is None


def test_cells_are_counted_in_a_sketchs_totals() -> None:
    made = cells(np.random.default_rng(9))
    sketch = Sketch(
        kind="drift",
        producer_id="p",
        sequence=1,
        segment=Segment(model="m"),
        block_start_ms=0,
        block_ms=10_000,
        source=SourceRange(topic="t", partition=0, first_offset=0, last_offset=1),
        events=3,
        totals={adaptive.TOTAL: {"c0": 2, "c7": 1, "unknown": 5}},
    )
    (found,) = adaptive.count_cells(ready(made), sketch)
    assert (found[0], found[7], found.sum()) == (2, 1, 3)
