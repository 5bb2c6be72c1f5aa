"""A test for each JSON Schema keyword whose work can be counted.

Each maker returns a test and its number of steps, without the steps of nested subschemas. The
steps bound the time of a test for every schema and value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final, Protocol

__all__ = ["KEYWORDS", "Node", "Subschemas", "UncheckedError", "Work", "never"]

Json = Any
"""A decoded JSON value."""

_MOST_STEPS: Final = 100_000
_DEEPEST: Final = 100
_FRACTION_STEPS: Final = 200
"""Steps that take as long as dividing fractions of 300 digits."""


class UncheckedError(Exception):
    """A schema or a value is not checked; the message is the keyword or the limit, one word."""


class Work:
    """The remaining work budget for the checks of one answer.

    Attributes:
        depth: Current nesting depth of subschemas in the evaluation.
    """

    __slots__ = ("depth", "left")

    def __init__(self, steps: int = _MOST_STEPS) -> None:
        self.left = steps
        self.depth = 0

    def spend(self, steps: int) -> None:
        """Subtract steps; a step is one subschema, or one name, item or constant.

        Raises:
            UncheckedError: The budget is exhausted.
        """
        self.left -= steps
        if self.left < 0:
            raise UncheckedError("budget")


Test = Callable[[Json, Work], bool]
"""Whether a value satisfies one keyword."""

Made = tuple[int, Test]
"""A test's number of steps, and the test."""


class Node:
    """A subschema: its tests and their steps, without the steps of nested subschemas."""

    __slots__ = ("steps", "tests")

    def __init__(self) -> None:
        self.steps = 1
        self.tests: list[Test] = []

    def accepts(self, value: object, work: Work) -> bool:
        """Whether a value passes all tests.

        Raises:
            UncheckedError: The check takes too much work.
        """
        work.spend(self.steps)
        work.depth += 1
        if work.depth > _DEEPEST:
            raise UncheckedError("depth")
        for test in self.tests:
            if not test(value, work):
                work.depth -= 1
                return False
        work.depth -= 1
        return True


class Subschemas(Protocol):
    """Provides makers with the nodes of their keywords' subschemas."""

    @property
    def knows_prefixes(self) -> bool:
        """Whether the draft has ``prefixItems``."""

    def node(self, schema: object, keyword: str) -> Node:
        """Return the node of a keyword's subschema; UncheckedError if it is not a schema."""

    def resolve(self, reference: object) -> object:
        """Return the schema that a reference points at; UncheckedError if it is elsewhere."""


Maker = Callable[[Json, dict[str, Json], Subschemas], Made]
"""Makes a test from a keyword's value, the schema that contains it, and the subschemas."""


def never(_value: object, _work: Work) -> bool:
    """Reject every value."""
    return False


# msgspec decodes JSON into these Python types only.
_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in {int, float},
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _type(names: Json, _schema: object, _subschemas: Subschemas) -> Made:
    listed = names if isinstance(names, list) else [names]
    if not listed or not all(isinstance(name, str) and name in _TYPES for name in listed):
        raise UncheckedError("type")
    kinds = [_TYPES[name] for name in dict.fromkeys(listed)]
    if len(kinds) == 1:
        (only,) = kinds
        return 1, lambda value, _: only(value)
    return 1, lambda value, _: any(is_kind(value) for is_kind in kinds)


def _enum(constants: Json, _schema: object, _subschemas: Subschemas) -> Made:
    if not isinstance(constants, list):
        raise UncheckedError("enum")
    if all(isinstance(constant, str) for constant in constants):
        strings = frozenset(constants)
        return 1, lambda value, _: isinstance(value, str) and value in strings
    size = _size(constants)
    return size, lambda value, _: any(_same(constant, value) for constant in constants)


def _const(constant: Json, _schema: object, _subschemas: Subschemas) -> Made:
    return _size(constant), lambda value, _: _same(constant, value)


def _size(constant: object) -> int:
    """Return the number of values nested in a JSON value, including itself."""
    size, waiting = 0, [constant]
    while waiting:
        value = waiting.pop()
        size += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return size


def _same(constant: Json, value: Json) -> bool:
    """Whether two JSON values are equal; 1 equals 1.0, but booleans equal no number."""
    if isinstance(constant, bool) or isinstance(value, bool):
        return constant is value
    if isinstance(constant, dict) and isinstance(value, dict):
        return constant.keys() == value.keys() and all(
            _same(part, value[name]) for name, part in constant.items()
        )
    if isinstance(constant, list) and isinstance(value, list):
        return len(constant) == len(value) and all(map(_same, constant, value))
    return bool(constant == value)


def _bound(keyword: str, kind: Callable[[Any], bool], holds: Callable[[Any, Any], bool]) -> Maker:
    """Return the maker of a test that compares values of one kind with a number."""
    counts = keyword.endswith(("Length", "Items", "Properties"))

    def make(bound: Json, _schema: object, _subschemas: Subschemas) -> Made:
        if not _TYPES["integer" if counts else "number"](bound) or (counts and bound < 0):
            raise UncheckedError(keyword)
        return 1, lambda value, _: not kind(value) or holds(value, bound)

    return make


def _multiple_of(divisor: Json, _schema: object, _subschemas: Subschemas) -> Made:
    if not _TYPES["number"](divisor) or divisor <= 0:
        raise UncheckedError("multipleOf")
    exact = Fraction(repr(divisor))  # as written: 0.3 is a multiple of 0.1

    def test(value: Json, work: Work) -> bool:
        if not _TYPES["number"](value):
            return True
        if isinstance(value, int) and isinstance(divisor, int):
            return value % divisor == 0
        work.spend(_FRACTION_STEPS)
        return (Fraction(repr(value)) / exact).denominator == 1

    return 1, test


def _required(names: Json, _schema: object, _subschemas: Subschemas) -> Made:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UncheckedError("required")
    wanted = frozenset(names)
    return len(wanted), lambda value, _: not isinstance(value, dict) or wanted <= value.keys()


def _properties(schemas: Json, _schema: object, subschemas: Subschemas) -> Made:
    if not isinstance(schemas, dict):
        raise UncheckedError("properties")
    nodes = {name: subschemas.node(part, "properties") for name, part in schemas.items()}

    def test(value: Json, work: Work) -> bool:
        return not isinstance(value, dict) or all(
            node.accepts(value[name], work) for name, node in nodes.items() if name in value
        )

    return len(nodes), test


def _additional_properties(schema: Json, within: dict[str, Json], subschemas: Subschemas) -> Made:
    node = subschemas.node(schema, "additionalProperties")
    declared = within.get("properties", {})

    def test(value: Json, work: Work) -> bool:
        if not isinstance(value, dict):
            return True
        work.spend(len(value))
        return all(node.accepts(part, work) for name, part in value.items() if name not in declared)

    return 1, test


def _nodes(schemas: object, keyword: str, subschemas: Subschemas) -> list[Node]:
    if not isinstance(schemas, list) or not schemas:
        raise UncheckedError(keyword)
    return [subschemas.node(schema, keyword) for schema in schemas]


def _prefix_items(schemas: Json, _schema: object, subschemas: Subschemas) -> Made:
    if not subschemas.knows_prefixes:
        raise UncheckedError("prefixItems")
    nodes = _nodes(schemas, "prefixItems", subschemas)

    def test(value: Json, work: Work) -> bool:
        return not isinstance(value, list) or all(
            node.accepts(item, work) for node, item in zip(nodes, value, strict=False)
        )

    return 1, test


def _items(schema: Json, within: dict[str, Json], subschemas: Subschemas) -> Made:
    node = subschemas.node(schema, "items")
    prefix = within.get("prefixItems", ())
    start = len(prefix) if isinstance(prefix, list) else 0

    def test(value: Json, work: Work) -> bool:
        if not isinstance(value, list):
            return True
        work.spend(len(value))
        return all(node.accepts(item, work) for item in value[start:])

    return 1, test


def _all_of(schemas: Json, _schema: object, subschemas: Subschemas) -> Made:
    nodes = _nodes(schemas, "allOf", subschemas)
    return 1, lambda value, work: all(node.accepts(value, work) for node in nodes)


def _any_of(schemas: Json, _schema: object, subschemas: Subschemas) -> Made:
    nodes = _nodes(schemas, "anyOf", subschemas)
    return 1, lambda value, work: any(node.accepts(value, work) for node in nodes)


def _one_of(schemas: Json, _schema: object, subschemas: Subschemas) -> Made:
    nodes = _nodes(schemas, "oneOf", subschemas)
    return 1, lambda value, work: sum(node.accepts(value, work) for node in nodes) == 1


def _not(schema: Json, _schema: object, subschemas: Subschemas) -> Made:
    node = subschemas.node(schema, "not")
    return 1, lambda value, work: not node.accepts(value, work)


def _if(schema: Json, within: dict[str, Json], subschemas: Subschemas) -> Made:
    condition = subschemas.node(schema, "if")
    then = subschemas.node(within.get("then", True), "then")
    otherwise = subschemas.node(within.get("else", True), "else")
    return 1, lambda value, work: (then if condition.accepts(value, work) else otherwise).accepts(
        value, work
    )


def _ref(reference: Json, _schema: object, subschemas: Subschemas) -> Made:
    node = subschemas.node(subschemas.resolve(reference), "$ref")
    return 1, node.accepts


KEYWORDS: Final[Mapping[str, Maker]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound("minimum", _TYPES["number"], lambda value, bound: value >= bound),
    "maximum": _bound("maximum", _TYPES["number"], lambda value, bound: value <= bound),
    "exclusiveMinimum": _bound(
        "exclusiveMinimum", _TYPES["number"], lambda value, bound: value > bound
    ),
    "exclusiveMaximum": _bound(
        "exclusiveMaximum", _TYPES["number"], lambda value, bound: value < bound
    ),
    "multipleOf": _multiple_of,
    "minLength": _bound("minLength", _TYPES["string"], lambda value, bound: len(value) >= bound),
    "maxLength": _bound("maxLength", _TYPES["string"], lambda value, bound: len(value) <= bound),
    "minItems": _bound("minItems", _TYPES["array"], lambda value, bound: len(value) >= bound),
    "maxItems": _bound("maxItems", _TYPES["array"], lambda value, bound: len(value) <= bound),
    "minProperties": _bound(
        "minProperties", _TYPES["object"], lambda value, bound: len(value) >= bound
    ),
    "maxProperties": _bound(
        "maxProperties", _TYPES["object"], lambda value, bound: len(value) <= bound
    ),
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional_properties,
    "prefixItems": _prefix_items,
    "items": _items,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "$ref": _ref,
}
