"""Past requests from a file: what a line may hold, and what is said of those that do not."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tidegauge.drift.preparation import Preparation
from tidegauge.drift.units import Unit, counted_turn
from tidegauge.usecases.errors import PastRequestsError
from tidegauge.usecases.past_requests import ReadRequests, from_file

Line = dict[str, object]


def read(directory: Path, *lines: Line | str) -> ReadRequests:
    file = directory / "past.jsonl"
    file.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return from_file(file, Preparation())


def conversation(name: str, turns: int = 8, **fields: object) -> list[Line]:
    return [
        {"text": f"{name} {turn}", "conversation_id": name, "turn": turn, **fields}
        for turn in range(1, turns + 1)
    ]


def test_a_conversation_gives_its_opening_and_one_later_turn(tmp_path: Path) -> None:
    names = [f"conversation {number}" for number in range(20)]
    found = read(tmp_path, *(line for name in names for line in conversation(name)))
    for name in names:
        own = [one for one in found.past if one.conversation_id == name]
        assert [(one.turn, one.unit) for one in own] == [
            (1, Unit.OPENING),
            (counted_turn(name), Unit.FOLLOWUP),
        ]
        assert [one.text for one in own] == [f"{name} {one.turn}" for one in own]
    assert found.left_out == {"further turns of a conversation": 120}
    assert found.remarks == []


def test_a_file_without_conversations_has_openings_only_and_says_so(tmp_path: Path) -> None:
    found = read(tmp_path, {"text": "High tide?"}, {"text": "Low tide?", "time_ms": 7}, "")
    assert [(one.text, one.time_ms, one.unit) for one in found.past] == [
        ("High tide?", None, Unit.OPENING),
        ("Low tide?", 7, Unit.OPENING),
    ]
    (remark,) = found.remarks
    assert "no line has a conversation_id" in remark
    assert "later messages are not watched" in remark
    assert found.notes() == [remark]


def test_lines_without_turns_count_in_their_order(tmp_path: Path) -> None:
    lines = [{key: line[key] for key in ("text", "conversation_id")} for line in conversation("c")]
    found = read(tmp_path, *lines)
    assert [one.text for one in found.past] == ["c 1", f"c {counted_turn('c')}"]


def test_times_decide_on_the_order(tmp_path: Path) -> None:
    lines: list[Line] = [
        {"text": line["text"], "conversation_id": "c", "time_ms": number}
        for number, line in enumerate(conversation("c"))
    ]
    found = read(tmp_path, *reversed(lines))
    assert {one.turn: one.text for one in found.past} == {
        1: "c 1",
        counted_turn("c"): f"c {counted_turn('c')}",
    }


def test_single_requests_beside_conversations(tmp_path: Path) -> None:
    found = read(tmp_path, *conversation("c"), {"text": "alone"}, {"text": "first", "turn": 1})
    assert Counter(one.unit for one in found.past) == {Unit.OPENING: 3, Unit.FOLLOWUP: 1}
    assert found.remarks == []


def test_a_turn_counts_once(tmp_path: Path) -> None:
    first: Line = {"text": "High tide?", "conversation_id": 7, "turn": 1}
    found = read(tmp_path, first, first | {"text": "High tide"})
    assert [(one.text, one.conversation_id) for one in found.past] == [("High tide?", "7")]
    assert found.left_out == {"sent again": 1}


def test_an_empty_text_is_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, {"text": " "}, {"text": "High tide?"})
    assert (len(found.past), found.left_out) == (1, {"empty": 1})
    assert found.notes()[0] == "left out: 1 empty"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("no JSON", "line 2: JSON is malformed"),
        ('{"prompt": "x"}', "line 2: Object missing required field `text`"),
        ('{"text": 7}', "line 2: Expected `str`, got `int` - at `$.text`"),
        ('{"text": "x", "turn": 0, "conversation_id": "c"}', "line 2: Expected `int` >= 1"),
        ('{"text": "x", "turn": "2", "conversation_id": "c"}', "line 2: Expected `int | null`"),
        ('{"text": "x", "turn": 2}', "line 2: turn 2 of no conversation; give its"),
        ('{"text": "x", "turn": 2, "conversation_id": ""}', "line 2: turn 2 of no conversation"),
        ('{"text": "x", "time_ms": "now"}', "line 2: Expected `int | null`"),
        ('{"text": "x", "conversation_id": ["c"]}', "line 2: Expected `int | str | null`"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_right(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(PastRequestsError) as error:
        read(tmp_path, {"text": "High tide?"}, line)
    assert problem in str(error.value)
    assert '{"text": "…", "conversation_id": "…", "turn": 1' in str(error.value)


def test_turns_of_some_lines_only(tmp_path: Path) -> None:
    with pytest.raises(PastRequestsError, match="only some lines of the conversation 'c' have"):
        read(tmp_path, *conversation("c"), {"text": "x", "conversation_id": "c"})


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PastRequestsError, match=r"cannot read .*nothing\.jsonl"):
        from_file(tmp_path / "nothing.jsonl", Preparation())


def test_a_limit_keeps_whole_conversations(tmp_path: Path) -> None:
    lines = [line for number in range(50) for line in conversation(f"c{number}")]
    lines += [{"text": f"alone {number}"} for number in range(50)]
    found = read(tmp_path, *lines)
    assert len(found.past) == 150
    found.limit(61)
    assert 59 < len(found.past) <= 61
    assert found.left_out["over the limit"] == 150 - len(found.past)
    sizes = Counter(one.conversation_id for one in found.past)
    del sizes[None]
    assert set(sizes.values()) == {2}


@pytest.mark.skipif("TIDEGAUGE_DATA_DIR" not in os.environ, reason="TIDEGAUGE_DATA_DIR is not set")
def test_real_conversations(tmp_path: Path) -> None:
    source = Path(os.environ["TIDEGAUGE_DATA_DIR"], "sgd/conversations.jsonl")
    lines: list[Line] = []
    with source.open() as file:
        for dialogue, _ in zip(map(json.loads, file), range(1000), strict=False):
            lines += [
                {"text": user, "conversation_id": dialogue["id"], "turn": turn}
                for turn, (user, _, _) in enumerate(dialogue["turns"], start=1)
            ]
    found = read(tmp_path, *lines)
    units = Counter(one.unit for one in found.past)
    assert units[Unit.OPENING] == 1000
    assert units[Unit.FOLLOWUP] > 900
    assert sum(units.values()) + found.left_out.total() == len(lines)
