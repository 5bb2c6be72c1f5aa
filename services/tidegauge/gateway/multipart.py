"""Reads and replaces the text fields of a ``multipart/form-data`` body (RFC 7578).

The files in the body are neither parsed nor changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["content_type", "is_multipart", "read_field", "replace_fields"]

_BOUNDARY: Final = re.compile(rb"--([0-9A-Za-z'()+_,./:=? -]{1,70})\r\n")
_NAME: Final = re.compile(
    rb'^content-disposition:[^\r\n]*?;\s*name="([^"\r\n]*)"', re.IGNORECASE | re.MULTILINE
)
_FILE: Final = re.compile(
    rb"^content-disposition:[^\r\n]*?;\s*filename\*?=", re.IGNORECASE | re.MULTILINE
)
_LONGEST_FIELD: Final = 64 * 1024


def is_multipart(body: bytes) -> bool:
    """Whether a body is multipart; JSON that is an object begins differently."""
    return _BOUNDARY.match(body) is not None


def content_type(body: bytes) -> bytes:
    """Return the content type of a request's body: multipart with its boundary, or JSON."""
    found = _BOUNDARY.match(body)
    return b"application/json" if found is None else _multipart_type(found[1])


def _multipart_type(boundary: bytes) -> bytes:
    return b'multipart/form-data; boundary="%b"' % boundary


def read_field(body: bytes, name: str) -> str | None:
    r"""Return a text field's value; None if it is absent, there twice, or not UTF-8.

    Example:
        >>> body = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--x--'
        >>> read_field(body, "model"), read_field(body, "prompt")
        ('m', None)
    """
    found = [content for key, content, _ in _parts(body) if key == name.encode()]
    if len(found) != 1 or len(found[0]) > _LONGEST_FIELD:
        return None
    try:
        return found[0].decode()
    except UnicodeDecodeError:
        return None


def replace_fields(body: bytes, fields: Mapping[str, str]) -> bytes:
    """Return a body whose text fields have other values; the others' bytes stay unchanged.

    Args:
        body: A multipart body.
        fields: Name -> value; a name that the body does not have is added.
    """
    found = _BOUNDARY.match(body)
    if found is None or not fields:
        return body
    names = {name.encode() for name in fields}
    kept = [raw for name, _, raw in _parts(body) if name not in names]
    added = [
        b'\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), value.encode())
        for name, value in fields.items()
    ]
    delimiter = b"\r\n--" + found[1]
    return (delimiter + delimiter.join([*added, *kept]) + delimiter + b"--\r\n")[2:]


def _parts(body: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield each part's name (empty for files), its content, and its bytes after the delimiter."""
    found = _BOUNDARY.match(body)
    if found is None:
        return
    for raw in (b"\r\n" + body).split(b"\r\n--" + found[1])[1:]:
        head, blank, content = raw.partition(b"\r\n\r\n")
        if not blank:
            continue  # the end
        name = _NAME.search(head)
        is_text = name is not None and _FILE.search(head) is None
        yield (name[1] if name is not None and is_text else b""), content, raw
