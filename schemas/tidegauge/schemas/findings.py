"""Findings of monitors: a verdict after every window, an alert when an alarm changes."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from math import isfinite
from typing import Literal, get_args

import msgspec

from tidegauge.schemas.errors import MonitorNameError
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Exemplar

__all__ = [
    "Alert",
    "AlertStatus",
    "CallerShare",
    "Callers",
    "Effect",
    "JudgedAnswers",
    "Monitor",
    "Severity",
    "Signal",
    "State",
    "Verdict",
]

Signal = Literal["latency", "quality", "drift", "errors", "cost", "swap", "pipeline"]
"""The five signals, the comparison after a model swap, and the pipeline's own health."""

Severity = Literal["info", "warn", "critical"]
AlertStatus = Literal["firing", "acknowledged", "resolved"]

_WITH_SUBJECT: frozenset[Signal] = frozenset({"drift", "swap", "pipeline"})


class Monitor(msgspec.Struct, frozen=True, order=True):
    """The identity of a monitor: which signal it watches, and what of it.

    Events, URLs and metric labels carry its ``name``; ``parse`` reads the name back.

    Attributes:
        signal: The signal.
        kind: What of the signal: ``topics``, ``total``, a judge's name, a metric that two
            versions are compared by, or a part of the pipeline.
        subject: What exactly, for a version comparison, for the pipeline's own health, and for
            drift in one language: a judge and its score, a judge, the name of another monitor,
            the language. Else empty.
    """

    signal: Signal
    kind: str
    subject: str = ""

    @property
    def name(self) -> str:
        """The name in events, URLs and metric labels: the parts between dots.

        Example:
            >>> Monitor("swap", "quality", "likelihood.fluency").name
            'swap.quality.likelihood.fluency'
        """
        named = f"{self.signal}.{self.kind}"
        return f"{named}.{self.subject}" if self.subject else named

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, name: str) -> Monitor:
        """Parse the name of a monitor.

        Raises:
            MonitorNameError: The name does not begin with a signal, or ends after it.

        Example:
            >>> Monitor.parse("pipeline.statistics.latency.total")
            Monitor(signal='pipeline', kind='statistics', subject='latency.total')
        """
        word, _, rest = name.partition(".")
        signal = next((known for known in get_args(Signal) if known == word), None)
        if signal is None or not rest:
            raise MonitorNameError(
                f"{name[:80]!r} is no monitor: expected a signal ({', '.join(get_args(Signal))}), "
                "a dot and what of it, such as latency.total"
            )
        kind, _, subject = rest.partition(".") if signal in _WITH_SUBJECT else (rest, "", "")
        return cls(signal, kind, subject)


class State(StrEnum):
    """What a monitor says of a segment at the end of a window."""

    OK = "ok"
    INFO = "info"
    WARN = "warn"
    CRITICAL = "critical"
    LOW_DATA = "low_data"
    NO_DATA = "no_data"
    NO_BASELINE = "no_baseline"
    UNQUALIFIED = "unqualified"
    REFUSED = "refused"


class CallerShare(msgspec.Struct, frozen=True, kw_only=True):
    """One caller's part of a sample of requests.

    Attributes:
        customer: Whose requests they are, the first characters of the name.
        hits: Its sampled requests that show the indicator.
        trials: All its sampled requests of which the indicator was asked.
        apart: Whether its share of the requests that show the indicator is larger than its
            share of the others: their intervals, which hold for all callers named together
            with 95% confidence, do not meet.
    """

    customer: str
    hits: int
    trials: int
    apart: bool


class Callers(msgspec.Struct, frozen=True, kw_only=True):
    """Whose the requests are that show an indicator, by a sample of all requests.

    Attributes:
        hits: Sampled requests that show it.
        trials: Sampled requests of which it was asked.
        shares: The few callers with most of the former, first the most.
    """

    hits: int
    trials: int
    shares: tuple[CallerShare, ...]


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One indicator's part in a verdict.

    Attributes:
        indicator: Its name, such as ``cluster/17`` or ``latency/above_p95``.
        title: The same for people, such as a cluster's terms.
        baseline_rate: The rate in the baseline.
        low: Lower edge of the null band.
        high: Upper edge of the null band.
        hits: Events for which it held, since ``Verdict.since_ms``.
        trials: Events looked at, since ``Verdict.since_ms``.
        rate_low: Lower end of the 95% interval of the current rate.
        rate_high: Upper end.
        share: Part of the statistic that it contributes, in [0, 1].
        exemplars: Requests that show it.
        callers: Whose they are, where more show it than in the baseline and requests are
            sampled.
    """

    indicator: str
    title: str
    baseline_rate: float
    low: float
    high: float
    hits: int
    trials: int
    rate_low: float
    rate_high: float
    share: float
    exemplars: tuple[Exemplar, ...] = ()
    callers: Callers | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that JSON cannot represent.

        Raises:
            ValueError: A number is not finite.
        """
        _check_finite(
            f"effect of {self.indicator}",
            baseline_rate=self.baseline_rate,
            low=self.low,
            high=self.high,
            rate_low=self.rate_low,
            rate_high=self.rate_high,
            share=self.share,
        )


class JudgedAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """Answers of one version with a judge's scores, which show what an alarm on them stands for.

    Attributes:
        version: The version that answered; empty where versions have no labels.
        current: Whether they are of the time of the alarm; else they are what was before.
        judge: The judge with its specification.
        score: Name of the score.
        worst: The answers with the lowest scores, the lowest first.
        typical: Answers drawn at random.
    """

    version: str
    current: bool
    judge: str
    score: str
    worst: tuple[Exemplar, ...] = ()
    typical: tuple[Exemplar, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.verdict"):
    """What one monitor says of one segment after one window.

    Attributes:
        monitor: Name of the monitor, such as ``drift.topics`` or ``quality.likelihood``.
        signal: Which signal it belongs to.
        segment: Slice of the traffic.
        time_ms: End of the window.
        state: What it says.
        log_statistic: Log of the evidence, None where nothing was tested.
        log_threshold: Log of ``A / share``: an alarm at or above it.
        mean_seconds_to_false_alarm: What the threshold promises for this monitor alone.
        since_ms: Estimated start of the change.
        events: Events of the window.
        baseline: Id of the baseline; empty where there is none.
        baseline_segment: Key of the segment whose baseline was used, if a wider one.
        season: ``hour-of-week``, ``hour-of-day`` or ``none``: which slots the bands know.
        effects: The indicators that contributed most, first the largest.
        coincidences: What else happened at the start of the change, a sentence each; parts
            of ``sentence``.
        sentence: The whole verdict in one sentence for people.
        back_test: How its reference did on its own baseline, for people.
        evidence: Judged answers that show it, of an alarm on quality; those of before beside.
    """

    monitor: str
    signal: Signal
    segment: Segment
    time_ms: int
    state: State
    sentence: str
    log_statistic: float | None = None
    log_threshold: float | None = None
    mean_seconds_to_false_alarm: float | None = None
    since_ms: int | None = None
    events: int = 0
    baseline: str = ""
    baseline_segment: str = ""
    season: str = "none"
    effects: tuple[Effect, ...] = ()
    coincidences: tuple[str, ...] = ()
    back_test: str = ""
    evidence: tuple[JudgedAnswers, ...] = ()
    schema_version: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that JSON cannot represent.

        Raises:
            ValueError: A number is not finite.
        """
        _check_finite(
            f"verdict of {self.monitor}",
            log_statistic=self.log_statistic,
            log_threshold=self.log_threshold,
            mean_seconds_to_false_alarm=self.mean_seconds_to_false_alarm,
        )


class Alert(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.alert"):
    """A monitor's alarm began, was acknowledged or ended.

    Attributes:
        alert_id: Identity of the alarm, the same from firing to resolved.
        incident: Identity of the incident that it belongs to: the ``alert_id`` of the
            incident's first alarm.
        monitor: Which monitor.
        signal: Which signal.
        segment: Slice of the traffic.
        severity: How loud.
        status: ``firing``; ``acknowledged`` once somebody has it, and it still fires; or
            ``resolved``.
        starts_ms: When it began to fire.
        time_ms: When this was said.
        summary: One sentence.
        verdict: The verdict that raised it.
        onset_ms: When the change began, as it was known when the alarm was raised.
        new_version: The new version that the change began with, empty for none.
        owner: Who has acknowledged it, empty for nobody.
        note: What its owner says.
        severity_before: Its severity before it escalated, None while it never did.
    """

    alert_id: str
    monitor: str
    signal: Signal
    segment: Segment
    severity: Severity
    status: AlertStatus
    starts_ms: int
    time_ms: int
    summary: str
    verdict: Verdict
    incident: str = ""
    onset_ms: int | None = None
    new_version: str = ""
    owner: str = ""
    note: str = ""
    severity_before: Severity | None = None
    schema_version: int = 1

    @property
    def fires(self) -> bool:
        """Whether the alarm goes on, acknowledged or not."""
        return self.status != "resolved"


def _check_finite(what: str, **numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not isfinite(number):
            raise ValueError(f"{what}: {name} must be finite, got {number}")
