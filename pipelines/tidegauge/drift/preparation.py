"""Turns the messages of a request into the text that is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from tidegauge.schemas.exchange import Message, last_message

__all__ = ["Preparation", "Prepared", "Selection", "prepare"]

Selection: TypeAlias = Literal["last_user", "conversation", "system"]
"""``last_user``: the last message of the user; ``conversation``: all messages with their
roles; ``system``: the system prompt."""


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """How text is made from messages; part of a baseline's fingerprint.

    Attributes:
        selection: The messages to embed.
        most_characters: Longer texts are cut off here.
        version: Raised when ``prepare`` changes what it returns.
    """

    selection: Selection = "last_user"
    most_characters: int = 4_000
    version: int = 1


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A text to embed.

    Attributes:
        text: The text, each run of white space replaced by a blank; empty when there is
            nothing to embed.
        truncated: Whether the text was cut off.
    """

    text: str
    truncated: bool = False


def prepare(messages: Sequence[Message], preparation: Preparation) -> Prepared:
    r"""Return the text of a request that is embedded.

    Example:
        >>> asked = (Message(role="system", content="be brief"),
        ...          Message(role="user", content="  my card\nis gone "))
        >>> prepare(asked, Preparation()).text
        'my card is gone'
    """
    limit = preparation.most_characters
    if preparation.selection == "conversation":
        text = "\n".join(f"{message.role}: {message.content}" for message in messages)
    else:
        role = "user" if preparation.selection == "last_user" else "system"
        text = last_message(messages, role)
    # White space is replaced in a prefix of bounded length, so that a huge prompt costs little.
    squeezed = " ".join(text[: 4 * limit].split())
    return Prepared(text=squeezed[:limit], truncated=len(squeezed) > limit or len(text) > 4 * limit)
