"""States, evidence and the false-alarm promise, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tidegauge.reports.formatting import duration, percent
from tidegauge.schemas.findings import State, Verdict

__all__ = ["ALARMS", "EvidenceStanding", "Standing", "evidence", "overall", "promise", "standing"]

Tone = Literal["critical", "warn", "info", "ok", "quiet"]
"""The colour in which a state is shown."""

ALARMS = frozenset({State.INFO, State.WARN, State.CRITICAL})
"""States in which a monitor reports a change."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A state for people.

    Attributes:
        state: The state.
        word: The state in one or two words.
        tone: The state's colour.
        meaning: The state's meaning in one sentence.
    """

    state: State
    word: str
    tone: Tone
    meaning: str


_STANDINGS = {
    item.state: item
    for item in (
        Standing(
            State.CRITICAL,
            "critical",
            "critical",
            "Changed, and users are harmed by it: quality, errors or latency got worse.",
        ),
        Standing(State.WARN, "warn", "warn", "Changed, beyond what chance explains."),
        Standing(
            State.INFO, "info", "info", "Changed significantly, but by less than you asked to know."
        ),
        Standing(State.OK, "ok", "ok", "Tested after every window; no change was found."),
        Standing(
            State.UNQUALIFIED,
            "unqualified",
            "quiet",
            "The judge cannot tell good answers from bad ones, so its scores raise no alarm.",
        ),
        Standing(
            State.REFUSED,
            "no promise",
            "quiet",
            "The baseline does not foresee how the rates wander: nothing is tested, and nothing "
            "can alarm.",
        ),
        Standing(
            State.NO_BASELINE,
            "no baseline",
            "quiet",
            "There is nothing to compare with: nothing is tested, and nothing can alarm.",
        ),
        Standing(
            State.NO_DATA,
            "no data",
            "quiet",
            "No recent events: nothing is tested, and nothing can alarm.",
        ),
        Standing(
            State.LOW_DATA,
            "low data",
            "quiet",
            "Tested, but on so few events that only a large change would be found.",
        ),
    )
}


def standing(state: State) -> Standing:
    """Return a state for people."""
    return _STANDINGS[state]


def overall(states: Iterable[State]) -> State | None:
    """Return the common state of several monitors of one signal; None for none.

    The most severe alarm counts; without one, a monitor that tests outweighs those that cannot.

    Example:
        >>> overall([State.OK, State.UNQUALIFIED]).value
        'ok'
    """
    found = set(states)
    order = (
        State.CRITICAL,
        State.WARN,
        State.INFO,
        State.OK,
        State.LOW_DATA,
        State.REFUSED,
        State.NO_BASELINE,
        State.NO_DATA,
        State.UNQUALIFIED,
    )
    return next((state for state in order if state in found), None)


@dataclass(frozen=True, slots=True)
class EvidenceStanding:
    """How far a monitor is from an alarm.

    Attributes:
        share: Log of the evidence divided by log of the threshold, in [0, 1].
        short: The share in a few words.
        sentence: The share in a sentence, with the threshold's promise.
    """

    share: float
    short: str
    sentence: str


def evidence(verdict: Verdict) -> EvidenceStanding | None:
    """Return how far a monitor is from an alarm; None if it tests nothing.

    The threshold promises a mean time to a false alarm, which grows in proportion to the
    threshold: chance alone crosses a threshold set at the present evidence once in the promised
    time multiplied by the ratio of evidence to threshold.
    """
    statistic, threshold = verdict.log_statistic, verdict.log_threshold
    if statistic is None or threshold is None or not threshold > 0:
        return None
    share = 0.0 if math.isnan(statistic) else min(1.0, max(0.0, statistic / threshold))
    beyond = statistic >= threshold
    short = "above the threshold" if beyond else f"{percent(share)} (log scale)"
    if verdict.mean_seconds_to_false_alarm is None:
        return EvidenceStanding(
            share, short, f"{percent(share)} of what an alarm takes (log scale)"
        )
    promised = verdict.mean_seconds_to_false_alarm
    if beyond:
        found = duration(promised * math.exp(min(statistic - threshold, 300.0)))
        sentence = f"above the threshold: chance alone gets this far at most once in {found}"
    else:
        sentence = (
            f"{percent(share)} of the threshold (log scale), which chance alone crosses at "
            f"most once in {duration(promised)}"
        )
    return EvidenceStanding(share, short, f"{sentence} on average")


def promise(days: float) -> str:
    """Return the deployment's promise about false alarms.

    Example:
        >>> promise(30)
        'At most one false alarm in 30 days on average, over all five signals and segments.'
    """
    return (
        f"At most one false alarm in {duration(86_400 * days)} on average, "
        "over all five signals and segments."
    )
