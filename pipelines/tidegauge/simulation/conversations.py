"""Who asks what: scripts of conversations, played at drawn times, as request events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import Message, RequestEvent

__all__ = ["CUSTOMERS", "PlayedTurns", "Script", "play", "request_events", "topical_scripts"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

CUSTOMERS = 50
"""Customers who hold conversations in turn."""
_THINK_SECONDS, _THINK_SPREAD = 25.0, 0.8
"""Median time between two messages of a user, and the standard deviation of its logarithm."""


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation.

    Attributes:
        turns: The user's message and the answer to it, for each turn.
        topic: What it is about.
        customer: Whose client holds it; empty for any of ``CUSTOMERS`` customers.
    """

    turns: tuple[tuple[str, str], ...]
    topic: str
    customer: str = ""


@dataclass(frozen=True, slots=True)
class PlayedTurns:
    """Turns of conversations in order of time, n of them.

    Attributes:
        seconds: When each is asked, from the start of the traffic, shape (n,).
        script: Index of its script, shape (n,).
        turn: Its number in the script, from 0, shape (n,).
        conversation: Number of its conversation in order of opening, shape (n,).
    """

    seconds: Floats
    script: Counts
    turn: Counts
    conversation: Counts


def topical_scripts(
    texts_by_topic: Sequence[tuple[str, Sequence[str]]],
    shares: Floats,
    count: int,
    rng: np.random.Generator,
    *,
    turns: tuple[int, int] = (5, 20),
) -> list[Script]:
    """Make conversations that stay on one topic, from single questions.

    Args:
        texts_by_topic: Each topic's name and its questions.
        shares: How frequent each topic is, shape (topics,).
        count: Number of conversations.
        rng: The draws.
        turns: Least and most turns of a conversation.
    """
    topics = rng.choice(len(texts_by_topic), count, p=shares / shares.sum())
    lengths = rng.integers(turns[0], turns[1] + 1, count)
    made = []
    for topic, length in zip(topics.tolist(), lengths.tolist(), strict=True):
        name, texts = texts_by_topic[topic]
        drawn = rng.choice(len(texts), length, replace=length > len(texts))
        made.append(Script(tuple((texts[i], "Done.") for i in drawn), name))
    return made


def play(
    scripts: Sequence[Script], chosen: Counts, openings: Floats, rng: np.random.Generator
) -> PlayedTurns:
    """Play a script at each opening.

    Args:
        scripts: The scripts.
        chosen: Index of each conversation's script, shape (c,).
        openings: When each conversation opens, in seconds, ascending, shape (c,).
        rng: Draws the time between turns.
    """
    lengths = np.array([len(scripts[i].turns) for i in chosen], np.int64)
    conversation = np.repeat(np.arange(len(chosen)), lengths)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else lengths
    turn = np.arange(len(conversation)) - np.repeat(first, lengths)
    thinking = _THINK_SECONDS * np.exp(rng.normal(0.0, _THINK_SPREAD, len(conversation)))
    thinking[turn == 0] = 0.0
    passed = np.cumsum(thinking)
    seconds = openings[conversation] + passed - np.repeat(passed[first], lengths)
    order = np.argsort(seconds, kind="stable")
    return PlayedTurns(
        seconds[order], chosen[conversation][order], turn[order], conversation[order]
    )


def request_events(
    played: PlayedTurns,
    scripts: Sequence[Script],
    *,
    start_ms: int,
    segment: Segment,
    producer_id: str,
) -> Iterator[RequestEvent]:
    """Yield the events of played turns, in order of time.

    Args:
        played: The turns.
        scripts: What is asked and answered in them.
        start_ms: Start of the traffic, Unix milliseconds.
        segment: Slice of the traffic.
        producer_id: The gateway's run.
    """
    rows = zip(
        (start_ms + played.seconds * 1000).astype(np.int64).tolist(),
        played.script.tolist(),
        played.turn.tolist(),
        played.conversation.tolist(),
        strict=True,
    )
    for number, (time_ms, script, turn, conversation) in enumerate(rows, start=1):
        chosen = scripts[script]
        messages = _messages(chosen, turn)
        yield RequestEvent(
            request_id=f"{producer_id}-{number}",
            producer_id=producer_id,
            sequence=number,
            time_ms=time_ms,
            segment=segment,
            customer=chosen.customer or f"customer {conversation % CUSTOMERS}",
            messages=messages,
            prompt_characters=sum(len(message.content) for message in messages),
            conversation_id=f"{producer_id}/{conversation}",
            turn=turn + 1,
        )


def _messages(script: Script, turn: int) -> tuple[Message, ...]:
    past = (
        message
        for asked, answered in script.turns[:turn]
        for message in (
            Message(role="user", content=asked),
            Message(role="assistant", content=answered),
        )
    )
    return (*past, Message(role="user", content=script.turns[turn][0]))
