"""A baseline of rates of which only some references are new."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.schemas import Segment

__all__ = ["replace_references"]


def replace_references(
    old: RatesBaseline,
    fresh: RatesBaseline,
    *,
    models: Collection[str],
    monitors: Collection[str],
) -> RatesBaseline:
    """Return a baseline with the fresh references of some monitors of some models.

    All other references stay as they are and keep the id of the baseline that they are from, so
    that the evidence gathered against them, and the alarms that they raised, stay as well.

    Args:
        old: The baseline in force.
        fresh: A baseline of the time since a change.
        models: Models whose change was accepted.
        monitors: Names of the monitors that it concerns.
    """

    def is_replaced(monitor: str, key: str) -> bool:
        return monitor in monitors and Segment.from_key(key).model in models

    names = sorted(old.references.keys() | fresh.references.keys())
    references = {
        monitor: {
            **{
                key: one
                for key, one in old.references.get(monitor, {}).items()
                if not is_replaced(monitor, key)
            },
            **{
                key: one
                for key, one in fresh.references.get(monitor, {}).items()
                if is_replaced(monitor, key)
            },
        }
        for monitor in names
    }
    return msgspec.structs.replace(
        old,
        references={monitor: found for monitor, found in references.items() if found},
        to_ms=max(old.to_ms, fresh.to_ms),
        left_out={
            **{
                place: why for place, why in old.left_out.items() if not is_replaced(*_parts(place))
            },
            **{place: why for place, why in fresh.left_out.items() if is_replaced(*_parts(place))},
        },
    )


def _parts(place: str) -> tuple[str, str]:
    monitor, _, key = place.partition(" ")
    return monitor, key
