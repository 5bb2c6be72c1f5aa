"""Compatibility of two versions of a JSON Schema: readers of either version can read both.

Producers and readers are not upgraded at the same time. So, while an event's
``schema_version`` stays, only optional fields may be added (a reader ignores unknown fields)
and only descriptions may change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Breakage", "breakages"]

_WORDS = frozenset({"$id", "$schema", "$comment", "title", "description", "examples", "$defs"})
_COMPARED = frozenset(
    {"properties", "required", "enum", "anyOf", "prefixItems", "items", "additionalProperties"}
)
_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Breakage:
    """A change that breaks a reader.

    Attributes:
        path: Where in the event, such as ``usage.input_tokens``; items are written ``[]``.
        problem: What has changed, and which events or readers it breaks.
    """

    path: str
    problem: str

    def __str__(self) -> str:
        """Return path and problem in one line."""
        return f"{self.path or 'the event'}: {self.problem}"


def breakages(published: _Json, changed: _Json) -> list[Breakage]:
    """Compare an event's published schema with a changed one.

    Args:
        published: JSON Schema that readers rely on.
        changed: JSON Schema of the same event as it is now.

    Returns:
        The changes that break a reader; empty if there are none.

    Example:
        >>> old = {"type": "object", "properties": {"n": {"type": "integer"}}}
        >>> new = {"type": "object", "properties": {"n": {"type": "string"}}}
        >>> [str(breakage) for breakage in breakages(old, new)]
        ["n: type was 'integer' and is 'string'"]
    """
    return list(_compare(_Node(published, published), _Node(changed, changed), ""))


class _Node:
    """A part of a schema, with its reference resolved. No event refers to itself.

    Args:
        root: The whole schema.
        part: A part of it, which may be a reference.
    """

    def __init__(self, root: _Json, part: _Json) -> None:
        self._root = root
        while "$ref" in part:
            target: Any = root
            for step in part["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            part = {**target, **{name: part[name] for name in part if name != "$ref"}}
        self.part = part

    def of(self, part: _Json) -> _Node:
        return _Node(self._root, part)


def _compare(old: _Node, new: _Node, path: str) -> Iterator[Breakage]:
    yield from _compare_fields(old, new, path)
    yield from _compare_enums(old.part, new.part, path)
    for keyword in ("anyOf", "prefixItems"):
        yield from _compare_lists(old, new, path, keyword)
    for keyword in ("items", "additionalProperties"):
        yield from _compare_contents(old, new, path, keyword)
    for keyword in sorted((old.part.keys() | new.part.keys()) - _COMPARED - _WORDS):
        was, now = old.part.get(keyword), new.part.get(keyword)
        if was != now:
            yield Breakage(path, f"{keyword} was {was!r} and is {now!r}")


def _compare_fields(old: _Node, new: _Node, path: str) -> Iterator[Breakage]:
    before, after = old.part.get("properties", {}), new.part.get("properties", {})
    needed_before = set(old.part.get("required", ()))
    needed_after = set(new.part.get("required", ()))
    for name in before:
        where = _field(path, name)
        if name not in after:
            yield Breakage(where, "the field was removed: readers of it break")
            continue
        if name in needed_before - needed_after:
            yield Breakage(where, "the field became optional: readers that need it break")
        yield from _compare(old.of(before[name]), new.of(after[name]), where)
    for name in sorted(needed_after - needed_before):
        yield Breakage(_field(path, name), "the field became required: older events lack it")


def _field(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _compare_enums(old: _Json, new: _Json, path: str) -> Iterator[Breakage]:
    if "enum" not in old and "enum" not in new:
        return
    if "enum" not in old or "enum" not in new:
        yield Breakage(path, "the set of its values was opened or closed")
        return
    for value in [value for value in old["enum"] if value not in new["enum"]]:
        yield Breakage(path, f"the value {value!r} was removed: older events carry it")
    for value in [value for value in new["enum"] if value not in old["enum"]]:
        yield Breakage(path, f"the value {value!r} was added: older readers refuse it")


def _compare_lists(old: _Node, new: _Node, path: str, keyword: str) -> Iterator[Breakage]:
    before, after = old.part.get(keyword, ()), new.part.get(keyword, ())
    if len(before) != len(after):
        yield Breakage(path, f"{keyword} had {len(before)} entries and has {len(after)}")
        return
    for one, other in zip(before, after, strict=True):
        yield from _compare(old.of(one), new.of(other), path)


def _compare_contents(old: _Node, new: _Node, path: str, keyword: str) -> Iterator[Breakage]:
    before, after = old.part.get(keyword), new.part.get(keyword)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _compare(old.of(before), new.of(after), f"{path}[]")
    elif before != after:
        yield Breakage(f"{path}[]", f"{keyword} was {before!r} and is {after!r}")
