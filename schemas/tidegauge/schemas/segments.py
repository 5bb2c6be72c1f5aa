"""Segments: the slices of the traffic that are counted and tested separately."""

from __future__ import annotations

from urllib.parse import quote, unquote

import msgspec

__all__ = ["OTHER", "Segment"]

_FIELDS = 4


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
