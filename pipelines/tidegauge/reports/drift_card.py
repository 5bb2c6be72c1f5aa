"""The card of an alarm: a verdict's effects with baseline, intervals, examples and doubts.

Every tested rate has a card; a verdict of drift cannot be understood without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidegauge.reports.callers import CallerTable, caller_table
from tidegauge.reports.formatting import count, duration, interval, moment, percent
from tidegauge.reports.standing import EvidenceStanding, evidence, promise
from tidegauge.reports.text import clip, plain
from tidegauge.schemas.findings import Effect, Verdict
from tidegauge.schemas.sketches import Exemplar

__all__ = [
    "Card",
    "EffectLine",
    "Quote",
    "Scale",
    "card",
    "effect_line",
    "missing_text",
    "total_variation",
]

_CLUSTER = "cluster/"
_TITLE_LIMIT = 100
_LEAST_SHARE = 0.01
_SWAP_DOUBT = (
    "The two versions are compared on live traffic, each measure by itself: the interval of the "
    "difference errs with a chance of 5% at most, however often one looks, and is no part of the "
    "promise about false alarms. Versions that are asked different things differ for that "
    "reason, too."
)
_UNKNOWN_TIMES: Mapping[str, str] = {
    "none": "This baseline knows no times of day: hours that differ from its own may alarm.",
    "hour-of-day": "This baseline knows the hours of the day and no days of the week: a weekend "
    "that differs from its days may alarm.",
}
_FOLLOWUPS = "drift.followups"
_OPENINGS_COUNTED = (
    "A conversation counts once here, by its first message: the messages of one conversation "
    "resemble each other, and are no independent evidence."
)
_FOLLOWUPS_COUNTED = (
    "A conversation counts once here, by one of its later messages, the second for half of the "
    "conversations: the messages of one conversation resemble each other, and are no independent "
    "evidence."
)


@dataclass(frozen=True, slots=True)
class Quote:
    """A request that shows an effect, as readable text.

    Attributes:
        request_id: Which.
        customer: Whose it is.
        text: Its beginning; empty where it is not at hand.
        missing: Why not, in a word or two; empty where that is not known either.
    """

    request_id: str
    customer: str
    text: str
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Positions of a baseline's band and a current interval, in percent of a bar's width."""

    band_start: float
    band_width: float
    now_start: float
    now_width: float
    now: float


@dataclass(frozen=True, slots=True)
class EffectLine:
    """One indicator's change.

    Attributes:
        indicator: Name of the indicator.
        title: Title for people.
        baseline: Rate in the baseline.
        low: Lower edge of the baseline's band.
        high: Upper edge.
        current: Rate since the change.
        current_low: Lower end of its 95% interval.
        current_high: Upper end.
        hits: Events for which the indicator held, since the change.
        trials: Events for which it was evaluated, since the change.
        ratio: Current rate divided by the baseline's; infinite if the latter is 0.
        share: Share of the evidence, in [0, 1].
        quotes: Requests that show the effect.
        callers: Callers of the requests that show the effect, None if not known.
        scale: Positions for a bar.
    """

    indicator: str
    title: str
    baseline: float
    low: float
    high: float
    current: float | None
    current_low: float
    current_high: float
    hits: int
    trials: int
    ratio: float | None
    share: float
    quotes: tuple[Quote, ...]
    callers: CallerTable | None
    scale: Scale


@dataclass(frozen=True, slots=True)
class Card:
    """What changed, since when, by how much, and how it could be a false alarm.

    Attributes:
        verdict: The verdict.
        since: When the change began, in words; empty if not known.
        effects: Effects, the largest first.
        evidence: Strength of the evidence, None without a test.
        total_variation: Half the sum of absolute differences of cluster rates, over the
            clusters shown: a lower bound of the total variation; None without clusters.
        leading: The largest effect whose callers are known, None without one.
        doubt: Sentences on how it could be a false alarm.
    """

    verdict: Verdict
    since: str
    effects: tuple[EffectLine, ...]
    evidence: EvidenceStanding | None
    total_variation: float | None
    leading: EffectLine | None
    doubt: tuple[str, ...]


def _quotes(exemplars: Iterable[Exemplar], limit: int) -> tuple[Quote, ...]:
    return tuple(
        Quote(
            plain(item.request_id[:80]),
            clip(item.customer, 60),
            clip(item.text, limit),
            missing_text(item),
        )
        for item in exemplars
    )


def missing_text(exemplar: Exemplar) -> str:
    """Return why an exemplar has no text, empty if it has one or nobody has looked for it."""
    if exemplar.text or exemplar.text_state in {"unread", "shown"}:
        return ""
    return exemplar.text_state.replace("_", " ")


def _scale(effect: Effect, current: float | None) -> Scale:
    seen = effect.trials > 0
    most = max(effect.high, effect.rate_high if seen else 0.0, effect.baseline_rate)
    top = 100 / (most * 1.05) if most > 0 else 0.0
    return Scale(
        band_start=top * effect.low,
        band_width=top * max(0.0, effect.high - effect.low),
        now_start=top * effect.rate_low if seen else 0.0,
        now_width=top * max(0.0, effect.rate_high - effect.rate_low) if seen else 0.0,
        now=top * (current or 0.0),
    )


def effect_line(effect: Effect, *, quote_limit: int = 240) -> EffectLine:
    """Return one effect for people.

    Args:
        effect: The verdict's effect.
        quote_limit: Characters shown of an exemplar.
    """
    current = effect.hits / effect.trials if effect.trials else None
    if current is None:
        ratio = None
    elif effect.baseline_rate > 0:
        ratio = current / effect.baseline_rate
    else:
        ratio = math.inf if current else None
    return EffectLine(
        indicator=plain(effect.indicator),
        title=clip(effect.title or effect.indicator, _TITLE_LIMIT),
        baseline=effect.baseline_rate,
        low=effect.low,
        high=effect.high,
        current=current,
        current_low=effect.rate_low,
        current_high=effect.rate_high,
        hits=effect.hits,
        trials=effect.trials,
        ratio=ratio,
        share=effect.share,
        quotes=_quotes(effect.exemplars, quote_limit),
        callers=caller_table(effect.callers) if effect.callers else None,
        scale=_scale(effect, current),
    )


def total_variation(effects: Sequence[Effect]) -> float | None:
    """Return half the sum of absolute differences of cluster rates; None without clusters."""
    differences = [
        abs(effect.hits / effect.trials - effect.baseline_rate)
        for effect in effects
        if effect.indicator.startswith(_CLUSTER) and effect.trials
    ]
    return sum(differences) / 2 if differences else None


def _doubt(verdict: Verdict, effects: Sequence[EffectLine], days: float) -> tuple[str, ...]:
    if verdict.signal == "swap":
        return (_SWAP_DOUBT,)
    lines = []
    if effects and effects[0].trials:
        first = effects[0]
        lines.append(
            f"A false alarm would mean that the true rate of “{first.title}” is still between "
            f"{percent(first.low)} and {percent(first.high)}, as in the baseline "
            f"({percent(first.baseline)}), and that {count(first.hits)} of "
            f"{count(first.trials)} requests "
            f"({interval(first.current_low, first.current_high)} with 95% confidence) came by "
            "chance."
        )
    if verdict.mean_seconds_to_false_alarm is not None:
        lines.append(
            "Chance alone raises this one no more often than once in "
            f"{duration(verdict.mean_seconds_to_false_alarm)} on average. {promise(days)}"
        )
    if verdict.back_test:
        lines.append(verdict.back_test)
    lines.append(
        "The promise holds while traffic without a change is like the baseline's: a campaign, "
        "a holiday, one customer's batch job or a new client is a real change of traffic, and "
        "no failure of the model."
    )
    if verdict.signal == "drift":
        followups = verdict.monitor == _FOLLOWUPS
        lines.append(_FOLLOWUPS_COUNTED if followups else _OPENINGS_COUNTED)
    if verdict.season in _UNKNOWN_TIMES:
        lines.append(_UNKNOWN_TIMES[verdict.season])
    if verdict.baseline_segment and verdict.baseline_segment != verdict.segment.key:
        lines.append("The baseline is a wider segment's, since this one has none of its own.")
    return tuple(lines)


def card(
    verdict: Verdict,
    *,
    now_ms: int,
    false_alarm_days: float,
    quote_limit: int = 240,
    effects: int = 5,
) -> Card:
    """Return the card of a verdict.

    Args:
        verdict: The verdict.
        now_ms: The reader's time, Unix milliseconds.
        false_alarm_days: Promised mean time to a false alarm, days.
        quote_limit: Characters shown of an exemplar.
        effects: Largest number of effects shown; very small ones are left out.
    """
    told = [
        item
        for place, item in enumerate(verdict.effects[:effects])
        if place == 0 or item.share >= _LEAST_SHARE
    ]
    lines = tuple(effect_line(item, quote_limit=quote_limit) for item in told)
    since = ""
    if verdict.since_ms is not None:
        ago = duration((now_ms - verdict.since_ms) / 1000)
        since = f"since about {moment(verdict.since_ms, now_ms)}, {ago} ago"
    return Card(
        verdict=verdict,
        since=since,
        effects=lines,
        evidence=evidence(verdict),
        total_variation=total_variation(verdict.effects),
        leading=next((line for line in lines if line.callers), None),
        doubt=_doubt(verdict, lines, false_alarm_days),
    )
