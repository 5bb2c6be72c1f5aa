"""Fits an exchange into what a judge can read: cut in the middle and by importance.

The question is never cut. The rest of the room is shared by weight among the other parts, and a
part that needs less leaves the difference to the others. Within a part, passages with more of
the question's and the answer's words, and newer messages, come first. A mark stands in the place
of what was left out, and says how much it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.context import ContextState, Passage
from tidegauge.quality.errors import ExchangeTooLongError
from tidegauge.quality.exchange_parts import ExchangeParts
from tidegauge.schemas.exchange import Message

__all__ = ["FittedExchange", "estimated_tokens", "fit", "refuse_cut_context", "without_middle"]

_BYTES_PER_TOKEN: Final = 3
_WEIGHTS: Final[Mapping[str, int]] = {
    "system": 2,
    "context": 4,
    "earlier": 1,
    "steps": 3,
    "reference": 3,
    "answer": 4,
    "tool_calls": 2,
}
_QUESTION_SHARE: Final = 0.75
_WORD: Final = re.compile(r"\w{4,}")
_LEAST: Final = 8
"""Tokens below which a text is left out as a whole: a beginning so short tells nothing."""


@dataclass(frozen=True, slots=True)
class FittedExchange:
    """An exchange as a judge is shown it.

    Attributes:
        shown: Name of the part -> its texts, without parts that the exchange does not have; in
            the order in which they are shown, what exchanges share first.
        state: What the judge knows of the context: ``cut`` where it was cut to fit, too.
        left_out: Estimated tokens that were left out.
    """

    shown: Mapping[str, str | list[str] | list[dict[str, str]]]
    state: ContextState
    left_out: int


def estimated_tokens(text: str) -> int:
    """Return an estimate of a text's tokens on the safe side: a third of its UTF-8 bytes.

    Example:
        >>> estimated_tokens("a quick brown fox")
        6
    """
    return -(-len(text.encode(errors="replace")) // _BYTES_PER_TOKEN)


def fit(parts: ExchangeParts, room: int, *, reference: str | None = None) -> FittedExchange:
    """Fit an exchange into a number of tokens.

    What tools returned is shown among the messages, not a second time as context.

    Args:
        parts: The exchange.
        room: Tokens that all texts may take together, marks aside.
        reference: An answer that is known to be right, if there is one.

    Raises:
        ExchangeTooLongError: The question alone takes more than three quarters of the room.
    """
    asked = estimated_tokens(parts.question)
    if asked > _QUESTION_SHARE * room:
        raise ExchangeTooLongError(
            f"the question has about {asked:,} tokens, and the judge reads {room:,} in all: "
            "give it more with budget_tokens"
        )
    passages = [passage for passage in parts.passages if passage.source != "tools"]
    needs = {
        "system": estimated_tokens(parts.system),
        "context": sum(estimated_tokens(passage.text) for passage in passages),
        "earlier": sum(map(_message_tokens, parts.earlier)),
        "steps": sum(map(_message_tokens, parts.steps)),
        "reference": estimated_tokens(reference or ""),
        "answer": estimated_tokens(parts.answer),
        "tool_calls": estimated_tokens(parts.tool_calls or ""),
    }
    rooms = _shared(needs, room - asked)
    key = f"{parts.question} {parts.answer}"
    texts = _passages(passages, rooms["context"], frozenset(_WORD.findall(key.casefold())))
    every: dict[str, str | list[str] | list[dict[str, str]]] = {
        "system": without_middle(parts.system, rooms["system"]),
        "context": texts,
        "earlier": _messages(parts.earlier, rooms["earlier"]),
        "question": parts.question,
        "steps": _messages(parts.steps, rooms["steps"]),
        "reference": without_middle(reference or "", rooms["reference"]),
        "answer": without_middle(parts.answer, rooms["answer"]),
        "tool_calls": without_middle(parts.tool_calls or "", rooms["tool_calls"]),
    }
    context = ("context", "earlier", "steps") if passages != [*parts.passages] else ("context",)
    cut = parts.state is ContextState.GIVEN and any(needs[n] > rooms[n] for n in context)
    return FittedExchange(
        shown={
            name: shown for name, shown in every.items() if shown or name in {"question", "answer"}
        },
        state=ContextState.CUT if cut else parts.state,
        left_out=sum(max(0, needs[name] - rooms[name]) for name in needs),
    )


def refuse_cut_context(shown: FittedExchange, budget_tokens: int) -> None:
    """Refuse an exchange whose context was cut to fit.

    What was left out could be what supports the answer, so nothing can be said of it.

    Raises:
        ExchangeTooLongError: The context was cut.
    """
    if shown.state is ContextState.CUT:
        raise ExchangeTooLongError(
            f"the context does not fit into the {budget_tokens:,} tokens that the judge reads: "
            "give it more with budget_tokens"
        )


def _shared(needs: Mapping[str, int], room: int) -> dict[str, int]:
    """Share the room by weight; who needs less than its share leaves the rest to the others."""
    given = dict.fromkeys(needs, 0)
    waiting = {name for name, need in needs.items() if need}
    while waiting:
        unit = room / sum(_WEIGHTS[name] for name in waiting)
        content = {name for name in waiting if needs[name] <= unit * _WEIGHTS[name]}
        for name in content or waiting:
            given[name] = needs[name] if content else int(unit * _WEIGHTS[name])
        room -= sum(given[name] for name in content)
        waiting = waiting - content if content else set()
    return given


def _passages(passages: Sequence[Passage], room: int, key: frozenset[str]) -> list[str]:
    found = [len(key.intersection(_WORD.findall(each.text.casefold()))) for each in passages]
    order = sorted(range(len(passages)), key=lambda place: -found[place])
    shown = [""] * len(passages)
    for place in order:
        text = passages[place].text
        shown[place] = without_middle(text, room)
        room = max(0, room - estimated_tokens(text))
    return shown


def _messages(messages: Sequence[Message], room: int) -> list[dict[str, str]]:
    """Return messages as plain values, the newest ones whole as far as there is room."""
    shown: list[dict[str, str]] = []
    for number, message in reversed(list(enumerate(messages))):
        if room < _LEAST and _message_tokens(message) > room:
            omitted = sum(map(_message_tokens, messages[: number + 1]))
            shown.append({"left_out": _mark(omitted)})
            break
        plain = {"role": message.role, "content": without_middle(message.content, room)}
        room = max(0, room - estimated_tokens(message.content))
        if message.tool_calls:
            plain["tool_calls"] = without_middle(message.tool_calls, room)
            room = max(0, room - estimated_tokens(message.tool_calls))
        shown.append(plain)
    return shown[::-1]


def _message_tokens(message: Message) -> int:
    return estimated_tokens(message.content) + estimated_tokens(message.tool_calls or "")


def without_middle(text: str, room: int) -> str:
    """Return a text without its middle, if it has more than ``room`` estimated tokens."""
    length = estimated_tokens(text)
    if length <= room:
        return text
    if room < _LEAST:
        return _mark(length)
    data, half = text.encode(errors="replace"), room * _BYTES_PER_TOKEN // 2
    before = data[:half].decode(errors="ignore")
    after = data[-half:].decode(errors="ignore")
    return f"{before} {_mark(length - room)} {after}"


def _mark(tokens: int) -> str:
    return f"[… {tokens:,} tokens left out]"
