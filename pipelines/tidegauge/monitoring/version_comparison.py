"""A model's new version against the one before, measure by measure.

Every measure is a rate of something unwanted: slower than the old version's P95, failed,
dearer than its P90, scored below its first quartile. Both rates have confidence sequences,
so the comparison may be looked at after every window and stop when it decides:

    better      the new rate is lower            the interval of new - old lies below 0
    not worse   it is higher by less than the margin     the interval lies below the margin
    worse       the new rate is higher           the interval lies above 0
    undecided   until then

The cuts are chosen on the old version before the new one's first answer is counted. The
old version's data is what came before the swap and, while both answer, beside it; where
nothing ran side by side, a change of load or of topics at the same time is not excluded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tidegauge.detection.confidence import clopper_pearson, rate_sequence
from tidegauge.detection.indicators import Hits, Indicator, Tail, count_asked
from tidegauge.monitoring.catalog import judge_name, judged_scores
from tidegauge.monitoring.display import Display
from tidegauge.monitoring.ledger import READS
from tidegauge.monitoring.rate_references import FEWEST, quantile_bucket
from tidegauge.monitoring.verdicts import name_of
from tidegauge.monitoring.view import MetricComparisonView, Outcome, VersionComparisonView
from tidegauge.monitoring.windows import MergedWindow
from tidegauge.reports.formatting import count, dollars, milliseconds, number, percent, points
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Effect, State, Verdict
from tidegauge.schemas.sketches import Histogram, Sketch, SketchKind
from tidegauge.streaming import histogram

__all__ = [
    "MetricComparison",
    "Side",
    "VersionComparison",
    "VersionComparisons",
    "VersionComparisonsState",
    "advance_comparison",
    "begin_comparison",
    "comparison_verdicts",
    "comparison_view",
]

_MARGINS = {"latency": 0.05, "first_token": 0.05, "errors": 0.02, "cost": 0.1, "quality": 0.1}
"""Measure -> by how much the new rate may exceed the old one and still be ``not worse``."""
_STATES: dict[Outcome, State] = {
    "better": State.OK,
    "not worse": State.OK,
    "worse": State.WARN,
    "undecided": State.LOW_DATA,
}
_CONFIDENCE = 0.95


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One version's counts: how often the unwanted happened, of how many events."""

    hits: int = 0
    trials: int = 0

    def plus(self, counts: tuple[int, int]) -> Side:
        """Return the counts with a window's added."""
        return Side(hits=self.hits + counts[0], trials=self.trials + counts[1])

    @property
    def rate(self) -> float | None:
        """Hits by trials; None without any."""
        return self.hits / self.trials if self.trials else None


class MetricComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One measure's comparison so far.

    Attributes:
        measure: See ``view.Comparison``.
        kind: Whose sketches have the counts.
        indicator: What is counted.
        margin: See ``view.Comparison``.
        old: Counts of the version before.
        new: Counts of the new version.
        low: Lower end of the interval of new minus old.
        high: Upper end.
        old_low: Lower end of the interval of the old rate.
        old_high: Upper end.
        outcome: Kept once it is decided.
        decided_ms: When that was.
        acknowledged: Whether a person has taken note of the outcome.
    """

    measure: str
    kind: SketchKind
    indicator: Indicator
    margin: float
    old: Side
    new: Side = Side()
    low: float = -1.0
    high: float = 1.0
    old_low: float = 0.0
    old_high: float = 1.0
    outcome: Outcome = "undecided"
    decided_ms: int | None = None
    acknowledged: bool = False

    @property
    def monitor(self) -> str:
        """Name of the monitor that speaks of it."""
        return f"swap.{self.measure}"


class VersionComparison(msgspec.Struct, frozen=True, kw_only=True):
    """All comparisons of one new version."""

    old: Segment
    new: Segment
    since_ms: int
    contests: tuple[MetricComparison, ...]


def begin_comparison(
    old: Segment, new: Segment, since_ms: int, totals: Iterable[Sketch]
) -> VersionComparison:
    """Choose what to compare by: cuts of the old version's numbers.

    Args:
        old: Segment of the version before.
        new: Segment of the new version.
        since_ms: Start of the new version's first window.
        totals: The old version's sketches so far, one for each kind.
    """
    contests = tuple(
        MetricComparison(
            measure=measure,
            kind=total.kind,
            indicator=indicator,
            margin=_MARGINS[measure.partition(".")[0]],
            old=Side().plus(count_asked(indicator, total)),
        )
        for total in totals
        for measure, indicator in _measures(total)
    )
    return VersionComparison(old=old, new=new, since_ms=since_ms, contests=contests)


def _measures(total: Sketch) -> Iterator[tuple[str, Indicator]]:
    if total.kind == "vitals":
        yield "errors", _indicator("errors", "failed by the service", Hits(measures.ERROR))
        for measure, value in (
            ("latency", measures.LATENCY_MS),
            ("first_token", measures.TIME_TO_FIRST_TOKEN_MS),
        ):
            if (edge := _edge(total, value, 0.95)) is not None:
                bucket, cut = edge
                title = f"{measure.replace('_', ' ')} above {milliseconds(cut)}"
                yield measure, _indicator(measure, title, Tail(value, bucket, "above"))
        if (edge := _edge(total, measures.COST_USD, 0.9)) is not None:
            bucket, cut = edge
            title = f"cost above {dollars(cut)}"
            yield "cost", _indicator("cost", title, Tail(measures.COST_USD, bucket, "above"))
    if total.kind == "quality":
        for label, name in judged_scores(total):
            value = measures.score(label, name)
            if total.hits.get(measures.unqualified(label), 0):
                continue
            if (edge := _edge(total, value, 0.25)) is not None:
                bucket, cut = edge
                measure = f"quality.{judge_name(label)}.{name}"
                title = f"{name} by {judge_name(label)} at most {number(cut)}"
                yield measure, _indicator(measure, title, Tail(value, bucket, "below"))


def _edge(total: Sketch, value: str, level: float) -> tuple[int, float] | None:
    values: Histogram | None = total.histograms.get(value)
    if values is None or histogram.count(values) < FEWEST:
        return None
    bucket = quantile_bucket(values, level)
    return bucket, histogram.upper_edge(bucket, values.accuracy)


def _indicator(name: str, title: str, counter: Hits | Tail) -> Indicator:
    return Indicator(name=name, title=title, family=name, counter=counter)


def advance_comparison(
    swap: VersionComparison, sketch: Sketch, *, alpha: float, end_ms: int
) -> VersionComparison:
    """Count one closed window of either version and decide what can be decided.

    Args:
        swap: The comparisons so far.
        sketch: A window of the old or of the new version.
        alpha: Chance that one measure's comparison ever errs.
        end_ms: End of the window.
    """
    contests = tuple(
        _advance(contest, sketch, is_new=sketch.segment == swap.new, alpha=alpha, end_ms=end_ms)
        if contest.kind == sketch.kind
        else contest
        for contest in swap.contests
    )
    return msgspec.structs.replace(swap, contests=contests)


def _advance(
    contest: MetricComparison, sketch: Sketch, *, is_new: bool, alpha: float, end_ms: int
) -> MetricComparison:
    counts = count_asked(contest.indicator, sketch)
    if is_new:
        contest = msgspec.structs.replace(contest, new=contest.new.plus(counts))
    else:
        contest = msgspec.structs.replace(contest, old=contest.old.plus(counts))
    contest = _bounded(contest, alpha)
    outcome = _outcome(contest)
    if outcome == contest.outcome:
        return contest
    return msgspec.structs.replace(contest, outcome=outcome, decided_ms=end_ms)


def _bounded(contest: MetricComparison, alpha: float) -> MetricComparison:
    """Return the contest with its intervals, each of which holds at all times at once."""
    sides = (contest.old, contest.new)
    low, high = rate_sequence(
        [side.hits for side in sides], [side.trials for side in sides], alpha=alpha / 2
    )
    return msgspec.structs.replace(
        contest,
        low=float(low[1] - high[0]),
        high=float(high[1] - low[0]),
        old_low=float(low[0]),
        old_high=float(high[0]),
    )


def _outcome(contest: MetricComparison) -> Outcome:
    """Return the outcome so far; of those reached, only ``not worse`` may still improve."""
    if contest.outcome in ("better", "worse"):
        return contest.outcome
    if contest.high < 0:
        return "better"
    if contest.outcome == "undecided" and contest.low > 0:
        return "worse"
    return "not worse" if contest.high <= contest.margin else contest.outcome


def comparison_view(swap: VersionComparison) -> VersionComparisonView:
    """Return the comparisons to show."""
    return VersionComparisonView(
        old=swap.old,
        new=swap.new,
        since_ms=swap.since_ms,
        comparisons=tuple(_comparison(contest) for contest in swap.contests),
    )


def _comparison(contest: MetricComparison) -> MetricComparisonView:
    return MetricComparisonView(
        measure=contest.measure,
        outcome=contest.outcome,
        property=contest.indicator.title,
        margin=contest.margin,
        old_rate=contest.old.rate,
        new_rate=contest.new.rate,
        low=contest.low,
        high=contest.high,
        old_events=contest.old.trials,
        new_events=contest.new.trials,
        decided_ms=contest.decided_ms,
    )


def comparison_verdicts(
    swap: VersionComparison, *, kind: SketchKind, time_ms: int
) -> tuple[Verdict, ...]:
    """Return a verdict ``swap.<measure>`` for each measure that a kind of worker feeds."""
    return tuple(
        _verdict(swap, contest, time_ms)
        for contest in swap.contests
        if contest.kind == kind and contest.new.trials
    )


def _verdict(swap: VersionComparison, contest: MetricComparison, time_ms: int) -> Verdict:
    old, new = contest.old, contest.new
    worse = contest.outcome == "worse"
    low, high = clopper_pearson(new.hits, new.trials, alpha=1 - _CONFIDENCE)
    effect = Effect(
        indicator=contest.indicator.name,
        title=contest.indicator.title,
        baseline_rate=old.rate or 0.0,
        low=contest.old_low,
        high=contest.old_high,
        hits=new.hits,
        trials=new.trials,
        rate_low=float(low),
        rate_high=float(high),
        share=1.0,
    )
    return Verdict(
        monitor=contest.monitor,
        signal="swap",
        segment=swap.new,
        time_ms=time_ms,
        state=State.INFO if worse and contest.acknowledged else _STATES[contest.outcome],
        sentence=_sentence(swap, contest),
        since_ms=swap.since_ms,
        events=new.trials,
        baseline_segment=swap.old.key,
        effects=(effect,),
    )


def _sentence(swap: VersionComparison, contest: MetricComparison) -> str:
    said = {
        "better": "is better than",
        "not worse": "is not worse than",
        "worse": "is worse than",
        "undecided": "cannot yet be told from",
    }[contest.outcome]
    old, new = contest.old, contest.new
    numbers = (
        f"{contest.indicator.title}: {percent(new.rate or 0)} of {count(new.trials)} against "
        f"{percent(old.rate or 0)} of {count(old.trials)}, a difference between "
        f"{points(contest.low)} and {points(contest.high)} points at any time of looking"
    )
    margin = points(contest.margin).removeprefix("+")
    return (
        f"By {contest.measure.replace('_', ' ')}, {name_of(swap.new)} {said} "
        f"{name_of(swap.old)} ({numbers}; margin {margin} points)."
    )


_MOST = 8
_FEWEST = 30


class VersionComparisonsState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``VersionComparisons`` remembers, as plain data."""

    swaps: tuple[VersionComparison, ...] = ()


class VersionComparisons:
    """The latest swaps.

    Args:
        alpha: Chance that one comparison ever errs on one measure.
        state: Where to go on from.
    """

    def __init__(self, alpha: float, state: VersionComparisonsState | None = None) -> None:
        self._alpha = alpha
        self._swaps = list(state.swaps) if state else []

    @property
    def known(self) -> Sequence[VersionComparison]:
        """The swaps, newest last."""
        return tuple(self._swaps)

    def notice(self, segment: Segment, window: MergedWindow, display: Display) -> None:
        """Begin a comparison when a version answers for the first time.

        Args:
            segment: Segment of a response's sketch, before the window is added up.
            window: The window that it is in.
            display: What is known of other versions so far.
        """
        if not segment.version or display.total("vitals", segment) is not None:
            return
        if any(swap.new == segment for swap in self._swaps):
            return  # the workers' windows close one kind at a time
        old = _version_before(segment, display)
        if old is None:
            return
        totals = [t for kind in READS if (t := display.total(kind, old)) is not None]
        self._swaps.append(begin_comparison(old, segment, window.start_ms, totals))
        del self._swaps[:-_MOST]

    def advance(self, sketch: Sketch, end_ms: int) -> None:
        """Count one segment's closed window."""
        self._swaps = [
            advance_comparison(swap, sketch, alpha=self._alpha, end_ms=end_ms)
            if sketch.segment in (swap.old, swap.new)
            else swap
            for swap in self._swaps
        ]

    def verdicts(self, kind: SketchKind, segment: Segment, time_ms: int) -> tuple[Verdict, ...]:
        """Return the comparisons that a new version's window has moved."""
        return tuple(
            verdict
            for swap in self._swaps
            if swap.new == segment
            for verdict in comparison_verdicts(swap, kind=kind, time_ms=time_ms)
        )

    def acknowledge(self, monitor: str, segment: Segment) -> None:
        """Note that a person knows an outcome: it raises no alarm again."""
        self._swaps = [
            msgspec.structs.replace(
                swap,
                contests=tuple(
                    msgspec.structs.replace(contest, acknowledged=True)
                    if contest.monitor == monitor
                    else contest
                    for contest in swap.contests
                ),
            )
            if swap.new == segment
            else swap
            for swap in self._swaps
        ]

    def views(self) -> tuple[VersionComparisonView, ...]:
        """Return all comparisons to show, newest last."""
        return tuple(comparison_view(swap) for swap in self._swaps)

    def state(self) -> VersionComparisonsState:
        """Return everything that is remembered."""
        return VersionComparisonsState(swaps=tuple(self._swaps))


def _version_before(segment: Segment, display: Display) -> Segment | None:
    """Return the version of the same model and route that has answered last."""
    found = [
        (total.window_start_ms + total.window_ms, other)
        for other in display.segments()
        if other.version != segment.version
        and msgspec.structs.replace(other, version=segment.version) == segment
        and (total := display.total("vitals", other)) is not None
        and total.events >= _FEWEST
    ]
    return max(found)[1] if found else None
