"""When requests arrive: recorded gaps, stretched to a rate with cycles, waves and campaigns.

The rate of arrivals is a curve over time. Recorded gaps between requests, scaled to a mean of 1,
are drawn in blocks, so that bursts stay together, and give a process of rate 1. Arrivals are the
times at which the integral of the curve reaches that process (random time change; Daley and
Vere-Jones, "An Introduction to the Theory of Point Processes", 2003, section 7.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

__all__ = ["Campaign", "Recorded", "Rhythm", "Wave", "arrivals", "wave_values"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_STEP_SECONDS = 10.0
_DAY_SECONDS = 86_400.0
_BLOCK = 50
_PEAK_HOUR = 14.0
_MONDAY_MS = 4 * 86_400_000
"""1970-01-05 was a Monday."""
_WEEKEND = 5


@dataclass(frozen=True, slots=True)
class Wave:
    """A stationary first-order autoregressive process on a log scale.

    Attributes:
        sd: Standard deviation of the logarithm.
        correlation_seconds: Time after which the correlation has fallen to 1/e.
    """

    sd: float
    correlation_seconds: float


@dataclass(frozen=True, slots=True)
class Campaign:
    """A time of more arrivals.

    Attributes:
        from_seconds: Start, from the start of the traffic.
        seconds: Length.
        factor: What the rate is multiplied by.
    """

    from_seconds: float
    seconds: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """The rate of arrivals over time.

    Attributes:
        per_day: Arrivals of a mean day.
        day: Amplitude of the day's cycle: the rate runs from ``1 - day`` to ``1 + day`` times
            its mean, highest at 14:00 UTC.
        weekend: The rate on Saturday and Sunday as a multiple of that of the other days.
        wave: Waves of the rate.
        campaigns: Times of more arrivals.
    """

    per_day: float
    day: float = 0.0
    weekend: float = 1.0
    wave: Wave | None = None
    campaigns: tuple[Campaign, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """Requests of a recording, in order of time, n of them.

    Attributes:
        gaps: Time since the request before, with a mean of 1, shape (n,).
        prompt_tokens: Shape (n,).
        output_tokens: Shape (n,).
    """

    gaps: Floats
    prompt_tokens: Counts
    output_tokens: Counts

    def block_rows(self, count: int, rng: np.random.Generator) -> Counts:
        """Return rows drawn in blocks of consecutive ones, shape (count,)."""
        blocks = -(-count // _BLOCK)
        starts = rng.integers(0, len(self.gaps), blocks)
        rows = (starts[:, None] + np.arange(_BLOCK)) % len(self.gaps)
        return np.asarray(rows.reshape(-1)[:count], np.int64)


def wave_values(wave: Wave, seconds: float, rng: np.random.Generator) -> Floats:
    """Return a wave every ten seconds, with a mean of 1 on the scale that it multiplies."""
    steps = int(seconds // _STEP_SECONDS) + 2
    rho = float(np.exp(-_STEP_SECONDS / wave.correlation_seconds))
    shocks = rng.normal(0.0, wave.sd, steps)
    shocks[1:] *= np.sqrt(1 - rho**2)
    values = lfilter([1.0], [1.0, -rho], shocks)
    return np.asarray(np.exp(values - wave.sd**2 / 2), np.float64)


def arrivals(
    rhythm: Rhythm, start_ms: int, seconds: float, recorded: Recorded, rng: np.random.Generator
) -> tuple[Floats, Counts]:
    """Draw arrivals.

    Args:
        rhythm: Their rate.
        start_ms: Start of the traffic, Unix milliseconds, which the cycles depend on.
        seconds: Its length.
        recorded: The gaps to draw from.
        rng: The draws.

    Returns:
        Times in seconds from the start, ascending, shape (n,), and the rows of ``recorded``
        that their gaps and tokens come from, shape (n,).
    """
    grid = np.arange(0.0, seconds + _STEP_SECONDS, _STEP_SECONDS)
    rate = rhythm.per_day / _DAY_SECONDS * _cycles(rhythm, start_ms, grid)
    if rhythm.wave is not None:
        rate = rate * wave_values(rhythm.wave, seconds, rng)[: len(grid)]
    for campaign in rhythm.campaigns:
        since = grid - campaign.from_seconds
        rate = np.where((since >= 0) & (since < campaign.seconds), rate * campaign.factor, rate)
    expected = np.concatenate([[0.0], np.cumsum(rate[:-1] * _STEP_SECONDS)])
    rows = recorded.block_rows(int(expected[-1] * 1.2 + 10 * np.sqrt(expected[-1]) + 50), rng)
    reached = np.cumsum(recorded.gaps[rows]) - recorded.gaps[rows[0]] * rng.random()
    times = np.interp(reached, expected, grid)
    kept = (reached < expected[-1]) & (times < seconds)
    return times[kept], rows[kept]


def _cycles(rhythm: Rhythm, start_ms: int, grid: Floats) -> Floats:
    since_monday = (start_ms - _MONDAY_MS) / 1000 + grid
    hour = since_monday / 3600 % 24
    shape = 1 + rhythm.day * np.cos((hour - _PEAK_HOUR) / 24 * 2 * np.pi)
    weekday = since_monday // _DAY_SECONDS % 7
    mean = (_WEEKEND + (7 - _WEEKEND) * rhythm.weekend) / 7
    shape *= np.where(weekday >= _WEEKEND, rhythm.weekend, 1.0) / mean
    return np.asarray(shape, np.float64)
