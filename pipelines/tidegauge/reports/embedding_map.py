"""A map of requests by their vectors: two principal directions, both ranges side by side."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tidegauge.reports.text import clip

__all__ = ["EmbeddingMap", "PlacedRequest", "embedding_map", "svg"]

FEWEST: Final = 20
"""Requests of each range without which there is no map."""

_WIDTH, _HEIGHT, _MARGIN = 760, 460, 24
_LABELS, _LABEL_CHARACTERS, _LABEL_SHARE = 8, 28, 0.02
_INNER = (0.01, 0.99)  # a stray point does not shrink the map, and lies at its edge
_ROOM = 0.15
_LETTER, _LINE = 6.6, 15  # width and height of the names' letters


@dataclass(frozen=True, slots=True)
class PlacedRequest:
    """A request's vector, what made it, and the topic that it lies in."""

    embedder: str
    topic: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class EmbeddingMap:
    """Both ranges in the two leading principal directions of their vectors.

    Attributes:
        reference: Places of the reference range's requests, n x 2.
        current: Places of the current range's requests, m x 2.
        topics: The n + m requests' topics, the reference range's first.
        explained: Share of the vectors' variance that both directions hold.
    """

    reference: NDArray[np.float64]
    current: NDArray[np.float64]
    topics: tuple[str, ...]
    explained: float


def embedding_map(
    reference: Sequence[PlacedRequest], current: Sequence[PlacedRequest]
) -> EmbeddingMap | None:
    """Return a map of both ranges; None where too few vectors of one embedder are known.

    The directions are the leading eigenvectors of the covariance of all vectors (principal
    components), each with its largest part positive: the same requests give the same map.
    """
    counts = Counter((item.embedder, len(item.vector)) for item in current if item.vector)
    if not counts:
        return None
    kind, _ = max(counts.items(), key=lambda item: (item[1], item[0]))
    sides = [
        [item for item in side if (item.embedder, len(item.vector)) == kind]
        for side in (reference, current)
    ]
    if min(map(len, sides)) < FEWEST or kind[1] < 4:  # noqa: PLR2004 - two numbers of 16 bits
        return None
    placed = [*sides[0], *sides[1]]
    vectors = np.array([np.frombuffer(item.vector, "<f2") for item in placed], np.float64)
    vectors -= vectors.mean(axis=0)
    values, directions = np.linalg.eigh(vectors.T @ vectors / len(placed))
    leading = directions[:, :-3:-1]
    leading = leading * np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(2)])
    places = vectors @ leading
    total = float(values.sum())
    return EmbeddingMap(
        reference=places[: len(sides[0])],
        current=places[len(sides[0]) :],
        topics=tuple(item.topic for item in placed),
        explained=float(values[-2:].sum()) / total if total > 0 else 0.0,
    )


def svg(found: EmbeddingMap) -> str:
    """Return a map as an SVG element: reference in grey, current in orange, topics by name."""
    places = np.concatenate([found.reference, found.current])
    low, high = (np.quantile(places, edge, axis=0) for edge in _INNER)
    room = _ROOM * (high - low)
    low, high = low - room, high + room
    inner = np.array([_WIDTH, _HEIGHT]) - 2 * _MARGIN
    scaled = np.clip((places - low) / np.maximum(high - low, 1e-12), 0, 1) * inner + _MARGIN
    scaled[:, 1] = _HEIGHT - scaled[:, 1]
    split = len(found.reference)
    dots = "".join(
        f'<path d="{_path(side)}" stroke="{colour}" stroke-width="4" stroke-linecap="round" '
        'stroke-opacity="0.45" fill="none"/>'
        for side, colour in ((scaled[:split], "#6b7280"), (scaled[split:], "#d9480f"))
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" style="max-width:{_WIDTH}px;'
        'width:100%;border:1px solid #ccc;background:#fff" '
        'aria-label="Map of requests: reference grey, current orange">'
        f"{dots}{_names(found.topics, scaled)}</svg>"
    )


def _path(points: NDArray[np.float64]) -> str:
    # A line of no length with round ends is a dot, in a fifth of the bytes of a circle.
    return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in points)


def _names(topics: Sequence[str], scaled: NDArray[np.float64]) -> str:
    """Return the largest topics' names, each at the median of its requests."""
    shares = Counter(topic for topic in topics if topic)
    of_topic = np.array(topics)
    said: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for topic, number in sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:_LABELS]:
        if number < _LABEL_SHARE * len(topics):
            break
        name = clip(topic, _LABEL_CHARACTERS)
        half = _LETTER * len(name) / 2
        x, y = np.median(scaled[of_topic == topic], axis=0)
        x = min(max(x, half), _WIDTH - half)
        while any(
            abs(x - left) < half + wide and abs(y - top) < _LINE for left, top, wide in taken
        ):
            y += 1  # the largest topics' names stay where they are
        taken.append((x, y, half))
        said.append(
            f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" font-size="12" '
            'font-family="system-ui,sans-serif" fill="#111" stroke="#fff" stroke-width="3" '
            f'paint-order="stroke">{html.escape(name)}</text>'
        )
    return "".join(said)
