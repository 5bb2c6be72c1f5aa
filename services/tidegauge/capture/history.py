"""What a request shows of its conversation: its turn, its step, and an id from its first exchange.

Only the request itself is read; what needs other requests is in ``placement.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from tidegauge.schemas.exchange import DERIVED_CONVERSATION, Message

__all__ = [
    "NOTHING_TOLD",
    "RequestHistory",
    "Told",
    "answer_mark",
    "derived_id",
    "given_id",
    "id_in_metadata",
    "opening_id",
    "read_history",
    "single_question",
]

_READABLE: Final = re.compile(r"[\x21-\x7e]{1,128}")
_NO_IDS: Final = frozenset({"null", "undefined", "none"})
_NAMES: Final = (
    "conversation_id",
    "conversationId",
    "thread_id",
    "threadId",
    "chat_id",
    "session_id",
    "sessionId",
    "litellm_session_id",
    "langfuse_session_id",
)
"""Names of a conversation's id in a request's metadata, in order of preference."""

_CALL_ID: Final = re.compile(r'"(?:call_)?id"\s*:\s*"([^"]+)"')
_LONGEST_PREFILL: Final = 100
_HALF: Final = 256
_MOST_ASKED: Final = 32
_SHORT: Final = 2
_TOOLS: Final = frozenset({"tool", "function"})
_INSTRUCTIONS: Final = frozenset({"system", "developer"})
_KEY_BYTES: Final = 64


class Told(NamedTuple):
    """What a client says of a request's place.

    Attributes:
        conversation: Id of the conversation.
        predecessor: Id of the response that the request follows (``previous_response_id``).
        idempotency_key: The same for each time that the client sends the request.
        retry: Whether the client says that it sends the request again.
    """

    conversation: str | None = None
    predecessor: str | None = None
    idempotency_key: str | None = None
    retry: bool = False


NOTHING_TOLD: Final = Told()


class RequestHistory(NamedTuple):
    """What the messages of a request show.

    Attributes:
        turn: The user's turns, the present one included; 0 without a message of the user.
        step: 1 if the request brings the user's message, more if it answers tools.
        question: Index of the first message of the present turn.
        first: Index of the conversation's first message.
        answer: Index of the first answer to the user; -1 if there is none.
    """

    turn: int
    step: int
    question: int
    first: int
    answer: int


def read_history(messages: Sequence[Message], start: int = 0) -> RequestHistory:
    """Read the messages of a request.

    Messages of the user in a row are one turn. A short last message of the assistant is the
    beginning of the answer that is asked for; a longer one is an answer that is to go on.

    Args:
        messages: The messages.
        start: How many of them belong to the prompt's template.

    Example:
        >>> roles = ["system", "user", "assistant", "user", "assistant", "tool"]
        >>> read_history([Message(role=role, content="…") for role in roles])
        RequestHistory(turn=2, step=2, question=3, first=1, answer=2)
    """
    turn = answers = 0
    question = first = answer = -1
    last = ""
    for index in range(start, len(messages)):
        role = messages[index].role
        if role == "user":
            if last != "user":
                turn += 1
                answers, question = 0, index
        elif role == "assistant":
            if last != "assistant":
                answers += 1
            if answer < 0 < turn:  # a greeting before the first question is no answer
                answer = index
        elif role not in _TOOLS:
            continue  # the system's messages are no part of the conversation
        if first < 0 < turn:
            first = index
        last = role
    if answers and turn and _is_prefill(messages[-1]):
        answers -= 1
        answer = -1 if answer == len(messages) - 1 else answer
    return RequestHistory(turn, answers + 1, max(question, 0), max(first, 0), answer)


def single_question(messages: Sequence[Message]) -> int:
    """Return the index of the question of a request that has nothing else, as most have.

    Example:
        >>> single_question([Message(role="system"), Message(role="user")])
        1
        >>> single_question([Message(role="user"), Message(role="assistant")])
        -1
    """
    if 0 < len(messages) <= _SHORT and messages[-1].role == "user":
        first = messages[0].role
        if first == "user":
            return 0
        if first in _INSTRUCTIONS:
            return len(messages) - 1
    return -1


def _is_prefill(message: Message) -> bool:
    return (
        message.role == "assistant"
        and message.tool_calls is None
        and len(message.content) <= _LONGEST_PREFILL
    )


def answer_mark(text: str | None, tool_calls: str | None) -> str:
    """Return what an answer is recognised by in the requests that follow it.

    The id of a tool's call is unique, and clients send it back as it is. They may trim a text.
    """
    if tool_calls:
        call = _CALL_ID.search(tool_calls)
        return tool_calls if call is None else call[1]
    return (text or "").strip()


def derived_id(secret: bytes, caller: str, question: Sequence[Message], answer: str) -> str:
    """Return the id of a conversation that has none: a keyed hash of its first exchange.

    Of a long text only both ends and the length are hashed, and of many messages only the first
    and the last of them and their number.

    Args:
        secret: Key of the hash; without it, whoever guesses an exchange can confirm the guess.
        caller: Name of the customer.
        question: The user's first messages.
        answer: The first answer, as ``answer_mark`` returns it.
    """
    if len(secret) > _KEY_BYTES:
        secret = blake2b(secret).digest()
    asked = [message for message in question if message.role == "user"]
    parts = [_ends(caller)]
    if len(asked) > 2 * _MOST_ASKED:
        parts.append(f"{len(asked)}")
        asked = asked[:_MOST_ASKED] + asked[-_MOST_ASKED:]
    parts += [_ends(message.content) for message in asked]
    parts.append(_ends(answer))
    data = "\0".join(parts).encode("utf-8", "surrogatepass")
    return DERIVED_CONVERSATION + blake2b(data, digest_size=16, key=secret).hexdigest()


def opening_id(  # noqa: PLR0913, PLR0917 - an exchange
    secret: bytes,
    caller: str,
    question: Sequence[Message],
    text: str | None,
    tool_calls: str | None,
    response_id: str | None = None,
) -> str | None:
    """Return the id that follows from an opening and its answer; None without an answer.

    Args:
        secret: Key of the hash.
        caller: Name of the customer.
        question: The user's messages.
        text: The answer's text.
        tool_calls: The answer's tool calls as JSON text.
        response_id: The answer's id, for an answer that has neither.
    """
    mark = answer_mark(text, tool_calls) or response_id
    return derived_id(secret, caller, question, mark) if mark else None


def _ends(text: str) -> str:
    size = len(text)
    return f"{size}:{text}" if size <= 2 * _HALF else f"{size}:{text[:_HALF]}{text[-_HALF:]}"


def given_id(value: object) -> str | None:
    """Return a conversation's id as a client gave it; None if it is no id.

    An id that is longer than 128 characters, or not printable ASCII, is hashed.

    Example:
        >>> given_id("thread-7"), given_id(42), given_id("undefined"), given_id(["a"])
        ('thread-7', '42', None, None)
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value or value.lower() in _NO_IDS:
        return None
    if _READABLE.fullmatch(value) and not value.startswith(DERIVED_CONVERSATION):
        return value
    return f"hashed-{blake2b(value.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def id_in_metadata(metadata: object) -> str | None:
    """Return the conversation's id in a request's metadata; None if there is none."""
    if not metadata or not isinstance(metadata, Mapping):
        return None
    for name in _NAMES:
        if name in metadata and (found := given_id(metadata[name])) is not None:
            return found
    return None
