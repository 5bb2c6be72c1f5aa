from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tidegauge.demo.errors import PromptsError
from tidegauge.demo.prompts import (
    GROUNDED_TOPIC,
    Prompt,
    grounded_prompts,
    mixed,
    own_prompts,
    read_prompts,
    split,
)
from tidegauge.quality.context import ContextState
from tidegauge.quality.exchange_parts import divide
from tidegauge.quality.judged_exchange import JudgedExchange
from tidegauge.schemas.exchange import Message


def _write(path: Path, prompts: list[dict[str, str]]) -> Path:
    path.write_text("\n".join(json.dumps(prompt) for prompt in prompts) + "\n")
    return path


def _many(topics: int, each: int) -> list[dict[str, str]]:
    return [
        {"text": f"question {number} on {topic}", "topic": f"topic {topic}"}
        for topic in range(topics)
        for number in range(each)
    ]


def test_the_projects_own_prompts_are_many_and_distinct() -> None:
    prompts = own_prompts()
    by_topic = Counter(prompt.topic for prompt in prompts)
    assert len(by_topic) >= 25
    assert min(by_topic.values()) >= 40
    assert len({prompt.text for prompt in prompts}) == len(prompts)
    assert not [prompt for prompt in prompts if "{" in prompt.text or "}" in prompt.text]


def test_a_fifth_of_the_topics_is_held_out_and_no_prompt_plays_two_parts() -> None:
    prompts = own_prompts()
    parts = split(prompts, seed=7)
    topics = {prompt.topic for prompt in prompts}
    assert len(parts.held_out) == round(len(topics) / 5)
    assert {prompt.topic for prompt in parts.strange} == set(parts.held_out)
    kept = topics - set(parts.held_out)
    assert {prompt.topic for prompt in parts.past} == kept | {GROUNDED_TOPIC}
    assert {prompt.topic for prompt in parts.familiar} == kept
    assert not set(parts.past) & {*parts.familiar, *parts.grounded}
    assert len(parts.past) > 600


def test_questions_over_a_context_are_many_and_bring_it() -> None:
    prompts = grounded_prompts(seed=1)
    assert len(set(prompts)) == len(prompts) > 1_000
    assert prompts == grounded_prompts(seed=1) != grounded_prompts(seed=2)
    for prompt in prompts[:50]:
        assert "{" not in prompt.text
        parts = divide(JudgedExchange((Message(role="user", content=prompt.text),), "Yes."))
        assert parts.state is ContextState.GIVEN
        assert parts.question.endswith("?")


def test_two_questions_over_a_context_follow_three_others() -> None:
    plain = [Prompt(f"p{number}", "t") for number in range(7)]
    grounded = [Prompt(f"g{number}", "c") for number in range(3)]
    found = [prompt.text for prompt in mixed(plain, grounded)]
    assert found == ["p0", "p1", "p2", "g0", "g1", "p3", "p4", "p5", "g2", "g0", "p6"]
    assert mixed(plain, []) == tuple(plain)


def test_a_split_depends_on_the_seed_and_not_on_the_order() -> None:
    prompts = own_prompts()
    assert split(prompts, seed=7) == split(prompts[::-1], seed=7)
    assert split(prompts, seed=7).held_out != split(prompts, seed=8).held_out


def test_a_file_of_prompts_is_read(tmp_path: Path) -> None:
    lines = _many(10, 40)
    path = _write(tmp_path / "mine.jsonl", [*lines, lines[0]])
    prompts = read_prompts(path)
    assert len(prompts) == 400
    assert prompts[0] == Prompt("question 0 on 0", "topic 0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}', "line 1: .*topic"),
        ('\n{"text": "a", "topic": "b"}\nnot json', "line 3"),
        ('{"text": 3, "topic": "b"}', "line 1"),
        ('{"text": "  ", "topic": "b"}', "line 1: the text or the topic is empty"),
        (json.dumps({"text": "long" * 1000, "topic": "b"}), "line 1: 4000 characters"),
        ('{"text": "a", "topic": "b"}', "has 1 different prompts on 1 topics"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(content)
    with pytest.raises(PromptsError, match=message):
        read_prompts(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match=r"cannot read .*absent\.jsonl"):
        read_prompts(tmp_path / "absent.jsonl")
