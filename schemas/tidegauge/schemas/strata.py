"""Strata of responses: what load and which lengths a duration was measured at.

Durations are compared within a stratum only, so that more load or longer texts are not taken
for a slower service. A stratum is a class of each of four properties; classes grow by a
constant factor, so that their number is small whatever the load.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

__all__ = ["LOADS", "OUTPUTS", "PROMPTS", "UNKNOWN", "LoadStratum", "class_of"]

LOADS: Final = (0, 1, 2, 3, 5, 7, 11, 15, 22, 31, 45, 63, 90, 127)
"""Largest number of requests in flight of each class but the last: two for each doubling."""

PROMPTS: Final = (256, 1_024, 4_096)
"""Largest number of the prompt's tokens of each class but the last."""

OUTPUTS: Final = (16, 64, 256, 1_024)
"""Largest number of the answer's tokens of each class but the last."""

UNKNOWN: Final = -1
"""Class of a property that was not measured, or that does not belong to the duration."""


class LoadStratum(NamedTuple):
    """The classes of one response, each the index that ``class_of`` returns, or ``UNKNOWN``.

    Attributes:
        load: Class of the number of requests in flight at arrival.
        prompt: Class of the prompt's tokens.
        output: Class of the answer's tokens.
        streamed: 1 if the answer was streamed, 0 if not.
    """

    load: int
    prompt: int
    output: int
    streamed: int

    @property
    def name(self) -> str:
        """The name in a sketch.

        Example:
            >>> LoadStratum(7, 1, UNKNOWN, 1).name
            '7/1/-1/1'
        """
        return f"{self.load}/{self.prompt}/{self.output}/{self.streamed}"

    @classmethod
    def parse(cls, name: str) -> LoadStratum:
        """Parse a name.

        Raises:
            ValueError: It is not the name of a stratum.
        """
        classes = [int(part) for part in name.split("/")]
        if len(classes) != len(cls._fields):
            raise ValueError(f"{name[:80]!r} is no stratum: expected four numbers between slashes")
        return cls(*classes)


def class_of(number: float, largest: tuple[int, ...]) -> int:
    """Return the index of the first class whose largest number is not exceeded, by bisection.

    Example:
        >>> class_of(4, LOADS), class_of(1_000, LOADS)
        (4, 14)
    """
    return bisect_left(largest, number)
