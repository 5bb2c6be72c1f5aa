from __future__ import annotations

from pathlib import Path

import pytest

from tidegauge.promise.errors import TrafficFileError
from tidegauge.promise.files import read_arrivals, read_conversations, read_questions

CONVERSATION = '{"turns": [["hello", "hi", null], ["a table", "where?", "Find"]]}\n'
ARRIVALS = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def test_conversations_keep_their_turns_and_topics(tmp_path: Path) -> None:
    file = tmp_path / "conversations.jsonl"
    about = '{"turns": [["hello", "hi", null]], "services": ["Hotels_2", "Banks_1"]}\n'
    file.write_text(CONVERSATION * 199 + about)
    found = read_conversations(file)
    assert len(found) == 200
    assert found[0].turns == (("hello", "hi"), ("a table", "where?"))
    assert found[-1].topic == "Hotels"


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "conversations.jsonl"
    file.write_text(CONVERSATION * 4 + '{"turns": 3}\n')
    with pytest.raises(TrafficFileError, match=r"conversations\.jsonl, line 5: .*array"):
        read_conversations(file)


def test_a_conversation_needs_a_message(tmp_path: Path) -> None:
    file = tmp_path / "conversations.jsonl"
    file.write_text('{"turns": [[" ", "hi", null]]}\n')
    with pytest.raises(TrafficFileError, match="line 1: the conversation has no user's message"):
        read_conversations(file)


def test_too_few_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"text": "why?", "intent": "reasons"}\n' * 3)
    with pytest.raises(TrafficFileError, match="holds 3 questions: at least 200"):
        read_questions(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrafficFileError, match=r"cannot read .*nowhere\.csv"):
        read_arrivals(tmp_path / "nowhere.csv")


def test_arrivals_are_sorted_and_their_gaps_have_a_mean_of_1(tmp_path: Path) -> None:
    file = tmp_path / "arrivals.csv"
    lines = [f"2026-01-05 10:{n // 60:02}:{n % 60:02}.5000000,{n},7\n" for n in range(300)]
    file.write_text(ARRIVALS + "".join(reversed(lines)))
    found = read_arrivals(file)
    assert found.gaps == pytest.approx([1.0] * 299)
    assert found.prompt_tokens.tolist() == list(range(1, 300))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TIMESTAMP,ContextTokens\n", "line 1: there is no column GeneratedTokens"),
        (ARRIVALS + "2026-01-05 10:00:00,12,x\n", "line 2: invalid literal"),
        (ARRIVALS + "yesterday,12,3\n", "line 2: Invalid isoformat"),
        (ARRIVALS + "2026-01-05 10:00:00,12\n", "line 2: "),
        (ARRIVALS + "2026-01-05 10:00:00,12,3\n" * 300, "all requests have the same time"),
    ],
)
def test_bad_arrivals_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text(text)
    with pytest.raises(TrafficFileError, match=message):
        read_arrivals(file)


def test_slow_changes_of_the_rate_are_taken_out(tmp_path: Path) -> None:
    file = tmp_path / "arrivals.csv"
    seconds = [*range(1_000), *range(1_000, 11_000, 10)]
    lines = [f"2026-01-05 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02},1,1\n" for n in seconds]
    file.write_text(ARRIVALS + "".join(lines))
    found = read_arrivals(file)
    assert found.gaps[:500].mean() == pytest.approx(found.gaps[-500:].mean(), rel=0.05)
