"""What became of baselines that were asked for, as the command line and the monitor tell it."""

from __future__ import annotations

import msgspec

from tidegauge.schemas.operations import BaselineKind, ExcludedTime, Making

__all__ = ["Kept", "MadeBaseline"]


class MadeBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """A baseline that was published.

    Attributes:
        kind: Its kind.
        baseline_id: Its id.
        how: What it is.
        active: Whether it was put in force.
        said: What was done and why, for people.
        promise: What it promises.
        changes: How it differs from the one in force before.
        drift: How it differs from its anchor.
        excluded: Times that it leaves out.
    """

    kind: BaselineKind
    baseline_id: str
    how: Making
    active: bool
    said: str
    promise: str
    changes: tuple[str, ...]
    drift: tuple[str, ...]
    excluded: tuple[ExcludedTime, ...]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a kind of baseline.

    Attributes:
        kind: The kind.
        said: What was done, or what it waits for; for people.
        made: The baseline that was built, None if none was.
        attempted: Whether one was due.
    """

    kind: BaselineKind
    said: str
    made: MadeBaseline | None = None
    attempted: bool = False
