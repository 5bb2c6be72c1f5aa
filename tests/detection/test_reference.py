from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe
from tidegauge.detection.errors import CountsError, TimeZoneError
from tidegauge.detection.indicators import Hits, Indicator, Tail
from tidegauge.detection.reference import Reference, build, share_out
from tidegauge.detection.seasons import HOUR_MS, Season, slot_count, slot_of
from tidegauge.schemas import Segment

HOUR = 3_600.0
Counts = NDArray[np.int64]


def indicators(count: int, family: str = "f") -> list[Indicator]:
    return [
        Indicator(name=f"{family}/{j}", title=str(j), family=family, counter=Hits(f"{j}"))
        for j in range(count)
    ]


def built(
    hits: Counts, trials: Counts, times_ms: Counts | None = None, season: Season | None = None
) -> Reference:
    return build(
        baseline="b1",
        segment=Segment(model="m"),
        indicators=indicators(hits.shape[1]),
        hits=hits,
        trials=trials,
        times_ms=times_ms,
        season=season,
    )


def days(rng: np.random.Generator, count: int, *, jitter: float = 0.1) -> tuple[Counts, Counts]:
    """Return hourly counts of 12 topics that have a day cycle and days of their own."""
    hours = np.arange(count * 24)
    phases = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    cycle = 1 + 0.6 * np.sin(2 * np.pi * hours[:, None] / 24 + phases)
    daily = rng.lognormal(0, jitter, (count, 12)).repeat(24, axis=0)
    p = cycle * daily
    p /= p.sum(axis=1, keepdims=True)
    hits = np.stack([rng.multinomial(200, row) for row in p])
    return hits, np.full_like(hits, 200)


def test_more_baseline_means_narrower_bands() -> None:
    widths = []
    for n in (300, 3_000, 30_000):
        made = built(np.array([[n // 10]]), np.array([[n]]))
        assert made.low[0] < 0.1 < made.high[0]
        widths.append(made.high[0] - made.low[0])
    assert widths[0] > widths[1] > widths[2]


def widened(rates: NDArray[np.float64], widening: float) -> Reference:
    """Build a day's bands of a rate by minute, with a factor of the widening."""
    trials = np.full((len(rates), 1), 40)
    return build(
        baseline="b1",
        segment=Segment(model="m"),
        indicators=indicators(1),
        hits=np.random.default_rng(1).binomial(40, rates)[:, None],
        trials=trials,
        times_ms=np.arange(len(rates), dtype=np.int64) * 60_000,
        season="none",
        widening=widening,
    )


def test_the_band_of_a_steady_rate_is_widened_even_where_its_dispersion_is_zero() -> None:
    found, wider = (widened(np.full(24 * 60, 0.01), factor) for factor in (1.0, 2.25))
    assert not any(found.waves)
    rate = found.rate[0]
    assert wider.high[0] - rate >= 2.25 * (found.high[0] - rate)
    assert rate - wider.low[0] >= 2.25 * (rate - found.low[0])


def test_where_rates_wander_a_widening_is_that_of_the_dispersion() -> None:
    rates = np.random.default_rng(2).uniform(0.05, 0.35, 24 * 6).repeat(10)
    found, wider = (widened(rates, factor) for factor in (1.0, 1.5))
    assert all(found.waves)
    assert wider.dispersion[0] == pytest.approx(1.5 * found.dispersion[0])
    assert wider.high[0] - found.rate[0] < 2 * (found.high[0] - found.rate[0])


def test_bands_hold_together_as_often_as_promised() -> None:
    rng = np.random.default_rng(1)
    rates = np.array([0.01, 0.05, 0.1, 0.3])
    missed = 0
    for _ in range(400):
        made = built(rng.binomial(500, rates)[None], np.full((1, 4), 500))
        missed += bool((rates < made.low).any() or (rates > made.high).any())
    assert missed / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("span_days", "season", "covered"),
    [(1, "none", 1), (3, "hour-of-day", 24), (14, "hour-of-day", 24)],
)
def test_a_days_cycle_gets_slots_once_the_baseline_covers_it(
    span_days: int, season: Season, covered: int
) -> None:
    hits, trials = days(np.random.default_rng(2), span_days)
    made = built(hits, trials, np.arange(len(hits)) * HOUR_MS)
    assert (made.season, made.covered_slots) == (season, covered)
    assert len(made.slot_low) == (slot_count(season) if season != "none" else 0)


def test_few_events_get_no_season_however_long_they_took() -> None:
    hits = np.ones((24 * 20, 1), np.int64)
    made = built(hits, hits * 5, np.arange(len(hits)) * HOUR_MS)
    assert made.season == "none"


def test_slots_follow_the_cycle() -> None:
    hits, trials = days(np.random.default_rng(3), 14)
    made = built(hits, trials, np.arange(len(hits)) * HOUR_MS, season="hour-of-day")
    high = np.array(made.slot_high)
    morning = high[6, 0]
    evening = high[18, 0]
    assert morning > 2 * evening


def restless(rng: np.random.Generator, hours: int) -> tuple[Counts, Counts]:
    """Return hourly counts of a rate that is drawn anew every hour."""
    rates = np.minimum(0.1 * rng.lognormal(-0.045, 0.3, (hours, 1)), 1)
    return rng.binomial(500, rates), np.full((hours, 1), 500)


def test_a_rate_that_wanders_by_itself_is_a_random_draw_in_every_block() -> None:
    rng = np.random.default_rng(4)
    times = np.arange(240) * HOUR_MS
    calm = built(rng.binomial(500, 0.1, (240, 1)), np.full((240, 1), 500), times, season="none")
    hits, trials = restless(rng, 240)
    wild = built(hits, trials, times, season="none")
    assert (calm.waves, wild.waves) == ((False,), (True,))
    assert calm.dispersion[0] < 0.05
    assert wild.dispersion[0] == pytest.approx(0.33, abs=0.08)
    assert wild.block_ms == (HOUR_MS,)
    later = restless(rng, 24 * 60)
    binomial = msgspec.structs.replace(wild, block_ms=(), dispersion=(0.0,))
    assert alarms(wild, *later, budget_days=300) == 0
    assert alarms(binomial, *later, budget_days=300) > 10


def test_a_rate_that_wanders_more_slowly_than_the_baseline_shows_is_refused() -> None:
    rng = np.random.default_rng(7)
    minutes = np.arange(6 * 60)
    rate = 0.2 * np.exp(0.5 * np.sin(2 * np.pi * minutes / (6 * 60)))
    hits = rng.binomial(100, rate)[:, None]
    made = built(hits, np.full_like(hits, 100), minutes * 60_000)
    assert "more slowly" in made.refused
    assert made.wanted_ms > 6 * HOUR_MS
    steady = rng.binomial(100, 0.2, (6 * 60, 1))
    assert not built(steady, np.full_like(steady, 100), minutes * 60_000).refused


def alarms(
    made: Reference, hits: Counts, trials: Counts, *, budget_days: float, start_ms: int = 0
) -> int:
    """Count alarms over hourly windows, starting afresh after each as a person would."""
    bets = place_bets(made)
    evidence, count = no_evidence(bets), 0
    for hour, (x, n) in enumerate(zip(hits, trials, strict=True)):
        start = start_ms + hour * HOUR_MS
        slot = made.slot(start)
        evidence = observe(bets, evidence, x, n, duration_seconds=HOUR, start_ms=start, slot=slot)
        if judge(bets, evidence, log_threshold=np.log(budget_days * 24 * HOUR)).alarm:
            evidence, count = no_evidence(bets), count + 1
    return count


def test_sixty_seasonal_days_stay_within_the_budget_and_a_global_baseline_does_not() -> None:
    rng = np.random.default_rng(5)
    hits, trials = days(rng, 28)
    times = np.arange(len(hits)) * HOUR_MS
    later, asked = days(rng, 60)
    seasonal = alarms(built(hits, trials, times), later, asked, budget_days=30)
    no_times = alarms(built(hits, trials), later, asked, budget_days=30)
    assert seasonal <= 2
    assert no_times > 20


def test_budget_goes_to_families_first() -> None:
    mixed = [*indicators(3, "a"), *indicators(1, "b")]
    assert share_out(mixed, {"a": 0.6, "b": 0.4, "absent": 5.0}) == pytest.approx(
        (0.2, 0.2, 0.2, 0.4)
    )


def test_a_reference_is_plain_data() -> None:
    hits, trials = days(np.random.default_rng(6), 3)
    made = built(hits, trials, np.arange(len(hits)) * HOUR_MS)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Reference) == made


@pytest.mark.parametrize(
    ("hits", "trials", "says"),
    [
        (np.array([[2]]), np.array([[1]]), "between 0 and their trials"),
        (np.array([[0]]), np.array([[0]]), "leave it out"),
        (np.array([[1, 1]]), np.array([[2]]), "a column each"),
    ],
)
def test_impossible_counts_are_refused(hits: Counts, trials: Counts, says: str) -> None:
    with pytest.raises(CountsError, match=says):
        built(hits, trials)


def test_windows_need_their_times() -> None:
    with pytest.raises(CountsError, match="as many times"):
        built(np.array([[1]]), np.array([[2]]), np.array([1, 2]))


SUNDAY_MS = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp()) * 1000
"""The day on which Central European clocks are set forward."""


def local_days(rng: np.random.Generator, start_ms: int, count: int) -> tuple[Counts, Counts]:
    """Return hourly counts of a rate that follows the hours of Berlin, and when they begin."""
    times = start_ms + np.arange(count * 24) * HOUR_MS
    local = np.array([slot_of("hour-of-day", int(time), "Europe/Berlin") for time in times])
    rate = np.where((local >= 8) & (local < 18), 0.3, 0.05)
    return rng.binomial(300, rate)[:, None], times


def test_hours_follow_the_clocks_of_their_time_zone() -> None:
    rng = np.random.default_rng(8)
    past, past_ms = local_days(rng, SUNDAY_MS - 14 * 24 * HOUR_MS, 14)
    later, later_ms = local_days(rng, SUNDAY_MS + 24 * HOUR_MS, 14)
    found = {}
    for zone in ("Europe/Berlin", "UTC"):
        made = build(
            baseline="b1",
            segment=Segment(model="m"),
            indicators=indicators(1),
            hits=past,
            trials=np.full_like(past, 300),
            times_ms=past_ms,
            season="hour-of-day",
            zone=zone,
        )
        asked = np.full_like(later, 300)
        found[zone] = alarms(made, later, asked, budget_days=30, start_ms=int(later_ms[0]))
    assert found["Europe/Berlin"] == 0
    assert found["UTC"] > 0


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(TimeZoneError, match="no time zone 'Mars/Base'"):
        slot_of("hour-of-day", 0, "Mars/Base")


def test_weeks_begin_on_monday() -> None:
    thursday, monday = 0, 4 * 24 * HOUR_MS
    assert slot_of("hour-of-week", monday) == 0
    assert slot_of("hour-of-week", thursday) == 72
    assert slot_of("none", 123_456_789) == 0


def test_a_tail_is_not_taken_to_be_as_steady_as_the_median() -> None:
    rng = np.random.default_rng(9)
    wave = rng.normal(0, 0.3, (288, 1)).repeat(10, axis=0)
    numbers = rng.normal(0, 1, (2_880, 6)) + wave
    cuts = np.quantile(numbers, [0.5, 0.97])
    hits = np.stack([(numbers > cut).sum(axis=1) for cut in cuts], axis=1)
    made = build(
        baseline="b1",
        segment=Segment(model="m"),
        indicators=[
            Indicator(name=f"v/{k}", title="", family=str(k), counter=Tail("v", k, "above"))
            for k in range(2)
        ],
        hits=hits,
        trials=np.full_like(hits, 6),
        times_ms=np.arange(2_880) * 60_000,
        season="none",
    )
    median, tail = made.dispersion
    assert tail > 1.7 * median
