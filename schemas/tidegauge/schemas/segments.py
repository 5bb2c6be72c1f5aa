"""Segments: the slices of the traffic that are counted and tested separately, and their names."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote, unquote

import msgspec

__all__ = ["NAME_CHARACTERS", "OTHER", "Segment", "cut"]

NAME_CHARACTERS = 128
"""Longest name of a part of a segment, of a customer, an indicator or a number."""

_FIELDS = 4
_DIGITS = 8


def cut(name: str) -> str:
    """Return a name of at most ``NAME_CHARACTERS``; a hash replaces what is cut off.

    Example:
        >>> cut("acme"), len(cut("a" * 1_000)), cut("a" * 1_000) == cut("a" * 1_001)
        ('acme', 128, False)
    """
    if len(name) <= NAME_CHARACTERS:
        return name
    digest = sha256(name.encode(errors="replace")).hexdigest()[:_DIGITS]
    return f"{name[: NAME_CHARACTERS - _DIGITS - 1]}~{digest}"


class Segment(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One value for each configured dimension.

    Attributes:
        model: The model's name as clients ask for it.
        version: The version label of the upstream that answered; empty for all of them.
        route: The gateway's route, such as ``/v1/chat/completions``; empty for all of them.
        customer: The customer, where segments are split by customer; else empty.
    """

    model: str
    version: str = ""
    route: str = ""
    customer: str = ""

    @property
    def key(self) -> str:
        """Return the segment as a Kafka key: its values, percent-encoded, between slashes.

        Example:
            >>> Segment(model="a/b", version="v1", route="/chat").key
            'a%2Fb/v1/%2Fchat/'
        """
        values = (self.model, self.version, self.route, self.customer)
        return "/".join(quote(value, safe="") for value in values)

    @classmethod
    def from_key(cls, key: str) -> Segment:
        """Parse the key of a segment.

        Raises:
            ValueError: The key does not have four parts.

        Example:
            >>> Segment.from_key("a%2Fb/v1/%2Fchat/").model
            'a/b'
        """
        parts = [unquote(part) for part in key.split("/")]
        if len(parts) != _FIELDS:
            msg = f"a segment's key has {_FIELDS} parts between slashes, got {key!r}"
            raise ValueError(msg)
        model, version, route, customer = parts
        return cls(model=model, version=version, route=route, customer=customer)

    @property
    def of_all_versions(self) -> Segment:
        """Return the segment over all versions of its model.

        Requests do not depend on the version that answers: drift is tested over all versions
        together, so that a swap does not interrupt the evidence.

        Example:
            >>> Segment(model="m", version="v2", route="/chat").of_all_versions.key
            'm//%2Fchat/'
        """
        return Segment(model=self.model, route=self.route, customer=self.customer)

    @property
    def bounded(self) -> Segment:
        """Return the segment with long names cut, so that no producer makes sketches grow."""
        parts = (self.model, self.version, self.route, self.customer)
        if max(map(len, parts)) <= NAME_CHARACTERS:
            return self
        model, version, route, customer = map(cut, parts)
        return Segment(model=model, version=version, route=route, customer=customer)

    def parents(self) -> tuple[Segment, ...]:
        """Return the wider segments whose baseline may be used for this one, nearest first.

        Example:
            >>> [p.key for p in Segment(model="m", version="v2", route="/chat").parents()]
            ['m//%2Fchat/', 'm///']
        """
        wider = (
            Segment(model=self.model, version=self.version, route=self.route),
            Segment(model=self.model, route=self.route),
            Segment(model=self.model),
        )
        return tuple(dict.fromkeys(parent for parent in wider if parent != self))


OTHER = Segment(model="other")
"""The segment in which all segments beyond the cap are counted."""
