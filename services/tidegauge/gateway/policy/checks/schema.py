"""A JSON Schema validator for untrusted schemas and untrusted values.

A general validator follows references over the network and into files, runs regular
expressions, and needs exponential time for some keywords. This one supports the keywords whose
work can be counted and resolves references only within the schema. It decides within a fixed
budget of work, or leaves the value unchecked. The drafts 7, 2019-09 and 2020-12 are supported;
schemas of other drafts, or with any other keyword that constrains, are left unchecked. As in
those drafts, unknown keywords and ``format`` constrain nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import isinf
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from tidegauge.gateway.policy.checks.keywords import KEYWORDS, Node, UncheckedError, Work, never

__all__ = ["Schema", "decode_json"]

_LONGEST: Final = 256 * 1024
_CACHED_BYTES: Final = 16 * 1024
_MOST_PARTS: Final = 5_000
_BYTES_A_STEP: Final = 4
_STEPS_A_PART: Final = 4
"""A cached schema costs the same steps as a new one, so that findings are reproducible."""

_INDEX: Final = re.compile("0|[1-9][0-9]{0,5}")

_DRAFT_7: Final = "http://json-schema.org/draft-07/schema"
_DRAFTS: Final = frozenset(
    {
        _DRAFT_7,
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    }
)
_UNCHECKED: Final = frozenset(
    (
        # References out of the schema, or whose target depends on the evaluation path.
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef"),
        *("$schema", "$vocabulary", "id"),
        # Regular expressions.
        *("pattern", "patternProperties"),
        # Compare all pairs, or need to know what other keywords have evaluated.
        *("unevaluatedItems", "unevaluatedProperties", "uniqueItems"),
        # Rare, or of another draft.
        *("additionalItems", "contains", "dependencies", "dependentRequired", "dependentSchemas"),
        *("disallow", "divisibleBy", "extends", "maxContains", "minContains", "propertyNames"),
    )
)
"""Keywords that leave a schema unchecked; ``$schema`` does so only below the root."""


def decode_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return a JSON text's value.

    Raises:
        msgspec.DecodeError: The text is not JSON.
        UncheckedError: The text is too long or too deep, or a number is too large.
    """
    if len(text) > _LONGEST:
        raise UncheckedError("size")
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError:  # a number that is too large is still valid JSON
        raise UncheckedError("number") from None
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error
    except RecursionError:
        raise UncheckedError("depth") from None


def _float(text: str) -> float:
    """Parse a number; msgspec's own parsing of ``1e308`` takes 50 times as long."""
    number = float(text)
    if isinf(number):
        raise ValueError("the number is too large")
    return number


_decoder: Final = msgspec.json.Decoder(float_hook=_float)


class Schema:
    """A compiled schema.

    Args:
        content: The decoded schema.

    Raises:
        UncheckedError: The schema cannot be checked.

    Attributes:
        parts: The number of subschemas.
    """

    def __init__(self, content: object) -> None:
        compiler = _Compiler(content)
        self._root = compiler.run()
        self.parts = compiler.parts

    @staticmethod
    def read(text: bytes, work: Work) -> Schema:
        """Return the schema of a JSON text; recent short ones are cached.

        Raises:
            UncheckedError: The text is too long, is not a schema, or has unsupported keywords.
        """
        work.spend(len(text) // _BYTES_A_STEP)
        schema = _kept(text) if len(text) <= _CACHED_BYTES else _made(text)
        if isinstance(schema, str):
            raise UncheckedError(schema)
        work.spend(_STEPS_A_PART * schema.parts)
        return schema

    def accepts(self, value: object, work: Work) -> bool:
        """Whether a decoded JSON value satisfies the schema.

        Raises:
            UncheckedError: The check takes too much work.
        """
        work.depth = 0
        try:
            return self._root.accepts(value, work)
        except RecursionError:
            raise UncheckedError("depth") from None


def _made(text: bytes) -> Schema | str:
    """Return a schema, or the reason why it is not checked."""
    try:
        return Schema(decode_json(text))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "invalid"
    except UncheckedError as error:
        return str(error)


_kept: Final = lru_cache(maxsize=128)(_made)


class _Compiler:
    """Compiles subschemas into nodes, one for each subschema even if it is referenced often.

    Pending subschemas wait in a list instead of recursion, so that deep schemas cannot exhaust
    the stack.
    """

    def __init__(self, whole: object) -> None:
        self.parts = 0
        self._whole = whole
        self._nodes: dict[int, Node] = {}
        self._waiting: list[tuple[Node, dict[str, Any]]] = []
        draft = whole.get("$schema") if isinstance(whole, dict) else None
        if draft is not None:
            draft = draft.removesuffix("#") if isinstance(draft, str) else ""
            if draft not in _DRAFTS:
                raise UncheckedError("$schema")
        self._draft_7 = draft == _DRAFT_7
        self.knows_prefixes = draft is None or draft.endswith("2020-12/schema")

    def run(self) -> Node:
        if not isinstance(self._whole, dict):
            raise UncheckedError("invalid")
        root = self.node(self._whole, "invalid")
        while self._waiting:
            self._fill(*self._waiting.pop())
        return root

    def node(self, schema: object, keyword: str) -> Node:
        """Return the node of a keyword's subschema."""
        self.parts += 1
        if self.parts > _MOST_PARTS:
            raise UncheckedError("size")
        if isinstance(schema, bool):
            node = Node()
            if not schema:
                node.tests.append(never)
            return node
        if not isinstance(schema, dict):
            raise UncheckedError(keyword)
        known = self._nodes.get(id(schema))  # ids stay unique: the whole schema stays alive
        if known is None:
            known = self._nodes[id(schema)] = Node()
            self._waiting.append((known, schema))
        return known

    def resolve(self, reference: object) -> object:
        """Return the value that a JSON pointer within the schema points at."""
        if not isinstance(reference, str) or not (reference + "/").startswith("#/"):
            raise UncheckedError("$ref")
        place = self._whole
        for step in unquote(reference).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(place, dict) and name in place:
                place = place[name]
            elif isinstance(place, list) and _INDEX.fullmatch(name) and int(name) < len(place):
                place = place[int(name)]
            else:
                raise UncheckedError("$ref")
            if isinstance(place, dict) and isinstance(place.get("$id"), str):
                raise UncheckedError("$id")
        return place

    def _fill(self, node: Node, schema: dict[str, Any]) -> None:
        if self._draft_7 and "$ref" in schema:
            schema = {"$ref": schema["$ref"]}  # draft 7 ignores the keywords beside ``$ref``
        for keyword in schema:
            if keyword in _UNCHECKED and not (keyword == "$schema" and schema is self._whole):
                raise UncheckedError(keyword)
        for keyword, make in KEYWORDS.items():
            if keyword in schema:
                steps, test = make(schema[keyword], schema, self)
                node.steps += steps
                node.tests.append(test)
