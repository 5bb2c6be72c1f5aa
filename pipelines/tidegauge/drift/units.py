"""Units of evidence: a conversation is counted once as an opening and once as a follow-up.

The requests of a conversation stay on its topic, so they are no independent evidence. Openings and
follow-ups have a monitor each, and a conversation contributes one request to either at most: its
opening, and the follow-up at its *counted turn*, which is drawn from a hash of the conversation's
id before the conversation begins: turn 2 for half of the conversations, turn 3 for a quarter, and
so on. What a unit is follows from the request alone, so that a worker keeps no state, and a
baseline counts its past as the worker counts the stream. Length does not select: a conversation
that reaches its counted turn is counted then, whether it goes on or not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from tidegauge.schemas.exchange import Message, RequestEvent
from tidegauge.schemas.hashing import hash_64

__all__ = [
    "NotCounted",
    "Unit",
    "beginning_of",
    "conversation_of",
    "counted_turn",
    "join_openings",
    "unit_at",
    "unit_of",
]

_LATEST = 6
"""Most turns that a conversation's counted turn comes after its second."""


class Unit(StrEnum):
    """What a request is counted as."""

    OPENING = "opening"
    FOLLOWUP = "followup"


class NotCounted(StrEnum):
    """Why a request is counted as neither."""

    REPEAT = "repeat"
    """It was sent before."""
    SAME_TURN = "same_turn"
    """It belongs to a turn that another request began: a tool's results, a continued answer."""
    LATER_TURN = "later_turn"
    """Its conversation is counted at another turn."""
    NO_CONVERSATION = "no_conversation"
    """It is a follow-up, and its conversation or its turn is not known."""


def counted_turn(conversation: str) -> int:
    """Return the turn at which a conversation is counted as a follow-up, between 2 and 8.

    Args:
        conversation: What ``conversation_of`` returned.

    Example:
        >>> turns = [counted_turn(f"acme/{number}") for number in range(1_000)]
        >>> turns.count(2), turns.count(3), turns.count(4)
        (507, 246, 121)
    """
    drawn = hash_64(f"counted turn\0{conversation}") | 1 << _LATEST
    return 2 + (drawn & -drawn).bit_length() - 1


def unit_at(turn: int, conversation: str | None) -> Unit | NotCounted:
    """Return what the first request of a turn is counted as.

    Args:
        turn: Number of the user's turn in the conversation, from 1.
        conversation: The conversation; None if it is not known.
    """
    if turn == 1:
        return Unit.OPENING
    if conversation is None:
        return NotCounted.NO_CONVERSATION
    return Unit.FOLLOWUP if turn == counted_turn(conversation) else NotCounted.LATER_TURN


def unit_of(event: RequestEvent) -> Unit | NotCounted:
    """Return what a request is counted as."""
    if event.repeat_of is not None:
        return NotCounted.REPEAT
    # A producer that shows nothing but a tool's results may not know that the turn had begun.
    if event.step > 1 or (event.messages and event.messages[-1].role in _TOOLS):
        return NotCounted.SAME_TURN
    if event.turn is not None:
        return unit_at(event.turn, conversation_of(event))
    return _unit_by_messages(event.messages, conversation_of(event))


def conversation_of(event: RequestEvent) -> str | None:
    """Return the conversation's id, unique over all customers; None if it is not known."""
    if event.conversation_id is None:
        return None
    return f"{event.customer}\0{event.conversation_id}"


def beginning_of(event: RequestEvent) -> int:
    """Return the hash of the customer and the first message of the user that a request shows."""
    first = next((message.content for message in event.messages if message.role == "user"), "")
    return hash_64(f"{event.customer}\0{first}")


def join_openings(
    units: Sequence[Unit], conversations: Sequence[str | None], beginnings: Sequence[int]
) -> list[str | None]:
    """Return the conversation of each unit, also of openings whose own event did not have it.

    An id that follows from a conversation's first answer is not known when the conversation opens.
    Its follow-ups have it, and show the message that it began with. Conversations that began with
    the same message are told apart by their order, which may confuse them: their openings have the
    same text.

    Args:
        units: What each of n requests is counted as, in order of time.
        conversations: Their conversations.
        beginnings: What ``beginning_of`` returned for each.
    """
    rows = list(zip(units, conversations, beginnings, strict=True))
    waiting: defaultdict[int, dict[str, None]] = defaultdict(dict)
    for unit, conversation, beginning in rows:
        if unit is Unit.FOLLOWUP and conversation is not None:
            waiting[beginning][conversation] = None
    for unit, conversation, beginning in rows:
        if unit is Unit.OPENING and conversation is not None:
            waiting[beginning].pop(conversation, None)
    joined = []
    for unit, conversation, beginning in rows:
        found = conversation
        if unit is Unit.OPENING and conversation is None and waiting[beginning]:
            found = next(iter(waiting[beginning]))
            del waiting[beginning][found]
        joined.append(found)
    return joined


def _unit_by_messages(messages: Sequence[Message], conversation: str | None) -> Unit | NotCounted:
    """Return what a request is counted as whose producer gives no turn.

    Only a request without any answer in its messages is an opening for sure.
    """
    roles = [message.role for message in messages if message.role not in _INSTRUCTIONS]
    if roles and roles[-1] in _ANSWERS:
        return NotCounted.SAME_TURN
    if not any(role in _ANSWERS for role in roles):
        return Unit.OPENING
    # Messages of the user without an answer between them are one turn.
    turn = sum(role == "user" and before != "user" for before, role in pairwise(["", *roles]))
    return unit_at(turn, conversation) if turn > 1 else NotCounted.NO_CONVERSATION


_INSTRUCTIONS = frozenset({"system", "developer"})
_TOOLS = frozenset({"tool", "function"})
_ANSWERS = _TOOLS | {"assistant"}
