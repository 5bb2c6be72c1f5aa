"""What a verdict says to people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Effect, Signal

__all__ = ["alarm_sentence", "clock", "name_of", "percent", "quiet_sentence", "span", "times"]

_LEADS: MappingProxyType[Signal, str] = MappingProxyType(
    {
        "drift": "People ask for something else",
        "quality": "Answers are judged worse",
        "latency": "Answers are slower",
        "errors": "More goes wrong",
        "cost": "Requests cost more",
    }
)
_NORMAL: MappingProxyType[Signal, str] = MappingProxyType(
    {
        "drift": "Requests are as in the baseline",
        "quality": "Answers are judged as in the baseline",
        "latency": "Answers are as fast as in the baseline",
        "errors": "No more goes wrong than in the baseline",
        "cost": "Requests cost what they did in the baseline",
    }
)
_SECONDS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_FEW_PERCENT = 0.1


def clock(time_ms: int) -> str:
    """Return a moment, in UTC.

    Example:
        >>> clock(0)
        '1970-01-01 00:00:00 UTC'
    """
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def percent(rate: float) -> str:
    """Return a rate, with one decimal where it is small.

    Example:
        >>> percent(0.034), percent(0.61)
        ('3.4%', '61%')
    """
    return f"{rate * 100:.1f}%" if rate < _FEW_PERCENT else f"{rate * 100:.0f}%"


def times(ratio: float) -> str:
    """Return a ratio of rates.

    Example:
        >>> times(5.66), times(0.25)
        ('5.7 times', '0.25 times')
    """
    return f"{ratio:.1f} times" if ratio >= 1 else f"{ratio:.2f} times"


def span(seconds: float) -> str:
    """Return a duration in its largest whole unit.

    Example:
        >>> span(2_592_000), span(75), span(0.2)
        ('30 days', '1 minute', '0 seconds')
    """
    for size, unit in _SECONDS:
        if seconds >= size:
            number = int(seconds // size)
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return "0 seconds"


def name_of(segment: Segment) -> str:
    """Return a segment's name for people.

    Example:
        >>> name_of(Segment(model="m", version="v2", route="/chat"))
        'm, version v2, route /chat'
    """
    parts = [segment.model or "all traffic"]
    if segment.version:
        parts.append(f"version {segment.version}")
    if segment.route:
        parts.append(f"route {segment.route}")
    if segment.tenant:
        parts.append(f"customer {segment.tenant}")
    return ", ".join(parts)


def alarm_sentence(
    signal: Signal,
    effects: Sequence[Effect],
    *,
    since_ms: int | None,
    mean_seconds_to_false_alarm: float,
    remarks: Sequence[str] = (),
) -> str:
    """Say what changed, by how much, since when, and how often that would be wrong.

    Args:
        signal: Which signal.
        effects: What contributed, first the largest; at least one.
        since_ms: Estimated start of the change.
        mean_seconds_to_false_alarm: What the threshold promises.
        remarks: More sentences: what coincides, whose baseline was used.
    """
    since = f" since {clock(since_ms)}" if since_ms is not None else ""
    others = [effect.title for effect in effects[1:] if effect.share >= _FEW_PERCENT]
    also = f"; also {', '.join(others)}" if others else ""
    lead = f"{_LEADS[signal]}{since}: {_measured(effects[0])}{also}."
    promise = (
        "With nothing changed, an alarm like this comes once in "
        f"{span(mean_seconds_to_false_alarm)} or less often."
    )
    return " ".join([lead, *remarks, promise])


def quiet_sentence(signal: Signal, events: int, needed: int) -> str:
    """Say that there is nothing to say, or not yet."""
    if events < needed:
        return f"{events} events so far; {needed} are needed to say that nothing has changed."
    return f"{_NORMAL[signal]}, as far as {events:,} events show."


def _measured(effect: Effect) -> str:
    rate = effect.hits / effect.trials if effect.trials else 0.0
    normal = (
        f"up to {percent(effect.high)} is normal"
        if rate >= effect.baseline_rate
        else f"no less than {percent(effect.low)} is normal"
    )
    return (
        f"{effect.title}: {percent(rate)} of {effect.trials} "
        f"(between {percent(effect.rate_low)} and {percent(effect.rate_high)}) against "
        f"{percent(effect.baseline_rate)} in the baseline, where {normal}"
    )
