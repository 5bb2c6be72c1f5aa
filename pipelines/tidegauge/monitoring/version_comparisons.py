"""New versions of models as they appear, and their comparisons with the version before."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegauge.monitoring import version_comparison as comparison
from tidegauge.monitoring.display import Display
from tidegauge.monitoring.ledger import READS
from tidegauge.monitoring.version_comparison import VersionComparison
from tidegauge.monitoring.view import VersionComparisonView
from tidegauge.monitoring.windows import MergedWindow
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Verdict
from tidegauge.schemas.sketches import Sketch, SketchKind

__all__ = ["VersionComparisons", "VersionComparisonsState"]

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
        self._swaps.append(comparison.begin(old, segment, window.start_ms, totals))
        del self._swaps[:-_MOST]

    def advance(self, sketch: Sketch, end_ms: int) -> None:
        """Count one segment's closed window."""
        self._swaps = [
            comparison.advance(swap, sketch, alpha=self._alpha, end_ms=end_ms)
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
            for verdict in comparison.verdicts(swap, kind=kind, time_ms=time_ms)
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
        return tuple(comparison.view(swap) for swap in self._swaps)

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
