"""The request as it goes upstream: the client's own bytes, but for what must change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tidegauge.gateway.apis.api import malformed

__all__ = ["rewrite"]

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_options: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_encode: Final = msgspec.json.Encoder().encode
_SYNONYMS: Final = (
    ("max_tokens", "max_completion_tokens"),
    ("max_completion_tokens", "max_tokens"),
)
_TRUE: Final = msgspec.Raw(b"true")
_INCLUDE_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')


def rewrite(body: bytes, replace: Mapping[str, msgspec.Raw], *, ask_for_usage: bool) -> bytes:
    """Replace fields of a JSON object and leave every other value's bytes as they are.

    A field's older or newer name goes with it, so that the client's cannot outlive it.

    Args:
        body: A JSON object.
        replace: Field -> its new value as JSON text.
        ask_for_usage: Whether to set ``stream_options.include_usage``.

    Raises:
        RefusedError: A field's name, one that the dialect did not need, is not UTF-8.

    Example:
        >>> rewrite(b'{"model": "a", "x": 1.50}', {"model": msgspec.Raw(b'"b"')},
        ...         ask_for_usage=False)
        b'{"model":"b","x":1.50}'
    """
    if not replace and not ask_for_usage:
        return body
    try:
        fields = _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from error
    fields.update(replace)
    for name, other in _SYNONYMS:
        if name in replace and other not in replace:
            fields.pop(other, None)
    if ask_for_usage:
        options = _options.decode(fields["stream_options"]) if "stream_options" in fields else None
        if options:
            options["include_usage"] = _TRUE
            fields["stream_options"] = msgspec.Raw(_encode(options))
        else:
            fields["stream_options"] = _INCLUDE_USAGE
    return _encode(fields)
