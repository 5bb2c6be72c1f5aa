"""Few-shot prompts: tells the examples at the beginning of a request from a history.

Examples look like a history: messages of the user with their answers. What distinguishes them is
that many conversations go on differently from the same messages. A greeting that everybody gets
the same answer to is treated like an example, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidegauge.capture.recent import Recent
from tidegauge.schemas.exchange import Message

__all__ = ["Templates"]

_CONVERSATIONS: Final = 8
"""How many conversations must go on differently; a person edits a message less often."""
_LENGTHS: Final = 16
_END: Final = 256
_TURNS: Final = frozenset({"user", "assistant"})


class Templates:
    """The examples that callers' conversations begin with, learnt from their requests.

    Until enough requests have shown them, they count as a history. That joins the conversations.
    """

    def __init__(self) -> None:
        self._continued: Recent[set[int]] = Recent()
        self._known: Recent[bool] = Recent()
        self._lengths: Recent[tuple[int, ...]] = Recent()

    def length(self, caller: str, messages: Sequence[Message], question: int) -> int:
        """Return how many messages of a request are examples; 0 where none are known.

        Args:
            caller: Name of the customer.
            messages: The request's messages.
            question: Index of the present turn's first message.
        """
        who = hash(caller)
        for length in self._lengths.get(who) or ():
            if length <= question and self._known.get(_beginning(who, messages, length)):
                return length
        return 0

    def learn(
        self, caller: str, messages: Sequence[Message], question: int, conversation: str | None
    ) -> None:
        """Count a conversation that goes on from the messages before its question.

        Args:
            caller: Name of the customer.
            messages: The request's messages.
            question: Index of the present turn's first message.
            conversation: Id of the conversation, if the client gave one.
        """
        who = hash(caller)
        beginning = _beginning(who, messages, question)
        others = self._continued.get(beginning)
        if others is None:
            others = set()
            self._continued.remember(beginning, others)
        others.add(hash(conversation or messages[question].content))
        if len(others) == _CONVERSATIONS:
            self._known.remember(beginning, True)  # noqa: FBT003 - a set that forgets
            lengths = {question, *(self._lengths.get(who) or ())}
            self._lengths.remember(who, tuple(sorted(lengths, reverse=True)[:_LENGTHS]))


def _beginning(who: int, messages: Sequence[Message], length: int) -> int:
    """Return the hash of the first and the last messages of a beginning, of each its end."""
    some = (*messages[:3], *messages[max(3, length - 2) : length])
    return hash((who, length, *[m.content[-_END:] for m in some if m.role in _TURNS]))
