"""Conversations that are judged as a whole: drawn by their id, followed until they end.

A conversation is drawn by a hash of its customer and id, so that each has the same chance, and
all its exchanges the same draw. It has ended when no exchange has followed the last one for so
much event time; one that reaches the largest number of turns is judged as it stands, and counts
as censored. Either way it counts once: later exchanges are left out.

What is kept of it are places in the log, and no text: a worker's state outlives texts that are
deleted. The exchanges of a conversation are in one partition; the opening may be in another one
where its id was derived, and then the later ones carry its history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from tidegauge.quality.errors import SamplingError
from tidegauge.quality.sampling import draw
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import Message, ResponseEvent

__all__ = ["ConversationRule", "EndedConversation", "OpenConversations", "assembled", "is_whole"]

LEAST_TURNS: Final = 2
"""A conversation of one turn is an answer, which other judges see."""
NO_ANSWER: Final = "[no answer: the service failed]"
"""Stands for the answer of an exchange that failed."""
_MOST_OPEN: Final = 2_000
_MOST_DONE: Final = 4_000
_DONE_MS: Final = 86_400_000
_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
_SYSTEM: Final = ("system", "developer")


@dataclass(frozen=True, slots=True)
class ConversationRule:
    """Which conversations are followed, and when they end.

    Attributes:
        salt: Salt of the draw.
        rate: Share of the conversations that are drawn, in (0, 1].
        idle_ms: Event time without an exchange after which a conversation has ended.
        most_turns: Turns at which one is judged although it goes on.
    """

    salt: str
    rate: float
    idle_ms: int = 1_800_000
    most_turns: int = 50

    def __post_init__(self) -> None:
        """Check the rule.

        Raises:
            SamplingError: The share lies outside (0, 1].
        """
        if not 0 < self.rate <= 1:
            raise SamplingError(
                f"the share of the conversations that are judged is {self.rate}: it lies in (0, 1]"
            )

    def draws(self, customer: str, conversation_id: str) -> bool:
        """Whether a conversation is drawn."""
        return draw(f"conversation/{self.salt}", f"{customer}\x1f{conversation_id}") < self.rate


class EndedConversation(msgspec.Struct, frozen=True, array_like=True):
    """A conversation that is followed, or has ended.

    Attributes:
        key: Hash of its customer and id.
        offsets: Offsets of the exchanges that show all of it that is known: the last one, if that
            carries the history.
        time_ms: Time of its last exchange.
        turns: Number of the user's turns.
        censored: Whether it has reached the largest number of turns, and may have gone on.
    """

    key: str
    offsets: tuple[int, ...]
    time_ms: int
    turns: int
    censored: bool = False


class _State(msgspec.Struct, frozen=True, kw_only=True):
    open: tuple[EndedConversation, ...]
    done: dict[str, int]
    version: Literal[1] = 1


class OpenConversations:
    """The drawn conversations of one partition that have not ended.

    Args:
        rule: Which are drawn, and when they end.
        state: State to go on from; empty for none. One of another version is left out.
    """

    def __init__(self, rule: ConversationRule, state: bytes = b"") -> None:
        self._rule = rule
        self._open: dict[str, EndedConversation] = {}
        self._done: dict[str, int] = {}
        try:
            found = msgspec.msgpack.decode(state, type=_State) if state else None
        except msgspec.DecodeError:
            found = None
        if found is not None:
            self._open = {each.key: each for each in found.open}
            self._done = found.done

    def add(self, event: ResponseEvent, offset: int) -> Mapping[str, int]:
        """Add an exchange to its conversation; return what to count of it.

        Args:
            event: The exchange; one of no conversation, or of none that is drawn, is left out.
            offset: The record's offset.
        """
        name = event.conversation_id
        if name is None or event.shadow or not self._rule.draws(event.customer, name):
            return _NOTHING
        key = hashlib.blake2b(
            f"{event.customer}\x1f{name}".encode(errors="replace"), digest_size=8
        ).hexdigest()
        if key in self._done:
            return {measures.conversations("resumed"): 1}
        before = self._open.get(key)
        if before is None and len(self._open) >= _MOST_OPEN:
            self._finish(key, event.time_ms)  # else its later exchanges would be half of it
            return {measures.conversations("no_room"): 1}
        known = before or EndedConversation(key, (), event.time_ms, 0)
        turns = max(known.turns + (event.step == 1 and event.turn is None), event.turn or 1)
        self._open[key] = EndedConversation(
            key=key,
            offsets=(offset,)
            if is_whole(event)
            else (*known.offsets, offset)[-self._rule.most_turns :],
            time_ms=max(known.time_ms, event.time_ms),
            turns=turns,
        )
        drawn = known.turns < LEAST_TURNS <= turns
        return {measures.conversations("drawn"): 1} if drawn else _NOTHING

    def ended(self, closed_ms: int, most: int) -> Sequence[EndedConversation]:
        """Return conversations that have ended, the one that ended first at the front.

        Args:
            closed_ms: Event time up to which all exchanges are known.
            most: Most conversations to return.
        """
        found: list[EndedConversation] = []
        for each in tuple(self._open.values()):
            if each.time_ms + self._rule.idle_ms <= closed_ms:
                if each.turns < LEAST_TURNS:
                    del self._open[each.key]
                else:
                    found.append(each)
            elif each.turns >= self._rule.most_turns:
                found.append(msgspec.structs.replace(each, censored=True))
        return sorted(found, key=lambda each: (each.time_ms, each.key))[:most]

    def remove(self, ended: Iterable[EndedConversation]) -> None:
        """Drop conversations that were judged; their later exchanges are left out."""
        for each in ended:
            self._open.pop(each.key, None)
            self._finish(each.key, each.time_ms)

    def _finish(self, key: str, time_ms: int) -> None:
        self._done[key] = time_ms
        if len(self._done) > _MOST_DONE:
            least = max(self._done.values()) - _DONE_MS
            kept = [(key, time) for key, time in self._done.items() if time >= least]
            self._done = dict(kept[-_MOST_DONE // 2 :])

    def state(self) -> bytes:
        """Return the state as plain, versioned data."""
        return msgspec.msgpack.encode(_State(open=tuple(self._open.values()), done=self._done))


def is_whole(event: ResponseEvent) -> bool:
    """Whether an exchange shows its whole conversation: a message of the user for each turn."""
    return sum(message.role == "user" for message in event.messages) >= (event.turn or 1)


def assembled(exchanges: Sequence[ResponseEvent]) -> ResponseEvent:
    """Return a conversation's last exchange, with all of the conversation as its messages.

    Each exchange may repeat what was said before, its end, or nothing of it. Messages are
    recognized by what the user said, since clients change the others.

    Args:
        exchanges: Exchanges of one conversation in order, at least one.
    """
    known: tuple[Message, ...] = ()
    for event in exchanges:
        messages = _joined(known, event.messages)
        answer = Message(role="assistant", content=event.output or "", tool_calls=event.tool_calls)
        known = (*messages, answer) if event.output or event.tool_calls else messages
    last = exchanges[-1]
    answered = bool(last.output or last.tool_calls)
    return msgspec.structs.replace(
        last, messages=messages, output=last.output if answered else NO_ANSWER
    )


def _joined(known: tuple[Message, ...], new: tuple[Message, ...]) -> tuple[Message, ...]:
    asked = [place for place, message in enumerate(known) if message.role == "user"]
    said = [known[place].content for place in asked]
    repeated = [message.content for message in new if message.role == "user"]
    rest = tuple(message for message in new if message.role not in _SYSTEM)
    for first in range(len(said)):
        tail = said[first:]
        if tail == repeated[: len(tail)]:
            return new if first == 0 else (*known[: asked[first]], *rest)
    if said and repeated and said[0] == repeated[0]:
        return new  # the user has edited an earlier message
    return (*known, *rest) if known else new
