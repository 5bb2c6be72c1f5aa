"""Draws conversations for a baseline and, disjoint from them, for streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.promise.files import SingleQuestion
from tidegauge.promise.scenarios import ConversationTraffic
from tidegauge.promise.stored_vectors import StoredVectors
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.simulation.conversations import Script, play, request_events, topical_scripts
from tidegauge.simulation.rhythm import Recorded, arrivals

__all__ = [
    "SEGMENT",
    "DrawnRange",
    "DrawnRequests",
    "Pools",
    "Sources",
    "draw_pools",
    "draw_requests",
    "fixed_texts",
    "other_script",
    "without_some_topics",
]

Counts: TypeAlias = NDArray[np.int64]

SEGMENT = Segment(model="m")
"""It has no wider segments, whose references would be built as well and never be tested."""
_TICKETS = 60
_LEAST_HELD_OUT = 0.1
_SIMULATED = 3_500
_OUT_OF_SCOPE = "oos"
_OF_OTHER_SCRIPT = 10
_CYRILLIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхийклмнопярстувжхыз")
_SHORT = ("yes", "Yes.", "ok", "no thanks", "thank you", "sure")


@dataclass(frozen=True, slots=True)
class Sources:
    """What traffic is drawn from.

    Attributes:
        conversations: Recorded conversations.
        questions: Single questions; empty where there are none.
        recorded: Recorded arrivals.
        vectors: Vectors of all texts.
    """

    conversations: Sequence[Script]
    questions: Sequence[SingleQuestion]
    recorded: Recorded
    vectors: StoredVectors


class Pools(NamedTuple):
    """Scripts in the order in which they are used, none of them twice.

    Attributes:
        past: For the baseline.
        coming: For streams.
        strange: For streams as well, on topics that the baseline lacks.
    """

    past: list[Script]
    coming: list[Script]
    strange: list[Script]


class DrawnRange(NamedTuple):
    """A range of time and how many conversations open in it.

    Attributes:
        start_ms: Its start, Unix milliseconds.
        seconds: Its length.
        per_day: Conversations of a mean day.
    """

    start_ms: int
    seconds: float
    per_day: float


class DrawnRequests(NamedTuple):
    """The requests of a range of time.

    Attributes:
        events: In order of time.
        openings_ms: When each conversation opens, ascending.
    """

    events: list[RequestEvent]
    openings_ms: Counts


def fixed_texts(sources: Sources) -> Iterator[str]:
    """Yield every text that a user can send, copies included."""
    yield from (asked for one in sources.conversations for asked, _ in one.turns)
    yield from (one.text for one in sources.questions)
    yield from (asked for one in other_script(sources) for asked, _ in one.turns)
    yield from _SHORT
    yield from (_ticket(number) for number in range(_TICKETS))


def draw_pools(traffic: ConversationTraffic, sources: Sources, rng: np.random.Generator) -> Pools:
    """Divide what there is at random between the baseline and its streams."""
    if traffic.scripts in {"questions", "topical"} and sources.questions:
        questions = [one for one in sources.questions if one.topic != _OUT_OF_SCOPE]
        shuffled = [questions[i] for i in rng.permutation(len(questions))]
        halves = shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]
        if traffic.scripts == "topical":
            # The texts of a frequent topic come again and again. Drawn from halves, the stream
            # would ask others again and again than the past: that is a change, and no draw of it.
            shares = rng.gamma(1.0, 1.0, len({one.topic for one in questions}))
            texts = _by_topic(questions)
            past, coming = (topical_scripts(texts, shares, _SIMULATED, rng) for _ in halves)
        else:
            past, coming = (
                [Script(((one.text, "Done."),), one.topic) for one in half] for half in halves
            )
        return Pools(past, coming, [])
    chosen = [sources.conversations[i] for i in rng.permutation(len(sources.conversations))]
    if traffic.scripts != "conversations":
        chosen = [replace(one, turns=one.turns[:1]) for one in chosen]
    if traffic.short_replies:
        chosen = [_shortened(one, traffic.short_replies, rng) for one in chosen]
    return Pools(chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :], [])


def _by_topic(questions: Sequence[SingleQuestion]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for one in sorted(questions, key=lambda question: question.topic):
        found.setdefault(one.topic, []).append(one.text)
    return list(found.items())


def _shortened(script: Script, share: float, rng: np.random.Generator) -> Script:
    """Replace some of the user's later messages by short replies."""
    short = rng.random(len(script.turns)) < share
    short[0] = False
    words = rng.choice(len(_SHORT), len(script.turns))
    return replace(
        script,
        turns=tuple(
            (_SHORT[word] if is_short else asked, answered)
            for (asked, answered), is_short, word in zip(script.turns, short, words, strict=True)
        ),
    )


def without_some_topics(pools: Pools, rng: np.random.Generator) -> Pools:
    """Take topics with a tenth of the conversations or more out of the past."""
    topics = sorted({one.topic for one in pools.past})
    order = [topics[i] for i in rng.permutation(len(topics))]
    held: set[str] = set()
    while sum(one.topic in held for one in pools.past) < _LEAST_HELD_OUT * len(pools.past):
        held.add(order.pop())
    return Pools(
        [one for one in pools.past if one.topic not in held],
        [one for one in pools.coming if one.topic not in held],
        [one for one in pools.coming if one.topic in held],
    )


def other_script(sources: Sources) -> list[Script]:
    """Return openings of recorded conversations, spelled in Cyrillic letters."""
    return [
        replace(one, turns=((one.turns[0][0].lower().translate(_CYRILLIC), "Done."),))
        for one in sources.conversations[::_OF_OTHER_SCRIPT]
    ]


def draw_requests(
    traffic: ConversationTraffic,
    pools: tuple[list[Script], list[Script], float],
    within: DrawnRange,
    recorded: Recorded,
    rng: np.random.Generator,
) -> DrawnRequests:
    """Draw the requests of a range of time; it is cut off where the scripts end.

    Args:
        traffic: The traffic.
        pools: Scripts, scripts on other topics, and the share of these.
        within: The range of time.
        recorded: Gaps between openings.
        rng: All draws.
    """
    usual, strange, share = pools
    rhythm = replace(traffic.rhythm, per_day=within.per_day)
    times, _ = arrivals(rhythm, within.start_ms, within.seconds, recorded, rng)
    times = times[: len(usual)]
    scripts = [*usual, *strange]
    chosen = np.arange(len(times))
    if strange:
        swapped = np.flatnonzero(rng.random(len(times)) < share)
        chosen[swapped] = len(usual) + np.arange(len(swapped)) % len(strange)
    if traffic.template:
        steady = replace(rhythm, per_day=within.per_day * traffic.template, day=0.0, wave=None)
        until = float(times.max(initial=0.0))
        batch, _ = arrivals(steady, within.start_ms, until, recorded, rng)
        chosen = np.concatenate([chosen, len(scripts) + np.arange(len(batch))])
        scripts += _template_scripts(len(batch), rng)
        times = np.concatenate([times, batch])
        order = np.argsort(times, kind="stable")
        times, chosen = times[order], chosen[order]
    events = request_events(
        play(scripts, chosen, times, rng),
        scripts,
        start_ms=within.start_ms,
        segment=SEGMENT,
        producer_id=f"g{within.start_ms}",
    )
    return DrawnRequests(list(events), within.start_ms + (times * 1000).astype(np.int64))


def _template_scripts(count: int, rng: np.random.Generator) -> list[Script]:
    """Return requests of a batch client, which differ by a number."""
    numbers = rng.integers(0, _TICKETS, count).tolist()
    return [Script(((_ticket(n), "other"),), "template", customer="batch") for n in numbers]


def _ticket(number: int) -> str:
    return f"Classify ticket {10_000 + 37 * number} as billing, outage or other."
