from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from tests.workers.judge.conftest import ScriptedServer, server
from typer.testing import CliRunner, Result

from tidegauge.cli.commands import app
from tidegauge.schemas import TidegaugeError

__all__ = ["server"]

BREVITY = """
name: brevity
task: Grade how brief the answer is.
scale: [{label: 5}, {label: 4}, {label: 1}]
"""
LINES = (
    {"question": "How tall is it?", "context": "It is 5 metres tall.", "answer": "5 m."},
    {"question": "And how old?", "answer": "Ten years.", "kind": "good"},
    {"question": "And how old?", "answer": "It is rude to ask.", "kind": "rude"},
)


def run(*arguments: str | Path) -> Result:
    found = CliRunner().invoke(app, ["judge", *map(str, arguments)])
    if isinstance(found.exception, TidegaugeError):
        raise found.exception
    return found


@pytest.fixture
def rubric(tmp_path: Path) -> Path:
    file = tmp_path / "brevity.yaml"
    file.write_text(BREVITY)
    return file


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "exchanges.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return file


def test_the_judges_are_listed() -> None:
    found = {each["judge"]: each for each in json.loads(run("list", "--json").output)}
    assert {name for name, each in found.items() if each["asked"]} == {"likelihood", "helpfulness"}
    assert found["groundedness"]["has"] == ["answer", "context"]
    assert "added_claim" in found["groundedness"]["qualified_on"]
    shown = " ".join(run("list").output.split())
    told = "tool_use (not asked): scores answers with tool calls; qualified on wrong tool,"
    assert told in shown
    assert found["tool_use"]["specification_hash"][:8] in shown


def test_a_rubric_is_tried_on_exchanges(server: ScriptedServer, rubric: Path, lines: Path) -> None:
    said = run("try", rubric, lines, "--url", server.url, "--model", "big")
    assert said.exit_code == 0
    assert said.output.count("How tall is it? -> 5 m.") == 1
    assert "3 of 3 scored" in said.output
    assert "area under the curve 0.500 for rude" in said.output
    assert {body["model"] for body in server.asked} == {"big"}
    assert "It is 5 metres tall." in server.asked[0]["messages"][1]["content"]


def test_a_rubric_is_tried_with_its_judges_reasons(
    server: ScriptedServer, rubric: Path, lines: Path
) -> None:
    said = run("try", rubric, lines, "--url", server.url, "--reasons", "--json")
    first = json.loads(said.output)[0]
    assert first["reason"] == server.reply
    assert first["scores"]["score"] == pytest.approx(0.52, abs=0.01)


def test_exchanges_that_a_judge_is_not_asked_about_have_no_score(
    server: ScriptedServer, lines: Path
) -> None:
    said = run("try", "groundedness", lines, "--url", server.url)
    assert "1 of 3 scored" in said.output
    assert len(server.asked) == 1


def test_a_judge_of_some_models_and_routes_is_tried_and_qualified_without_them(
    server: ScriptedServer, rubric: Path, lines: Path
) -> None:
    only = "applies_to: {models: [support-*], routes: [/v1/chat/*]}\nqualified_on: [shuffled]\n"
    rubric.write_text(BREVITY + only)
    said = run("try", rubric, lines, "--url", server.url)
    assert "3 of 3 scored" in said.output
    found = json.loads(run("qualify", rubric, "--url", server.url, "--json").output)[0]
    assert found["qualification"]["scored"] == found["qualification"]["asked"] > 0


def test_a_judge_without_its_model_is_said_once(
    server: ScriptedServer, rubric: Path, lines: Path
) -> None:
    server.broken = lambda _: web.json_response({"message": "no such model"}, status=404)
    with pytest.raises(TidegaugeError, match=r"404.*no such model"):
        run("try", rubric, lines, "--url", server.url)
    assert len(server.asked) == 1


def test_a_judge_that_cannot_tell_good_from_bad_is_not_qualified(
    server: ScriptedServer, rubric: Path, lines: Path
) -> None:
    lines.write_text("".join(json.dumps(line) + "\n" for line in LINES[1:]))
    said = run("qualify", rubric, "--golden", lines, "--url", server.url)
    assert said.exit_code == 1
    assert "not qualified: it does not tell good from bad golden answers" in said.output
    assert "rude by score: no, area under the curve 0.50" in said.output


def test_a_judge_without_golden_answers_says_how_it_gets_some(
    server: ScriptedServer, rubric: Path
) -> None:
    said = run("qualify", rubric, "--url", server.url)
    assert said.exit_code == 1
    assert "there are no golden answers for it: name built-in kinds" in said.output
    assert not server.asked


def test_a_judge_that_tells_good_from_bad_is_qualified(server: ScriptedServer) -> None:
    said = run("qualify", "likelihood", "--url", server.url, "--json")
    (found,) = json.loads(said.output)
    assert said.exit_code == 0
    assert found["qualified"]
    assert {each["kind"] for each in found["qualification"]["separations"]} >= {"hot_sampler"}


def test_a_file_that_is_no_exchange_is_named(rubric: Path, lines: Path) -> None:
    lines.write_text('{"question": "How?"}\n')
    with pytest.raises(TidegaugeError, match=r"exchanges\.jsonl, line 1"):
        run("try", rubric, lines)
