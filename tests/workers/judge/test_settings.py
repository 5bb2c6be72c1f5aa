from __future__ import annotations

from pathlib import Path

import pytest

from tidegauge.adapters.vllm import JudgeRefusedError
from tidegauge.quality.errors import SpecificationError
from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.settings import load
from tidegauge.workers.judge.judge_files import read_golden_answers, read_references
from tidegauge.workers.judge.main import make_extractor, make_judge_pool
from tidegauge.workers.judge.settings import JudgeSettings


def test_every_variable_is_explained() -> None:
    fields = JudgeSettings.model_fields
    assert all(field.description for field in fields.values())


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_JUDGE_URL", "http://judge:8000/v1")
    monkeypatch.setenv("TIDEGAUGE_JUDGE_JUDGES", "helpfulness, helpfulness,")
    monkeypatch.setenv("TIDEGAUGE_WINDOW_SECONDS", "2")
    settings = load(JudgeSettings)
    assert settings.url == "http://judge:8000/v1"
    assert settings.names == ("helpfulness",)
    assert settings.sketching().window_ms == 2_000
    pool = make_judge_pool(settings)
    assert list(pool.judges) == ["helpfulness"]
    assert make_extractor(settings, pool).notices() == ("qualification_pending:helpfulness",)


def test_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_JUDGE_API_KEY", "hush")
    assert "hush" not in repr(load(JudgeSettings))


@pytest.mark.parametrize("rate", ["0", "1.5", "many"])
def test_a_rate_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    monkeypatch.setenv("TIDEGAUGE_JUDGE_RUBRIC_RATE", rate)
    with pytest.raises(SettingsError, match="TIDEGAUGE_JUDGE_RUBRIC_RATE is"):
        load(JudgeSettings)


def test_an_unknown_judge_is_named() -> None:
    with pytest.raises(SpecificationError, match=r"oracle.*likelihood, appropriate_refusal"):
        make_judge_pool(JudgeSettings(judges="oracle"))


def test_no_judge_at_all_is_refused() -> None:
    with pytest.raises(SpecificationError, match="no judge"):
        make_judge_pool(JudgeSettings(judges=" , "))


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(JudgeRefusedError, match="http"):
        make_judge_pool(JudgeSettings(url="judge:8000"))


def test_a_rubric_of_ones_own_stands_beside_the_built_in_ones(tmp_path: Path) -> None:
    file = tmp_path / "brevity.yaml"
    file.write_text("{name: brevity, task: 'Is it brief?', scale: [{label: 'yes'}, {label: 'no'}]}")
    pool = make_judge_pool(JudgeSettings(judges=f"tool_use,{file}", model="big"))
    assert list(pool.judges) == ["tool_use", "brevity"]
    assert {judge.specification.model for judge in pool.judges.values()} == {"big"}


def test_groundedness_by_likelihood_is_a_judge_of_its_own() -> None:
    pool = make_judge_pool(JudgeSettings(judges="likelihood,groundedness_likelihood", model="m"))
    assert [type(judge).__name__ for judge in pool.judges.values()] == [
        "LikelihoodJudge",
        "GroundednessJudge",
    ]


def test_two_judges_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("{name: tool_use, task: x, scale: [{label: 'yes'}, {label: 'no'}]}")
    with pytest.raises(SpecificationError, match="two judges 'tool_use'"):
        make_judge_pool(JudgeSettings(judges=f"tool_use,{file}"))


@pytest.mark.parametrize("name", ["hallucination", "support"])
def test_the_name_of_the_check_against_contexts_is_taken(tmp_path: Path, name: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"{{name: {name}, task: x, scale: [{{label: 'yes'}}, {{label: 'no'}}]}}")
    with pytest.raises(SpecificationError, match=f"cannot be named '{name}'"):
        make_judge_pool(JudgeSettings(judges=str(file)))


def test_a_context_that_can_stand_nowhere_is_refused() -> None:
    with pytest.raises(SpecificationError, match="where context stands"):
        make_judge_pool(JudgeSettings(judges="helpfulness", context="everywhere"))


def test_golden_answers_of_ones_own_are_read(tmp_path: Path) -> None:
    file = tmp_path / "golden_set.jsonl"
    file.write_text('{"kind": "good", "question": "Hi", "answer": "Hello"}\n\n')
    (golden_answer,) = read_golden_answers(file)
    assert (golden_answer.kind, golden_answer.exchange.prompt, golden_answer.exchange.answer) == (
        "good",
        "Hi",
        "Hello",
    )


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"question": "Hi"}',
        '{"question": "Hi", "answer": "Ho"}',
        '{"kind": "good"}',
        '{"kind": 1, "question": "", "answer": ""}',
    ],
)
def test_a_line_that_is_no_golden_answer_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "golden_set.jsonl"
    file.write_text(f'{{"kind": "good", "question": "Hi", "answer": "Hello"}}\n{line}\n')
    with pytest.raises(SpecificationError, match="2"):
        read_golden_answers(file)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match="nowhere"):
        read_golden_answers(tmp_path / "nowhere")


def test_a_text_may_hold_separators_of_lines_that_are_none_in_json(tmp_path: Path) -> None:
    file = tmp_path / "golden_set.jsonl"
    file.write_text('{"kind": "good", "question": "Hi\u2028there", "answer": "Hello\x85"}\n')
    (answer,) = read_golden_answers(file)
    assert answer.exchange.answer == "Hello\x85"
    assert answer.exchange.prompt == "Hi\u2028there"


def test_references_are_read_by_their_questions(tmp_path: Path) -> None:
    file = tmp_path / "references.jsonl"
    file.write_text('{"question": "How  TALL?", "reference": "5 m"}\n\n')
    assert read_references(file) == {"how tall?": "5 m"}
    file.write_text('{"question": "How tall?"}\n')
    with pytest.raises(SpecificationError, match=r"line 1: .*; a reference needs a question"):
        read_references(file)
