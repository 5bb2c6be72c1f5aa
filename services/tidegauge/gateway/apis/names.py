"""Refuses requests that the gateway and an upstream could read differently.

JSON does not say which of two equal names counts, and some servers ignore the case of names. A
request with two models could pass the gateway's check with one and be answered by the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from tidegauge.gateway.errors import RefusedError
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["READ", "refuse_ambiguous"]

READ: Final = frozenset(
    (
        *("model", "messages", "prompt", "input", "system", "instructions", "message"),
        *("system_prompt", "stream", "stream_options", "temperature", "top_p", "max_tokens"),
        *("max_completion_tokens", "max_output_tokens", "seed", "n", "response_format", "text"),
        *("structured_outputs", "tools", "functions", "metadata", "litellm_session_id"),
        *("conversation", "previous_response_id"),
    )
)
"""The names that the gateway reads at the top level of a request, over all APIs."""

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NAME: Final = re.compile(rb'[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*')
_END: Final = re.compile(rb"[ \t\r\n]*[,}]")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]')
_LONGEST: Final = 1024 * 1024


def refuse_ambiguous(body: bytes) -> None:
    """Refuse a body with a name that the gateway reads twice, or in another case.

    A body that is no JSON object, or nested too deep, is left to its API.

    Raises:
        RefusedError: The body is ambiguous.

    Example:
        >>> refuse_ambiguous(b'{"model": "a", "Model": "b"}')
        Traceback (most recent call last):
        ...
        tidegauge.gateway.errors.RefusedError: the request has 'Model' beside or in place of 'model'
    """
    try:
        members = _members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    for name in members.keys() - READ:
        known = name.casefold()
        if known in READ:
            raise _ambiguous(f"{name[:64]!r} beside or in place of {known!r}")
    if _has_each_once(body, members):
        return
    if len(body) > _LONGEST:
        raise _ambiguous("a name twice")
    for name in _names_twice(body):
        if name in READ:
            raise _ambiguous(f"{name!r} twice")


def _has_each_once(body: bytes, members: Mapping[str, msgspec.Raw]) -> bool:
    """Whether each name stands once in the body, from which ``members`` was decoded.

    A value that was overwritten by a later one leaves bytes that the members do not explain.
    Clients that write no blanks, and those that write one after each comma and colon, need no
    search for them.
    """
    count = len(members)
    length = sum([len(name) + len(value) for name, value in members.items()]) + 4 * count + 1
    if len(body) == length:
        return True
    if len(body) == length + 2 * count - 1:
        written = b", ".join([b'"%b": %b' % (name.encode(), members[name]) for name in members])
        if body[1:-1] == written:
            return True
    place = body.index(b"{") + 1
    for name, value in members.items():
        found = _NAME.match(body, place)
        if found is None or msgspec.json.decode(found[1]) != name:
            return False
        place = found.end() + len(value)
        end = _END.match(body, place)
        if end is None or not body.startswith(value, found.end()):
            return False
        place = end.end()
    return body[place - 1 : place] == b"}" or not members


def _names_twice(body: bytes) -> list[str]:
    """Return the names that stand more than once at the top level."""
    depth, last = 0, b""
    seen: set[str] = set()
    twice: list[str] = []
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif token == b":":
            if depth == 1:
                name = msgspec.json.decode(last, type=str)
                (twice.append if name in seen else seen.add)(name)
        else:
            last = token
    return twice


def _ambiguous(what: str) -> RefusedError:
    return RefusedError(
        ErrorKind.INVALID_REQUEST,
        f"the request has {what}",
        message=f"The request has {what}: send each name once, as the API spells it.",
        code="ambiguous_request",
    )
