"""A bounded memory: the newest values, the older half of which is forgotten at once."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

__all__ = ["Recent"]

V = TypeVar("V")

_REMEMBERED: Final = 16_384


class Recent(Generic[V]):
    """The newest values, by the hash of what they belong to.

    Two dictionaries cost less than an order kept for every entry: once the newer one is full, it
    takes the older one's place.

    Args:
        most: Most values; at least half as many are kept.

    Example:
        >>> recent = Recent(most=4)
        >>> for key in range(5): recent.remember(key, str(key))
        >>> [recent.get(key) for key in range(5)]
        [None, None, '2', '3', '4']
    """

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._half = most // 2
        self._new: dict[int, V] = {}
        self._old: dict[int, V] = {}

    def get(self, key: int) -> V | None:
        """Return a value; None if it was never there or is forgotten."""
        found = self._new.get(key)
        return self._old.get(key) if found is None else found

    def remember(self, key: int, value: V) -> None:
        """Store a value as the newest one."""
        if len(self._new) >= self._half:
            self._new, self._old = {}, self._new
        self._new[key] = value
