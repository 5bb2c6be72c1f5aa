"""Reads metrics in Prometheus' text format (version 0.0.4), within bounds and without trust.

Only the metrics that are asked for are looked at, by one regular expression over the whole answer,
so a server with thousands of histogram buckets costs little. A server is not trusted: what is too
long, too much or no number is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.segments import cut

__all__ = ["MOST_BYTES", "ExpositionError", "Metric", "read_metrics"]

MOST_BYTES: Final = 4 * 1024 * 1024
"""Longest answer that is read."""

_LARGEST: Final = 1e18
"""No count and no energy of a server reaches it, and sums of such numbers stay finite."""
_MOST_METRICS: Final = 10_000
_MOST_LABELS: Final = 32
# A name begins where no other character of one stands before it: tried at each of its own
# characters, a long run without a value would take time with the square of its length.
_LABEL: Final = re.compile(rb'(?<![a-zA-Z0-9_])([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[^\n])*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_UNESCAPED: Final = {"n": "\n"}


class ExpositionError(TidegaugeError):
    """An answer holds no metrics that can be read."""


class Metric(NamedTuple):
    """One value of a metric.

    Attributes:
        name: Its name.
        labels: Name -> value, cut to a bounded length.
        value: A number of 0 or more, and of a possible size.
    """

    name: str
    labels: Mapping[str, str]
    value: float


def read_metrics(answer: bytes, wanted: Iterable[str]) -> list[Metric]:
    r"""Return the values of the metrics that are asked for, in their order in the answer.

    Values that are no numbers, below 0 or above 1e18 are left out.

    Args:
        answer: The body of a scrape.
        wanted: Names of metrics.

    Raises:
        ExpositionError: The answer is too long, or has too many of these values.

    Example:
        >>> answer = b'# HELP up Whether it is up.\nup{job="a"} 1\nup 2e3 1700000\nupper 3\n'
        >>> [(metric.labels, metric.value) for metric in read_metrics(answer, ["up"])]
        [({'job': 'a'}, 1.0), ({}, 2000.0)]
    """
    if len(answer) > MOST_BYTES:
        raise ExpositionError(f"the answer has {len(answer)} bytes, more than {MOST_BYTES}")
    found: list[Metric] = []
    for name, labels, value in _pattern(frozenset(wanted)).findall(b"\n" + answer):
        number = _number(value)
        if number is None:
            continue
        if len(found) >= _MOST_METRICS:
            raise ExpositionError(f"the answer has more than {_MOST_METRICS} values")
        found.append(Metric(name.decode(), _labels(labels), number))
    return found


@lru_cache(maxsize=16)
def _pattern(wanted: frozenset[str]) -> re.Pattern[bytes]:
    names = b"|".join(re.escape(name.encode()) for name in sorted(wanted))
    braces = rb'(\{(?:[^"\n}]|"(?:[^"\\\n]|\\[^\n])*")*\})?'
    # A literal at its beginning lets the engine skip to the next line: twice as fast as ``^``.
    return re.compile(rb"\n(" + names + rb")" + braces + rb"[ \t]+([^ \t\r\n]{1,64})")


def _number(text: bytes) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= _LARGEST else None


def _labels(text: bytes) -> dict[str, str]:
    labels: dict[str, str] = {}
    for found in _LABEL.finditer(text):
        if len(labels) >= _MOST_LABELS:
            break
        value = found[2].decode(errors="replace")
        labels[cut(found[1].decode())] = cut(_ESCAPED.sub(_unescaped, value))
    return labels


def _unescaped(found: re.Match[str]) -> str:
    return _UNESCAPED.get(found[1], found[1])
