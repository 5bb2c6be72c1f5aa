"""The place of each request: its conversation, its turn, and the request that it sends again.

What the client says decides; without it, what the request's messages show. The rest needs a
memory of other requests: which response a request follows, how many turns a conversation has had
whose history the client does not send, what was sent a moment ago, and which examples begin the
requests of many conversations. The memory is bounded and belongs to one process; nothing else
depends on it.

An opening's id follows from its answer (``history.opening_id``), which may be derived later from
the exchange's record.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Final, Generic, TypeVar

import msgspec

from tidegauge.capture.history import (
    NOTHING_TOLD,
    RequestHistory,
    Told,
    answer_mark,
    derived_id,
    opening_id,
    read_history,
    single_question,
)
from tidegauge.schemas.exchange import Message

__all__ = ["Conversations", "Placement", "Recent", "Templates"]

_RETRIED_MS: Final = 660_000
"""How long after its predecessor a request may call itself a retry: a client waits ten minutes for
an answer by default, then up to one before it asks again."""
_FAILED_MS: Final = 60_000
_RETRIES: Final = 5
"""Most retries that a client makes without saying so."""
_TWICE_MS: Final = 10_000
_COMMON_MS: Final = 600_000
_END: Final = 256
_SHORT: Final = 2048
_UNKNOWN_TURN: Final = 2
"""The least turn of a request whose predecessor is not known."""
_CONVERSATIONS: Final = 8
"""How many conversations must go on differently; a person edits a message less often."""
_LENGTHS: Final = 16
_TURNS: Final = frozenset({"user", "assistant"})
_REMEMBERED: Final = 16_384

V = TypeVar("V")


class Placement(msgspec.Struct, eq=False, gc=False):
    """The place of a request; for fields not listed here see ``RequestEvent``.

    Attributes:
        request_id: The request's id.
        question: Index of the present turn's first message.
        sent: Hash by which the request is recognised when it is sent again.
        last_ms: When it was sent last, Unix milliseconds.
        failed_ms: When it last ended in an error; None while it has not.
        common: Whether there were other requests of this wording in the ten minutes before.
        repeats: How often it was sent again.
    """

    request_id: str
    sent: int
    last_ms: int
    conversation_id: str | None
    turn: int
    step: int
    question: int
    repeat_of: str | None = None
    failed_ms: int | None = None
    common: bool = False
    repeats: int = 0

    def again(self, request_id: str, now_ms: int) -> Placement:
        """Return the place of a request that is this one, sent again."""
        self.last_ms = now_ms
        self.repeats += 1
        other = copy(self)
        other.request_id = request_id
        other.repeat_of = self.request_id
        return other

    @property
    def follows(self) -> bool:
        """Whether the request goes on from an answer, the model's or a tool's."""
        return self.turn != 1 or self.step > 1

    def is_sent_again(self, now_ms: int, *, retry: bool, answers: bool) -> bool:
        """Whether an equal request is this one, sent again.

        It is if the client says so, or if both go on from the same answers. Otherwise the wording
        must be rare: of many who say "hi", each asks for themselves, during an outage as well.
        Then it is if this one has just failed, or if it is the first to follow, and at once.

        Args:
            now_ms: When the other request arrived, Unix milliseconds.
            retry: Whether the client says that it sends the request again.
            answers: Whether both requests go on from the same answers.
        """
        since = now_ms - self.last_ms
        if retry:
            return since <= _RETRIED_MS
        if answers:
            return since <= _COMMON_MS
        if self.common:
            return False
        if self.failed_ms is not None and self.repeats < _RETRIES:
            return now_ms - self.failed_ms <= _FAILED_MS
        return self.repeats == 0 and since <= _TWICE_MS


class Recent(Generic[V]):
    """The newest values, by the hash of what they belong to.

    Two dictionaries cost less than an order kept for every entry: once the newer one is full, it
    takes the older one's place.

    Args:
        most: Most values; at least half as many are kept.

    Example:
        >>> recent = Recent(most=4)
        >>> for key in range(5): recent.remember(key, str(key))
        >>> [recent.get(key) for key in range(5)]
        [None, None, '2', '3', '4']
    """

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._half = most // 2
        self._new: dict[int, V] = {}
        self._old: dict[int, V] = {}

    def get(self, key: int) -> V | None:
        """Return a value; None if it was never there or is forgotten."""
        found = self._new.get(key)
        return self._old.get(key) if found is None else found

    def remember(self, key: int, value: V) -> None:
        """Store a value as the newest one."""
        if len(self._new) >= self._half:
            self._new, self._old = {}, self._new
        self._new[key] = value


class Templates:
    """The examples that callers' few-shot prompts begin with, learnt from their requests.

    Examples look like a history: messages of the user with their answers. What distinguishes them
    is that many conversations go on differently from the same messages. A greeting that everybody
    gets the same answer to is treated like an example, too.

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


class Conversations:
    """Finds the place of each request that a process serves.

    Args:
        secret: Key of the ids that no client gave; the same for all processes of a deployment.

    Example:
        >>> places, question = Conversations(b"secret"), Message(role="user", content="High tide?")
        >>> place = places.place("acme", "req-1", [question], 0)
        >>> place.conversation_id, place.turn
        (None, 1)
        >>> places.answered(place, "acme", [question], "At noon.", now_ms=900)
        >>> messages = [question, Message(role="assistant", content="At noon."), question]
        >>> second = places.place("acme", "req-2", messages, 60_000)
        >>> second.conversation_id == place.conversation_id, second.turn
        (True, 2)
    """

    def __init__(self, secret: bytes = b"") -> None:
        self._secret = secret
        self._sent: Recent[Placement] = Recent()
        self._keys: Recent[Placement] = Recent()
        self._ids: Recent[str] = Recent()
        self._turns: Recent[int] = Recent()
        self._responses: Recent[Placement] = Recent()
        self._answers: Recent[str] = Recent()
        self._templates = Templates()

    def place(  # noqa: PLR0913, PLR0917 - a request, and what is known of it
        self,
        caller: str,
        request_id: str,
        messages: Sequence[Message],
        now_ms: int,
        told: Told = NOTHING_TOLD,
        body: bytes = b"",
    ) -> Placement:
        """Return the place of a request.

        Args:
            caller: Name of the customer; conversations of two customers are never the same.
            request_id: Its id.
            messages: Its messages, before anything is redacted.
            now_ms: When it arrived, Unix milliseconds.
            told: What the client says of its place.
            body: What the client sent; two requests that differ are never the same.
        """
        if 0 < len(body) <= _SHORT:
            sent = hash((caller, told.conversation, body))
        else:
            sent = _sent(caller, messages, told, body)
        known = self._sent.get(sent)
        if known is not None or told.idempotency_key is not None:
            earlier = self._earlier(caller, known, messages, now_ms, told)
            if earlier is not None:
                return earlier.again(request_id, now_ms)
        question = single_question(messages) if told is NOTHING_TOLD else -1
        if question >= 0:
            place = Placement(request_id, sent, now_ms, None, 1, 1, question)
        else:
            place = self._new_place(request_id, sent, now_ms, caller, messages, told)
        if known is not None:
            place.common = now_ms - known.last_ms <= _COMMON_MS
        self._sent.remember(sent, place)
        if told.idempotency_key is not None:
            self._keys.remember(hash((caller, told.idempotency_key)), place)
        return place

    def answered(  # noqa: PLR0913 - an exchange's end, and what is known of it
        self,
        place: Placement,
        caller: str,
        messages: Sequence[Message],
        text: str | None,
        tool_calls: str | None = None,
        *,
        response_id: str | None = None,
        failed: bool = False,
        now_ms: int,
    ) -> None:
        """Remember how a request was answered; an answered opening gets its conversation's id.

        Args:
            place: What ``place`` returned.
            caller: Name of the customer.
            messages: The request's messages.
            text: The answer's text.
            tool_calls: The answer's tool calls as JSON text.
            response_id: Id of the answer that a later request may name as its predecessor.
            failed: Whether the client got no complete answer.
            now_ms: When it ended, Unix milliseconds.
        """
        sent = self._sent.get(place.sent)
        if sent is not None:
            sent.failed_ms = now_ms if failed else None
        if failed:
            return
        if place.conversation_id is None:
            if place.turn != 1:
                return
            place.conversation_id = opening_id(
                self._secret, caller, messages[place.question :], text, tool_calls, response_id
            )
        elif place.turn != 1 and messages:
            pair = _pair(caller, messages[place.question], answer_mark(text, tool_calls))
            self._answers.remember(pair, place.conversation_id)
        if response_id is not None:
            self._responses.remember(hash((caller, response_id)), place)

    def _earlier(
        self,
        caller: str,
        known: Placement | None,
        messages: Sequence[Message],
        now_ms: int,
        told: Told,
    ) -> Placement | None:
        """Return the request that one is, sent again; None if it is new.

        Args:
            caller: Name of the customer.
            known: The last request that was equal.
            messages: The request's messages.
            now_ms: When it arrived, Unix milliseconds.
            told: What the client says of its place.
        """
        if told.idempotency_key is not None:
            earlier = self._keys.get(hash((caller, told.idempotency_key)))
            if earlier is not None:
                return earlier
        if known is None:
            return None
        answers = known.follows and (
            told.predecessor is not None or any(m.role == "assistant" for m in messages)
        )
        again = known.is_sent_again(now_ms, retry=told.retry, answers=answers)
        return known if again else None

    def _new_place(  # noqa: PLR0913, PLR0917 - a request, and what is known of it
        self,
        request_id: str,
        sent: int,
        now_ms: int,
        caller: str,
        messages: Sequence[Message],
        told: Told,
    ) -> Placement:
        history = read_history(messages)
        if history.question > history.answer >= 0 and (
            examples := self._templates.length(caller, messages, history.question)
        ):
            history = read_history(messages, examples)
        conversation, step = told.conversation, history.step
        turn = max(1, history.turn)
        if told.predecessor is not None:
            before, turn = self._responses.get(hash((caller, told.predecessor))), _UNKNOWN_TURN
            if history.turn == 0:
                step = 2 if before is None else before.step + 1
            if before is not None:
                conversation = conversation or before.conversation_id
                turn = before.turn + history.turn
        elif conversation is None and history.answer >= 0:
            conversation = self._from_history(caller, messages, history)
        if conversation is not None:
            key = hash((caller, conversation))
            last = self._turns.get(key)
            if step > 1:
                turn = turn if last is None else last
            else:
                if (last is None or turn <= last) and history.question > history.answer >= 0:
                    self._templates.learn(caller, messages, history.question, told.conversation)
                # Each turn has its own number, also of a client that sends no history, and
                # shows turn 1 each time, and of a message that was edited.
                turn = turn if last is None else max(turn, last + 1)
                self._turns.remember(key, turn)
        return Placement(request_id, sent, now_ms, conversation, turn, step, history.question)

    def _from_history(
        self, caller: str, messages: Sequence[Message], history: RequestHistory
    ) -> str:
        """Return the id of a conversation by its first exchange.

        Clients that send only the last messages leave the first exchange out after some turns.
        So if no request had this beginning, the conversation of the last answer is looked for.
        """
        answer, last = messages[history.answer], messages[history.answer - 1]
        mark = answer_mark(answer.content, answer.tool_calls)
        beginning = hash((_pair(caller, messages[history.first], mark), last.content[-_END:]))
        known = self._ids.get(beginning)
        if known is None:
            if history.step == 1:
                known = self._of_last_answer(caller, messages, history)
            if known is None:
                question = messages[history.first : history.answer]
                known = derived_id(self._secret, caller, question, mark)
            self._ids.remember(beginning, known)
        return known

    def _of_last_answer(
        self, caller: str, messages: Sequence[Message], history: RequestHistory
    ) -> str | None:
        """Return the last conversation in which the last answer of a history was given."""
        last = history.question - 1
        while last > history.first and messages[last].role != "assistant":
            last -= 1
        asked = last - 1
        while asked > history.first and messages[asked].role != "user":
            asked -= 1
        mark = answer_mark(messages[last].content, messages[last].tool_calls)
        return self._answers.get(_pair(caller, messages[max(asked, 0)], mark))


def _sent(caller: str, messages: Sequence[Message], told: Told, body: bytes) -> int:
    """Return the hash of a request whose body is long or not known: of its ends and lengths."""
    last = [(m.role, len(m.content), m.content[:_END], m.content[-_END:]) for m in messages[-2:]]
    ends = (len(body), body[:_END], body[-_END:])
    return hash((caller, told.conversation, len(messages), *last, ends))


def _pair(caller: str, question: Message, mark: str) -> int:
    """Return the hash of a question and its answer."""
    return hash((caller, question.content[-_END:], len(mark), mark[-_END:]))
