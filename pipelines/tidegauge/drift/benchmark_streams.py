"""The benchmark's protocol: streams of requests with a known change.

The topics of a file are assigned to their roles anew for each baseline: some are held out of it,
one may be marked as out of scope, and a few become more frequent. Streams are drawn from texts
that the baseline does not hold, without repetition as long as there are enough: a stream drawn
repeatedly from the same few texts would differ from the baseline by what is special about these
texts. So streams without a change end where the texts do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.errors import DriftError
from tidegauge.reports.formatting import percent

__all__ = [
    "CHANGES",
    "NO_CHANGE",
    "Change",
    "Shares",
    "draw",
    "first_alarm",
    "fresh_events",
    "matched_level",
    "share_out",
]

Rows: TypeAlias = NDArray[np.int64]

HELD_OUT, SWELLING = 10, 5


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a stream from its first event on.

    Attributes:
        kind: ``none``; requests ``out_of_scope`` or on ``held_out`` topics mixed in; known
            topics that are ``swelling``; known requests ``reworded``.
        size: Share of the requests that are changed; for ``swelling``, how many times as
            frequent the topics are.
    """

    kind: Literal["none", "out_of_scope", "held_out", "swelling", "reworded"]
    size: float = 0.0

    @property
    def name(self) -> str:
        """Return its name in the results."""
        if self.kind == "none":
            return "no change"
        words = self.kind.replace("_", " ")
        return (
            f"{words} x{self.size:g}"
            if self.kind == "swelling"
            else f"{words} {percent(self.size)}"
        )

    @property
    def key(self) -> str:
        """Return its name on the command line, such as ``out_of_scope:0.1``."""
        return f"{self.kind}:{self.size:g}"


NO_CHANGE = Change("none")
CHANGES = (
    *(Change("out_of_scope", size) for size in (0.02, 0.05, 0.1, 0.2)),
    *(Change("held_out", size) for size in (0.02, 0.05, 0.1, 0.2)),
    *(Change("swelling", size) for size in (2.0, 3.0)),
    *(Change("reworded", size) for size in (0.1, 0.2)),
)


@dataclass(frozen=True, slots=True)
class Shares:
    """Rows of the file by their role.

    Attributes:
        baseline: Rows that the baseline is built from.
        known: Other texts on the same topics.
        held_out: Texts on topics that the baseline lacks.
        out_of_scope: Texts of the topic that is marked as out of scope.
        reworded: Rewordings of ``known`` texts.
        swelling: Whether each of ``known`` is on a topic that becomes more frequent.
    """

    baseline: Rows
    known: Rows
    held_out: Rows
    out_of_scope: Rows
    reworded: Rows
    swelling: NDArray[np.bool_]


def share_out(
    topics: Sequence[str],
    originals: Rows,
    *,
    out_of_scope: str,
    baseline: int,
    rng: np.random.Generator,
) -> Shares:
    """Assign the rows of a file to their roles.

    Args:
        topics: Topic of each row.
        originals: Original row of each rewording; the rewordings follow these rows, shape (m,).
        out_of_scope: The topic whose texts are out of scope.
        baseline: Most rows of the baseline; a quarter of the known ones is kept for streams.
        rng: Draws the topics and the rows.

    Raises:
        DriftError: There are too few topics.
    """
    labels = np.array(topics)
    names = np.unique(labels[labels != out_of_scope])
    if len(names) < HELD_OUT + 2 * SWELLING:
        raise DriftError(
            f"the protocol needs {HELD_OUT + 2 * SWELLING} topics, the file has {len(names)}"
        )
    chosen = rng.permutation(names)
    held = np.isin(labels, chosen[:HELD_OUT])
    rows = rng.permutation(np.flatnonzero(~held & (labels != out_of_scope)))
    size = min(baseline, 3 * len(rows) // 4)
    known = rows[size:]
    return Shares(
        baseline=rows[:size],
        known=known,
        held_out=np.flatnonzero(held),
        out_of_scope=np.flatnonzero(labels == out_of_scope),
        reworded=len(labels) + np.flatnonzero(np.isin(originals, known)),
        swelling=np.isin(labels[known], chosen[HELD_OUT : HELD_OUT + SWELLING]),
    )


def draw(shares: Shares, change: Change, events: int, rng: np.random.Generator) -> Rows:
    """Draw a stream: a row of the file for each event.

    Args:
        shares: The rows by their role.
        change: The change, from the first event on.
        events: Length of the stream; without a change it ends where the texts do.
        rng: Draws the rows.
    """
    if change.kind == "none":
        return rng.permutation(shares.known)[:events]
    share, strange, usual = _mixture(shares, change)
    mixed = rng.random(events) < share
    found = np.empty(events, np.int64)
    found[mixed] = _some(strange, int(mixed.sum()), rng)
    found[~mixed] = _some(usual, int((~mixed).sum()), rng)
    return found


def fresh_events(shares: Shares, change: Change) -> int:
    """Return after about how many events of a stream texts are drawn a second time."""
    if change.kind == "none":
        return len(shares.known)
    share, strange, usual = _mixture(shares, change)
    return int(min(len(strange) / share, len(usual) / (1 - share)))


def _mixture(shares: Shares, change: Change) -> tuple[float, Rows, Rows]:
    """Return the share of the changed requests, their rows, and the rows of the others."""
    if change.kind == "swelling":
        odds = np.where(shares.swelling, change.size, 1.0)
        share = float(odds[shares.swelling].sum() / odds.sum())
        return share, shares.known[shares.swelling], shares.known[~shares.swelling]
    strange = {
        "out_of_scope": shares.out_of_scope,
        "held_out": shares.held_out,
        "reworded": shares.reworded,
    }[change.kind]
    return change.size, strange, shares.known


def _some(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Return rows in random order, from the start again when all have been drawn."""
    rounds = [rng.permutation(rows) for _ in range(-(-count // max(len(rows), 1)))]
    return np.concatenate(rounds or [rows[:0]])[:count]


def first_alarm(path: NDArray[np.float64], level: float, window: int) -> float:
    """Return after how many events a statistic reaches a level; infinite if it never does.

    Args:
        path: The statistic after each window.
        level: Threshold of the alarm.
        window: Events of a window.
    """
    reached = np.flatnonzero(path >= level)
    return float((reached[0] + 1) * window) if reached.size else float("inf")


def matched_level(
    paths: Sequence[NDArray[np.float64]], *, window: int, mean_events: float
) -> float:
    """Return the lowest threshold at which streams without a change alarm rarely enough.

    Each stream is observed until its alarm or its end: the number of events observed for each
    alarm is the mean time to a false alarm if the rate of alarms does not change with time.

    Args:
        paths: The statistic of each stream without a change after each window.
        window: Events of a window.
        mean_events: Least number of events observed for each alarm.
    """
    seen = np.unique(np.concatenate(paths))
    levels = np.append(seen, np.nextafter(seen[-1], np.inf))
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        delays = np.array([first_alarm(path, levels[middle], window) for path in paths])
        watched = np.minimum(delays, [len(path) * window for path in paths]).sum()
        alarms = np.isfinite(delays).sum()
        if alarms and watched / alarms < mean_events:
            low = middle + 1
        else:
            high = middle
    return float(levels[low])
