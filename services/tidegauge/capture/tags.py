"""What an application says its requests are made with: the prompt's version, an experiment.

It says so in a request's metadata or headers. The names are the application's and untrusted: an
event carries them, pages show them, and the vitals worker counts the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from tidegauge.capture.history import given_id

__all__ = ["NO_TAGS", "TAG_HEADERS", "tags_in"]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "prompt_version": ("prompt_version", "prompt-version", "promptVersion"),
        "experiment": ("experiment", "experiment_id", "variant"),
    }
)
"""Tag -> its names in metadata, in order of preference."""

TAG_HEADERS: Final[Mapping[bytes, str]] = MappingProxyType(
    {b"x-prompt-version": "prompt_version", b"x-experiment": "experiment"}
)
"""Header -> the tag that it holds; a header goes before metadata."""

NO_TAGS: Final[dict[str, str]] = {}
"""The tags of most requests; never changed."""

_READABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:@/+-]{0,59}")


def tags_in(metadata: object, headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return a request's tags, from its headers or its metadata.

    A value that is longer than 60 characters, or has others than letters, digits and the usual
    marks of names, is hashed.

    Args:
        metadata: The request's metadata as the client sent it; None without any.
        headers: The request's headers, names in lower case.

    Example:
        >>> tags_in({"prompt_version": 12}, {b"x-experiment": b"short answers"})
        {'prompt_version': '12', 'experiment': 'short answers'}
        >>> tags_in({"experiment": {"arm": "b"}}, {}), tags_in("v12", {})
        ({}, {})
        >>> tags_in({"experiment": "<b>"}, {})
        {'experiment': 'hashed-381c882d'}
    """
    found: dict[str, str] = {}
    if isinstance(metadata, Mapping):
        for tag, names in _NAMES.items():
            value = next(filter(None, (_named(metadata.get(name)) for name in names)), None)
            if value is not None:
                found[tag] = value
    for header, tag in TAG_HEADERS.items():
        if header in headers and (value := _named(headers[header].decode("latin-1"))):
            found[tag] = value
    return found or NO_TAGS


def _named(value: object) -> str | None:
    """Return a tag's value as it is shown; None where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or given_id(value) is None:
        return None
    if _READABLE.fullmatch(value):
        return value
    return f"hashed-{blake2b(value.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"
