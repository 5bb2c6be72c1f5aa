"""The bars: what has to hold for the promise to be kept on real traffic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

import numpy as np

from tidegauge.monitoring.plan import SHARES, MonitorPlan
from tidegauge.promise.cells import StreamOutcome
from tidegauge.promise.results import (
    CELL_CHANCE,
    Bar,
    FalseAlarms,
    at_least,
    at_most,
    delay_of,
    false_alarms,
)
from tidegauge.promise.scenarios import (
    BASELINES,
    ERROR_WAVES,
    MORE_ERRORS,
    NEW_TOPICS,
    SERVICE_TRAFFIC,
    SLOWER,
    SPEED_WAVES,
    StreamChange,
)
from tidegauge.schemas.findings import Signal
from tidegauge.simulation.rhythm import Wave

__all__ = ["all_bars", "bound_with_baseline", "information_bound"]

_SUM_CHANCE = 0.0228
"""Chance that a monitor has more false alarms than may be seen: that of two standard errors."""
_FEW = 10
_MOSTLY = 0.9
"""Share of the baselines drawn on which a monitor has to be promised."""
_LONGER = 1.5
_SLOWER_REQUESTS, _ERRORS_REQUESTS = 2_000, 2_500
_DAY = "1 day"
_ALWAYS = ("1 h", "6 h", "1 day", "3 days", "14 days")
_PROMISED = {
    "single questions": _ALWAYS,
    "conversations": _ALWAYS,
    "conversations on one topic": _ALWAYS,
    "conversations, day's cycle, template, short replies": _ALWAYS[3:],
    "load in ten-minute waves": _ALWAYS[1:],
    SPEED_WAVES: _ALWAYS[1:],
    "the day's cycle": _ALWAYS[3:],
    "the week's cycle, campaigns, deployments": _ALWAYS[4:],
}
"""Traffic -> the baselines on which something has to be promised at least."""


def all_bars(outcomes: Sequence[StreamOutcome], plugged_in: Sequence[StreamOutcome]) -> list[Bar]:
    """Return every bar.

    Args:
        outcomes: The streams, with and without a change.
        plugged_in: Streams without a change, tested with the usual shortcut.
    """
    quiet = [one for one in outcomes if not one.change]
    return [
        *_false_alarm_bars(quiet, plugged_in),
        *_promise_bars(quiet),
        *_topic_bars(outcomes),
        *_service_bars(outcomes),
    ]


def _false_alarm_bars(
    quiet: Sequence[StreamOutcome], plugged_in: Sequence[StreamOutcome]
) -> list[Bar]:
    whole = false_alarms(quiet)
    monitors = sorted({name for one in quiet for name in one.allowed})
    bars = [
        _sum_bar("false alarms of all monitors in all cells", whole),
        *(_sum_bar(f"false alarms of {name}", false_alarms(quiet, name)) for name in monitors),
    ]
    cells = sorted({(one.traffic, one.baseline) for one in quiet})
    for traffic in dict.fromkeys(name for name, _ in cells):
        over, times = [], []
        for _, baseline in [cell for cell in cells if cell[0] == traffic]:
            own = false_alarms(
                one for one in quiet if (one.traffic, one.baseline) == (traffic, baseline)
            )
            most = own.most(CELL_CHANCE)
            if own.found > most:
                over.append(
                    f"{baseline}: {own.found} where {own.allowed:.2f} are allowed and {most} are "
                    "within chance"
                )
            if own.allowed:
                times.append(own.detectable(CELL_CHANCE) / own.allowed)
        power = f"a rate {_factors(times)} as high is told from the promise" if times else ""
        bars.append(
            at_most(
                f"baselines with too many false alarms: {traffic}",
                0,
                len(over),
                "; ".join([*over, *filter(None, [power])]),
            )
        )
    shortcut = false_alarms(plugged_in)
    bars.append(
        at_least(
            "false alarms with requests as units and estimates as the truth",
            shortcut.most(CELL_CHANCE) + 1,
            shortcut.found if plugged_in else None,
            f"the usual shortcut has to fail: allowed {shortcut.allowed:.2f}",
        )
    )
    return bars


def _sum_bar(name: str, own: FalseAlarms) -> Bar:
    power = ""
    if own.allowed:
        times = own.detectable(_SUM_CHANCE) / own.allowed
        power = f"; a rate {_factors([times])} as high is told from the promise"
    return at_most(name, own.most(_SUM_CHANCE), own.found, f"allowed {own.allowed:.2f}{power}")


def _factors(times: Sequence[float]) -> str:
    """Return the range of some factors, in words."""
    least, most = (f"{one:.{1 if one < _FEW else 0}f}" for one in (min(times), max(times)))
    return f"{least} times" if least == most else f"{least} to {most} times"


def _promise_bars(quiet: Sequence[StreamOutcome]) -> list[Bar]:
    bars = []
    for traffic, baselines in _PROMISED.items():
        own = [one for one in quiet if one.traffic == traffic]
        if not own:
            continue
        kept, refused = 0, []
        for name in baselines:
            drawn = [one for one in own if one.baseline == name]
            counts = Counter(monitor for one in drawn for monitor in one.refused)
            reasons = {monitor: text for one in drawn for monitor, text in one.refused.items()}
            kept += bool(drawn) and all(
                1 - count / len(drawn) >= _MOSTLY for count in counts.values()
            )
            refused += [
                f"{name}, {monitor}, {count} of {len(drawn)}: {reasons[monitor]}"
                for monitor, count in sorted(counts.items())
            ]
        bars.append(
            at_least(
                f"baselines with a promise: {traffic}", len(baselines), kept, "; ".join(refused)
            )
        )
    return bars


def _median_delay(
    outcomes: Sequence[StreamOutcome], traffic: str, change: str, signal: Signal, baseline: str = ""
) -> tuple[float | None, int]:
    found = [
        delay_of(one, signal)
        for one in outcomes
        if one.traffic == traffic
        and one.change == change
        and (not baseline or one.baseline == baseline)
    ]
    return (median(found) if found else None), len(found)


def _topic_bars(outcomes: Sequence[StreamOutcome]) -> list[Bar]:
    bars = []
    for change in NEW_TOPICS:
        alone, _ = _median_delay(outcomes, "openings", change.name, "drift")
        whole, runs = _median_delay(outcomes, "conversations", change.name, "drift")
        units = [one.units for one in outcomes if one.traffic == "openings"]
        ratio = None
        if alone is not None and whole is not None and math.isfinite(whole):
            # Where openings alone show nothing, they would have taken longer than the stream.
            ratio = whole / min(alone, max(units))
        bars.append(
            at_most(
                f"delay in conversations over that in independent openings: {change.name}",
                _LONGER,
                ratio if ratio is None else round(ratio, 2),
                f"{_written(whole)} against {_written(alone)}, medians of {runs} streams",
            )
        )
    return bars


def _written(delay: float | None) -> str:
    return "nothing" if delay is None else "no alarm" if math.isinf(delay) else f"{delay:,.0f}"


def _service_bars(outcomes: Sequence[StreamOutcome]) -> list[Bar]:
    bars = []
    for traffic in ("steady load", "load in ten-minute waves"):
        found, runs = _median_delay(outcomes, traffic, SLOWER.name, "latency", _DAY)
        name = f"requests until a latency that is 20% higher is noticed: {traffic}"
        bars.append(at_most(name, _SLOWER_REQUESTS, found, f"median of {runs} streams"))
    found, runs = _median_delay(outcomes, "steady load", MORE_ERRORS.name, "errors", _DAY)
    bars.append(
        at_most(
            "requests until 3% errors instead of 1% are noticed: steady load",
            _ERRORS_REQUESTS,
            found,
            f"median of {runs} streams",
        )
    )
    bars += [
        _bound_bar(outcomes, SPEED_WAVES, SLOWER, "latency"),
        _bound_bar(outcomes, ERROR_WAVES, MORE_ERRORS, "errors"),
    ]
    return bars


def _bound_bar(
    outcomes: Sequence[StreamOutcome], traffic: str, change: StreamChange, signal: Signal
) -> Bar:
    """Hold a delay under waves that nothing explains to what any test could reach."""
    service = SERVICE_TRAFFIC[traffic].service
    found, runs = _median_delay(outcomes, traffic, change.name, signal, _DAY)
    if signal == "errors":
        wave, ratio = service.error_wave, (change.errors or service.errors) / service.errors
        each = _bernoulli_divergence(ratio * service.errors, service.errors)
    else:
        wave, ratio = service.speed_wave, change.slower
        each = math.log(ratio) ** 2 / (2 * service.server.noise**2)
    if wave is None:
        raise ValueError(traffic)
    per_second = service.rhythm.per_day / 86_400
    seconds = information_bound(wave, ratio, each * per_second, SHARES[signal])
    span = next(one.seconds for one in BASELINES if one.name == _DAY)
    known, learnt = (
        bound / wave.correlation_seconds for bound in (seconds, bound_with_baseline(seconds, span))
    )
    return at_most(
        f"correlation times until {change.name} is noticed: {traffic}",
        round(_LONGER * known, 1),
        None if found is None else round(found / per_second / wave.correlation_seconds, 1),
        f"{_LONGER:g} times the bound of {known:.1f} where the level before the change is known; "
        f"with a baseline of {_DAY} it is {learnt:.1f}; median of {runs} streams",
    )


def _bernoulli_divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of two Bernoulli distributions, in nats."""
    return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def information_bound(wave: Wave, ratio: float, nats_per_second: float, share: float) -> float:
    """Return the mean seconds that any test needs for a lasting change under waves.

    A shift d of an Ornstein-Uhlenbeck process with standard deviation s and correlation time t
    gives ``d^2 / (4 s^2 t)`` nats a second; single events give theirs beside it, and the slower
    of the two sets the pace, so that the times for a nat add up. A test with the mean time A to
    a false alarm needs ``log(A / t)`` nats (Lorden, "Procedures for reacting to a change in
    distribution", 1971).

    Args:
        wave: The waves of the logarithm.
        ratio: The factor by which it changes.
        nats_per_second: What single events would give without waves.
        share: The signal's share of the false-alarm budget.
    """
    mean_seconds = MonitorPlan().false_alarm_days * 86_400 / share
    needed = math.log(mean_seconds / wave.correlation_seconds)
    by_wave = 4 * wave.sd**2 * wave.correlation_seconds / math.log(ratio) ** 2
    return needed * (by_wave + 1 / nats_per_second)


def bound_with_baseline(known_seconds: float, baseline_seconds: float) -> float:
    """Return the information bound where the level before the change is that of a baseline.

    A test then compares two means. Over times t after the change and T of the baseline the variance
    of their difference is proportional to ``1 / t + 1 / T``, so that ``1 / t = 1 / b - 1 / T`` with
    b the bound for a known level. A baseline that is no longer than b shows too little for any
    test. That the variance is not known either makes it longer still.

    Args:
        known_seconds: The bound for a known level, b.
        baseline_seconds: Length of the baseline, T.
    """
    if baseline_seconds <= known_seconds:
        return math.inf
    return known_seconds * baseline_seconds / (baseline_seconds - known_seconds)
