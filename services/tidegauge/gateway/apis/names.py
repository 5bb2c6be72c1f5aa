"""Refuses requests that the gateway and an upstream could read differently.

JSON does not say which of two equal names counts, and some servers ignore the case of names. A
request with two models could pass the gateway's check with one and be answered by the other.
"""

from __future__ import annotations

import re
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

_QUOTED: Final = {name: b'"%b"' % name.encode() for name in READ}
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
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
    # The only escape that can write a letter of a name; ``in`` would raise an error inside.
    maybe_twice = body.find(b"\\u") >= 0
    for name in members:
        quoted = _QUOTED.get(name)
        if quoted is None:
            if name.casefold() in READ:
                raise _ambiguous(f"{name[:64]!r} beside or in place of {name.casefold()!r}")
        elif body.count(quoted) > 1:
            maybe_twice = True
    if maybe_twice:
        _refuse_twice(body)


def _refuse_twice(body: bytes) -> None:
    compact = msgspec.json.format(body, indent=-1)  # without blanks
    # A value that a later one of its name has overwritten is missing among the members. Names
    # cannot make up for its bytes, since none can be written shorter than the encoder writes it.
    if len(_encode(_members(compact))) == len(compact):
        return
    if len(body) > _LONGEST:
        raise _ambiguous("a name twice, or one with escapes")
    for name in _names_twice(body):
        if name in READ:
            raise _ambiguous(f"{name!r} twice")


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
