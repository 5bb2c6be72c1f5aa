"""The demonstration's prompts: the project's own or a file of the user's, and their split."""

from __future__ import annotations

import itertools
import random
import string
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from tidegauge.demo.errors import PromptsError
from tidegauge.runtime.json_lines import read_json_lines

__all__ = [
    "GROUNDED_TOPIC",
    "Prompt",
    "Split",
    "grounded_prompts",
    "mixed",
    "own_prompts",
    "read_prompts",
    "split",
]

_FORM = 'a line is {"text": "…", "topic": "…"}'
_MOST_CHARACTERS = 2_000
_FEWEST_TOPICS = 5
_FEWEST_PROMPTS = 300
_HELD_OUT = 0.2
_PLAIN_IN_A_ROW = 3
_GROUNDED_IN_A_ROW = 2

GROUNDED_TOPIC: Final = "questions_over_a_context"


class Prompt(msgspec.Struct, frozen=True, order=True):
    """What somebody asks, and what it is about."""

    text: str
    topic: str


@dataclass(frozen=True, slots=True)
class Split:
    """Prompts by their use; each prompt has one.

    Attributes:
        held_out: Topics that no baseline sees.
        past: Prompts of before, for the drift baseline, with questions over a context among them.
        familiar: Other prompts of the same topics, for the traffic.
        strange: Prompts of the held-out topics.
        grounded: Questions over a context, which come among all the others.
    """

    held_out: tuple[str, ...]
    past: tuple[Prompt, ...]
    familiar: tuple[Prompt, ...]
    strange: tuple[Prompt, ...]
    grounded: tuple[Prompt, ...]


def own_prompts() -> tuple[Prompt, ...]:
    """Return the project's own prompts: every pattern with every filling of its gaps."""
    return tuple(
        prompt
        for name, topic in _document("topics.toml").items()
        for prompt in _fill(name, topic.pop("patterns"), topic)
    )


def grounded_prompts(*, seed: int) -> tuple[Prompt, ...]:
    """Return the project's questions over a context, which stands in the prompt, shuffled."""
    found: list[Prompt] = []
    for topic in _document("contexts.toml").values():
        context, questions = topic.pop("context"), topic.pop("questions")
        patterns = [f"<context>\n{context}\n</context>\n{question}" for question in questions]
        found += _fill(GROUNDED_TOPIC, patterns, topic)
    random.Random(seed).shuffle(found)  # noqa: S311 - a draw to repeat, not a secret
    return tuple(found)


def mixed(prompts: Sequence[Prompt], grounded: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Return prompts with questions over a context among them: two after every three others."""
    questions = itertools.cycle(grounded)
    found: list[Prompt] = []
    for place, prompt in enumerate(prompts):
        found.append(prompt)
        if place % _PLAIN_IN_A_ROW == _PLAIN_IN_A_ROW - 1:
            found += itertools.islice(questions, _GROUNDED_IN_A_ROW if grounded else 0)
    return tuple(found)


def _document(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("tidegauge.demo").joinpath(name).read_text(encoding="utf-8"))


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read a JSONL file of ``{"text": …, "topic": …}``, a line each; repeats count once.

    Raises:
        PromptsError: The file cannot be read, a line is not a prompt, or they are too few.
    """
    found: dict[Prompt, None] = {}
    for number, prompt in read_json_lines(path, Prompt, PromptsError, _FORM):
        if not prompt.text.strip() or not prompt.topic.strip():
            raise PromptsError(f"{path}, line {number}: the text or the topic is empty")
        if len(prompt.text) > _MOST_CHARACTERS:
            raise PromptsError(
                f"{path}, line {number}: {len(prompt.text)} characters are more than the "
                f"demonstration's model takes, at most {_MOST_CHARACTERS}"
            )
        found[prompt] = None
    _require_enough(found, path)
    return tuple(found)


def split(prompts: Sequence[Prompt], *, seed: int, most_past: int = 1_200) -> Split:
    """Hold a fifth of the topics out, and share the others between past and traffic.

    Args:
        prompts: In any order; the same ones and the same seed give the same split.
        seed: Decides which topics and which prompts.
        most_past: At most this many prompts of before.
    """
    shuffle = random.Random(seed)  # noqa: S311 - a draw to repeat, not a secret
    by_topic: defaultdict[str, list[Prompt]] = defaultdict(list)
    for prompt in sorted(prompts):
        by_topic[prompt.topic].append(prompt)
    topics = sorted(by_topic)
    held_out = set(shuffle.sample(topics, max(1, round(_HELD_OUT * len(topics)))))
    kept = [topic for topic in topics if topic not in held_out]
    quota = max(1, most_past // len(kept))
    past: list[Prompt] = []
    familiar: list[Prompt] = []
    for topic in kept:
        texts = by_topic[topic]
        shuffle.shuffle(texts)
        cut = max(1, min(quota, 2 * len(texts) // 3))
        past += texts[:cut]
        familiar += texts[cut : cut + quota]
    strange = [prompt for topic in topics if topic in held_out for prompt in by_topic[topic]]
    for part in (past, familiar, strange):
        shuffle.shuffle(part)
    grounded = grounded_prompts(seed=seed)
    half = len(grounded) // 2
    return Split(
        held_out=tuple(sorted(held_out)),
        past=mixed(past, grounded[:half]),
        familiar=tuple(familiar),
        strange=tuple(strange),
        grounded=grounded[half:],
    )


def _fill(topic: str, patterns: Iterable[str], gaps: dict[str, Sequence[str]]) -> Iterable[Prompt]:
    """Yield each pattern with each combination of what fills its gaps."""
    for pattern in patterns:
        names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
        for choice in itertools.product(*(gaps[name] for name in names)):
            yield Prompt(pattern.format(**dict(zip(names, choice, strict=True))), topic)


def _require_enough(prompts: Iterable[Prompt], path: Path) -> None:
    topics = [prompt.topic for prompt in prompts]
    if len(set(topics)) < _FEWEST_TOPICS or len(topics) < _FEWEST_PROMPTS:
        raise PromptsError(
            f"{path} has {len(topics)} different prompts on {len(set(topics))} topics: the "
            f"demonstration needs {_FEWEST_PROMPTS} on {_FEWEST_TOPICS} at least"
        )
