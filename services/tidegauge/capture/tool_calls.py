"""Puts the tool calls of an answer together from their parts."""

from __future__ import annotations

import json

import msgspec

from tidegauge.capture.text_limits import well_formed

__all__ = ["Calls"]


class _Call:
    """A tool call that is being put together."""

    __slots__ = ("arguments", "custom", "id", "name")

    def __init__(self, *, custom: bool) -> None:
        self.id: str | None = None
        self.name: str | None = None
        self.custom = custom
        self.arguments: list[str] = []

    def whole(self) -> bool:
        """Whether the arguments are complete, so that what follows belongs to another call."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}"):
            return False
        try:
            json.loads("".join(self.arguments))
        except (ValueError, RecursionError):
            return False
        return True

    def in_form(self) -> dict[str, object]:
        """Return the call in the chat API's form."""
        kind, content = ("custom", "input") if self.custom else ("function", "arguments")
        arguments = well_formed("".join(self.arguments))
        return {"id": self.id, "type": kind, kind: {"name": self.name, content: arguments}}


class Calls:
    """The tool calls of an answer, put together from their parts.

    Calls are told apart by their ids. Where a part has none that is known, by its place, unless
    it begins another call there: servers are known to give all calls one index, or none, and to
    make a new id for each part.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_place: dict[object, _Call] = {}

    def add(
        self, place: object, call_id: str | None, name: str | None, *, custom: bool, whole: bool
    ) -> _Call:
        """Return the call that a part belongs to, a new one if it begins one."""
        place = place if isinstance(place, str | int) else None
        call = None if whole else self._by_id.get(call_id or "")
        if call is not None and name and place is not None and place not in self._by_place:
            call = None if call.whole() else call  # a server that gives all calls one id
        if call is None and not whole:
            call = self._continued(place, call_id, name)
        if call is None:
            call = _Call(custom=custom)
            self._calls.append(call)
        if place is not None:
            self._by_place[place] = call
        if call.id is None and call_id:
            call.id = call_id
            self._by_id[call_id] = call
        return call

    def _continued(self, place: object, call_id: str | None, name: str | None) -> _Call | None:
        """Return the call that a part without a known id continues; None if it begins one."""
        call = None if place is None else self._by_place.get(place)
        if call is None:
            nameless = not call_id and not name
            return self._calls[-1] if nameless and self._calls else None
        if not name:
            return call
        begins = call.whole()
        if call_id and call.id and not begins:
            # Another call, unless this one is cut off in its arguments, which are JSON.
            cut_off = not call.custom and any(call.arguments) and name == call.name
            begins = not cut_off
        return None if begins else call

    def in_form(self) -> str:
        """Return the calls in the chat API's form, as JSON text."""
        return msgspec.json.encode([call.in_form() for call in self._calls]).decode()
