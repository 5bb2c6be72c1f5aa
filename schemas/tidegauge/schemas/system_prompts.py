"""How a system prompt is named: by a hash, which tells one from another and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from tidegauge.schemas.exchange import Message
from tidegauge.schemas.hashing import short_hash

__all__ = ["WITHOUT_PROMPT", "system_prompt"]

WITHOUT_PROMPT = "none"
"""Name for requests without a system prompt."""


def system_prompt(messages: Iterable[Message]) -> str:
    """Return the name of a request's system prompt: eight hexadecimal digits.

    Example:
        >>> system_prompt([Message(role="user", content="High tide?")])
        'none'
    """
    texts = [one.content for one in messages if one.role in {"system", "developer"}]
    return short_hash("\0".join(texts)) if texts else WITHOUT_PROMPT
