"""What a model's swap of versions changed in its cost: per million tokens and per conversation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from tidegauge.cost.bill import Bill, ChargeKey
from tidegauge.reports.bill_tables import GroupCost, group_cost
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.upstream_events import CostLine

__all__ = ["SwapCost", "swap_costs"]

_CLIENTS: Final[frozenset[CostLine]] = frozenset({"served", "failed", "retry"})
"""Why clients' requests are paid for: a candidate's copies are no swap."""


@dataclass(frozen=True, slots=True)
class SwapCost:
    """A model's cost by one version and by the one that came after it.

    Attributes:
        model: The model.
        old: The version before.
        new: The new version.
        since_ms: From when on requests of the new one are known, Unix milliseconds.
        before: What requests cost by the old one.
        after: What they cost by the new one.
    """

    model: str
    old: str
    new: str
    since_ms: int
    before: GroupCost
    after: GroupCost


def swap_costs(bill: Bill, seen: Iterable[tuple[int, ChargeKey]]) -> tuple[SwapCost, ...]:
    """Return the swaps of versions in a range of time, the newest first.

    Versions that were there from the same moment on are no swap.

    Args:
        bill: The bill of the range.
        seen: (time, charge) for all charges of its parts, such as hours.
    """
    first: dict[Segment, int] = {}
    for time_ms, key in seen:
        if key.line in _CLIENTS:
            version = _version(key)
            first[version] = min(time_ms, first.get(version, time_ms))
    of_clients = {key: one for key, one in bill.charges.items() if key.line in _CLIENTS}
    charges = replace(bill, charges=of_clients).by(lambda key: _version(key).key)
    ordered = sorted(first, key=lambda version: (version.model, first[version]))
    found = [
        SwapCost(
            model=new.model,
            old=old.version,
            new=new.version,
            since_ms=first[new],
            before=group_cost(old.version, charges[old.key]),
            after=group_cost(new.version, charges[new.key]),
        )
        for old, new in pairwise(ordered)
        if old.model == new.model and first[old] < first[new]
    ]
    return tuple(sorted(found, key=lambda one: -one.since_ms))


def _version(key: ChargeKey) -> Segment:
    segment = Segment.from_key(key.segment)
    return Segment(model=segment.model, version=segment.version)
