"""Splits a sketch that is too long for one record into sketches whose sum it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec

from tidegauge.schemas import encode
from tidegauge.schemas.sketches import Sketch

__all__ = ["SKETCH_BYTES", "split"]

SKETCH_BYTES = 800_000
"""Most bytes of a sketch in JSON: with key and headers it stays below 1 MB."""

_SAMPLED = 4
"""Requests of the sample that stay together."""

_MARGIN_BYTES = 16
"""What JSON adds to a key and a value, and to a map of labels, at most."""

_Fields: TypeAlias = dict[str, Any]
_Piece: TypeAlias = tuple[int, Callable[[_Fields], None]]
"""Bytes of a piece, and what adds it to the fields of a sketch."""


def split(sketch: Sketch, most_bytes: int = SKETCH_BYTES) -> Iterator[Sketch]:
    """Yield sketches that are together the given one, the first with its events.

    Args:
        sketch: A sketch; one that is short enough is yielded as it is.
        most_bytes: Longest encoded sketch, unless one number or indicator alone is longer.
    """
    if len(encode(sketch)) <= most_bytes:
        yield sketch
        return
    empty = msgspec.structs.replace(
        sketch,
        hits={},
        trials={},
        moments={},
        histograms={},
        totals={},
        strata={},
        exemplars={},
        sample=(),
    )
    room = most_bytes - len(encode(empty))
    fields: _Fields = {}
    held = 0
    for size, add in _pieces(sketch):
        if fields and held + size > room:
            yield msgspec.structs.replace(empty, **fields)
            empty = msgspec.structs.replace(empty, events=0, late=0)
            fields, held = {}, 0
        add(fields)
        held += size
    yield msgspec.structs.replace(empty, **fields)


def _pieces(sketch: Sketch) -> Iterator[_Piece]:
    for field in ("hits", "trials", "exemplars"):
        for name, value in getattr(sketch, field).items():
            yield _sized(name, value), _entry(field, name, value)
    for name, found in sketch.moments.items():
        # A number's moments and histogram belong together.
        moments = _entry("moments", name, found)
        histogram = _entry("histograms", name, sketch.histograms[name])
        size = _sized(name, found) + _sized(name, sketch.histograms[name])
        yield size, _both(moments, histogram)
    for field in ("totals", "strata"):
        for name, labels in getattr(sketch, field).items():
            for label, value in labels.items():
                size = _sized(name, None) + _sized(label, value)
                yield size, _label(field, name, label, value)
    for start in range(0, len(sketch.sample), _SAMPLED):
        chunk = sketch.sample[start : start + _SAMPLED]
        yield _sized("", chunk), _more("sample", chunk)


def _sized(name: str, value: object) -> int:
    return len(msgspec.json.encode(name)) + len(msgspec.json.encode(value)) + _MARGIN_BYTES


def _entry(field: str, name: str, value: object) -> Callable[[_Fields], None]:
    def add(fields: _Fields) -> None:
        fields.setdefault(field, {})[name] = value

    return add


def _label(field: str, name: str, label: str, value: object) -> Callable[[_Fields], None]:
    def add(fields: _Fields) -> None:
        fields.setdefault(field, {}).setdefault(name, {})[label] = value

    return add


def _both(
    first: Callable[[_Fields], None], second: Callable[[_Fields], None]
) -> Callable[[_Fields], None]:
    def add(fields: _Fields) -> None:
        first(fields)
        second(fields)

    return add


def _more(field: str, values: tuple[object, ...]) -> Callable[[_Fields], None]:
    def add(fields: _Fields) -> None:
        fields[field] = (*fields.get(field, ()), *values)

    return add
