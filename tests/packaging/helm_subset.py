"""Renders a Helm chart that keeps to a few constructs of Go's templates, and refuses any other.

Helm itself is not everywhere; with this the chart's objects can be checked wherever the tests run.
Known are values by their paths, variables, ``if`` with ``else``, ``range`` over a map, and the
functions ``quote``, ``upper``, ``toYaml`` and ``nindent``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["ChartError", "render"]

_ACTION = re.compile(r"(\s*)\{\{-\s+(.*?)\s*\}\}|\{\{\s+(.*?)\s*\}\}", re.DOTALL)
_RANGE = re.compile(r"range \$(\w+), \$(\w+) := (\S+)")


class ChartError(Exception):
    """A template uses what is not known here, or a value that there is not."""


@dataclass
class _Block:
    """Text, actions and blocks, up to the end of the block."""

    head: str = ""
    parts: list[str | _Block] = field(default_factory=list)
    otherwise: list[str | _Block] | None = None

    def add(self, part: str | _Block) -> None:
        (self.parts if self.otherwise is None else self.otherwise).append(part)


def render(chart: Path, values: Mapping[str, Any], release: str = "tidegauge") -> list[Any]:
    """Return the objects of a chart, with values over those of its ``values.yaml``.

    Raises:
        ChartError: A template uses what is not known here.
    """
    merged = _merged(yaml.safe_load((chart / "values.yaml").read_text()), values)
    scope = {"Values": merged, "Release": {"Name": release, "Namespace": "default"}}
    found = []
    for path in sorted((chart / "templates").glob("*.yaml")):
        text = "".join(_written(_parsed(path.read_text()).parts, {"": scope}))
        found += [document for document in yaml.safe_load_all(text) if document is not None]
    return found


def _merged(ours: dict[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return values over others, as Helm merges them: maps key by key."""
    merged = dict(ours)
    for name, value in theirs.items():
        both = isinstance(value, Mapping) and isinstance(ours.get(name), dict)
        merged[name] = _merged(ours[name], value) if both else value
    return merged


def _parsed(text: str) -> _Block:
    stack, place = [_Block()], 0
    for action in _ACTION.finditer(text):
        stack[-1].add(text[place : action.start()])
        place = action.end()
        said = action[2] or action[3]
        if said.split()[0] in {"if", "range"}:
            block = _Block(said)
            stack[-1].add(block)
            stack.append(block)
        elif said == "else":
            stack[-1].otherwise = []
        elif said == "end":
            stack.pop()
        else:
            stack[-1].add(_Block(said))
    stack[-1].add(text[place:])
    if len(stack) != 1:
        raise ChartError(f"{len(stack) - 1} blocks are not ended")
    return stack[0]


def _written(parts: Sequence[str | _Block], names: Mapping[str, Any]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif part.head.startswith("if "):
            chosen = part.parts if _value(part.head[3:], names) else part.otherwise or []
            yield from _written(chosen, names)
        elif part.head.startswith("range "):
            found = _RANGE.fullmatch(part.head)
            if found is None:
                raise ChartError(f"unknown here: {part.head}")
            for key, value in sorted(_value(found[3], names).items()):
                yield from _written(part.parts, {**names, found[1]: key, found[2]: value})
        else:
            yield _shown(part.head, names)


def _shown(pipeline: str, names: Mapping[str, Any]) -> str:
    first, *filters = (step.split() for step in pipeline.split("|"))
    value = _value(first[-1], names)
    for function, *arguments in ([first[:-1]] if first[:-1] else []) + filters:
        match function, arguments:
            case "quote", []:
                value = json.dumps(_plain(value))
            case "upper", []:
                value = _plain(value).upper()
            case "toYaml", []:
                value = yaml.safe_dump(value).rstrip()
            case "nindent", [width]:
                value = "".join(f"\n{' ' * int(width)}{line}" for line in value.splitlines())
            case _:
                raise ChartError(f"unknown here: {function}")
    return _plain(value)


def _value(path: str, names: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever values.yaml has
    root, *keys = path.removeprefix("$").split(".")
    if root not in names:
        raise ChartError(f"no variable {path}")
    found = names[root]
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            raise ChartError(f"no value {path}")
        found = found[key]
    return found


def _plain(value: Any) -> str:  # noqa: ANN401 - as above
    return json.dumps(value) if isinstance(value, bool) else str(value)
