"""When a model's traffic was first made with something new: a system prompt, a served model.

Appearances are annotations: they are told with the alarms that they coincide with, and test
nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from tidegauge.reports.formatting import moment
from tidegauge.reports.text import clip
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch

__all__ = ["Appearance", "Appearances"]

_LEAST_SHARE = 0.1
_MOST_VALUES = 32
_MOST_MODELS = 100
_NEAR_MS = 60_000
_LEARNING_MS = 600_000
_LONG_AGO_MS = 6 * 3_600_000


class Appearance(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a model's responses are made with.

    Attributes:
        model: The model.
        dimension: What it is a value of, such as ``system prompt``.
        value: The value; a prompt's is a hash.
        first_ms: Start of the first window in which a tenth of the responses had it, Unix
            milliseconds.
        is_new: Whether it came later than ten minutes after the dimension's first value.
    """

    model: str
    dimension: str
    value: str
    first_ms: int
    is_new: bool


class Appearances:
    """What each model's responses are made with, and since when.

    A dimension with more than 32 values varies by itself, and nothing is told of it.

    Args:
        known: The state to resume from.
    """

    def __init__(self, known: Iterable[Appearance] = ()) -> None:
        self._known: dict[tuple[str, str], dict[str, Appearance]] = defaultdict(dict)
        for one in known:
            self._known[one.model, one.dimension][one.value] = one

    def notice(self, sketches: Sequence[Sketch]) -> None:
        """Note what the responses of one window were made with."""
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        start_ms = min((one.window_start_ms for one in sketches), default=0)
        for sketch in sketches:
            for name, labels in sketch.totals.items():
                dimension = measures.made_with_of(name)
                if dimension:
                    counts[sketch.segment.model, dimension].update(labels)
        for place, found in counts.items():
            if place not in self._known and len(self._known) >= _MOST_MODELS:
                continue
            self._add(place, found, start_ms)

    def _add(self, place: tuple[str, str], found: Counter[str], start_ms: int) -> None:
        known = self._known[place]
        least = _LEAST_SHARE * found.total()
        new = [value for value, n in found.items() if value not in known and n >= least]
        began_ms = min((one.first_ms for one in known.values()), default=start_ms)
        for value in sorted(set(new) - {measures.OTHER_CUSTOMER}):
            if len(known) <= _MOST_VALUES:
                model, dimension = place
                known[value] = Appearance(
                    model=model,
                    dimension=dimension,
                    value=value,
                    first_ms=start_ms,
                    is_new=start_ms >= began_ms + _LEARNING_MS,
                )

    def sentences(self, model: str, since_ms: int) -> tuple[str, ...]:
        """Return what a model's traffic was first made with before a change, the newest first.

        Args:
            model: The model.
            since_ms: When the change began, Unix milliseconds.
        """
        near = [
            one
            for (of, _), values in self._known.items()
            if of == model and len(values) <= _MOST_VALUES
            for one in values.values()
            if one.is_new and since_ms - _LONG_AGO_MS <= one.first_ms <= since_ms + _NEAR_MS
        ]
        return tuple(
            f"A new {one.dimension} ({clip(one.value, 80)}) was first seen at "
            f"{moment(one.first_ms)}."
            for one in sorted(near, key=lambda one: (-one.first_ms, one.dimension))
        )

    def state(self) -> tuple[Appearance, ...]:
        """Return the state as plain data."""
        return tuple(one for values in self._known.values() for one in values.values())
