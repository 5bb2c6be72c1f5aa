"""Checks of the form that the client asked for: JSON, a JSON schema, tool arguments.

Clients write the schemas and models the answers, so both are untrusted. A check that would take
too long is not made, and its finding gives the reason.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegauge.gateway.policy.checks.keywords import UncheckedError, Work
from tidegauge.gateway.policy.checks.schema import Schema, decode_json

__all__ = ["Finding", "check_json", "check_json_schema", "check_tool_arguments", "unchecked"]

Finding = str
"""``passed``, ``failed``, or ``unchecked: `` and a keyword or a limit."""

_LONGEST: Final = 256 * 1024
_LONGEST_TOOLS: Final = 1024 * 1024


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"null")


class _Custom(msgspec.Struct):
    name: str | None = None


class _Call(msgspec.Struct):
    function: _Function | None = None
    custom: _Custom | None = None


_calls: Final = msgspec.json.Decoder(list[_Call])


def unchecked(reason: object) -> Finding:
    """Return the finding of a check that was not made."""
    return f"unchecked: {reason}"


def check_json(text: str | bytes) -> Finding:
    """Check whether the text is one JSON object, as ``json_object`` requires."""
    try:
        return _finding(isinstance(decode_json(text), dict))
    except msgspec.DecodeError:
        return "failed"
    except UncheckedError as error:
        return unchecked(error)


def check_json_schema(text: str | bytes, schema: bytes) -> Finding:
    """Check whether the text is JSON that satisfies the schema; for limits see ``schema``.

    Example:
        >>> check_json_schema('{"a": "x"}', b'{"properties": {"a": {"type": "number"}}}')
        'failed'
        >>> check_json_schema('{"a": "x"}', b'{"properties": {"a": {"pattern": "(x+)+"}}}')
        'unchecked: pattern'
    """
    try:
        work = Work()
        return _finding(Schema.read(schema, work).accepts(decode_json(text), work))
    except msgspec.DecodeError:
        return "failed"
    except UncheckedError as error:
        return unchecked(error)


def check_tool_arguments(tool_calls: str | bytes, tools: bytes | None) -> Finding | None:
    """Check whether every call names an offered tool and its arguments satisfy the tool's schema.

    The input of a custom tool is a text without a form. Where the request offers no tools, they
    are kept by the server, and arguments only have to be JSON. None if calls or tools do not have
    the chat API's form.

    Args:
        tool_calls: The answer's calls in the chat API's form, JSON text.
        tools: The tools offered, JSON text; None if the request offers none.
    """
    if len(tool_calls) > _LONGEST or len(tools or b"") > _LONGEST_TOOLS:
        return unchecked("size")
    try:
        calls = _calls.decode(tool_calls)
        offered = _calls.decode(tools or b"[]")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    except RecursionError:
        return unchecked("depth")
    toolbox = (
        None if tools is None else _Toolbox([tool.function for tool in offered if tool.function])
    )
    custom = {tool.custom.name for tool in offered if tool.custom}
    left_open = None
    for call in calls:
        try:
            if call.custom is not None:
                accepted = tools is None or call.custom.name in custom
            elif toolbox is None:
                accepted = call.function is not None and _is_json(call.function.arguments)
            else:
                accepted = toolbox.accepts(call.function)
            if not accepted:
                return "failed"
        except UncheckedError as error:
            left_open = unchecked(error)
    return left_open or "passed"


def _is_json(arguments: str | None) -> bool:
    try:
        decode_json(arguments or "{}")
    except msgspec.DecodeError:
        return False
    return True


class _Toolbox:
    """The offered tools, and the work budget for checking all calls."""

    def __init__(self, offered: list[_Function]) -> None:
        self._texts = {tool.name: bytes(tool.parameters) for tool in offered}
        self._schemas: dict[str | None, Schema | UncheckedError] = {}
        self._work = Work()

    def accepts(self, call: _Function | None) -> bool:
        """Whether a call names an offered tool and its arguments satisfy the tool's schema.

        Raises:
            UncheckedError: The check takes too much work, or the schema cannot be checked.
        """
        if call is None or call.name not in self._texts:
            return False
        try:
            arguments = decode_json(call.arguments or "{}")
        except msgspec.DecodeError:
            return False
        if self._texts[call.name] == b"null":
            return True
        schema = self._schema(call.name)
        if isinstance(schema, UncheckedError):
            raise UncheckedError(str(schema))
        return schema.accepts(arguments, self._work)

    def _schema(self, name: str | None) -> Schema | UncheckedError:
        """Return a tool's schema, or the reason why it is not checked; each is read once."""
        if name not in self._schemas:
            try:
                self._schemas[name] = Schema.read(self._texts[name], self._work)
            except UncheckedError as error:
                self._schemas[name] = error
        return self._schemas[name]


def _finding(accepted: object) -> Finding:
    return "passed" if accepted else "failed"
