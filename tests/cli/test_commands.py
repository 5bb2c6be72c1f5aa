from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegauge.cli.commands import SUBCOMMANDS, app
from tidegauge.cli.errors import MissingExtraError

RUNNER = CliRunner()


def _tidegauge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


def _requests(path: Path, count: int) -> Path:
    lines = [
        {"event": "request", "latency_ms": number, "response_characters": 2 * number}
        for number in range(1, count + 1)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_version_is_the_distributions() -> None:
    assert RUNNER.invoke(app, ["--version"]).output == f"tidegauge {version('tidegauge')}\n"


def test_the_help_lists_every_command() -> None:
    said = RUNNER.invoke(app, ["--help"])
    assert said.exit_code == 0
    for name in (*SUBCOMMANDS, "gateway", "worker", "monitor", "up", "doctor", "demo"):
        assert name in said.output


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_can_be_loaded_and_has_help(name: str) -> None:
    said = RUNNER.invoke(app, [name, "--help"])
    assert said.exit_code == 0, said.output
    assert f"Usage: tidegauge {name}" in said.output


def test_the_help_imports_no_subcommand() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from tidegauge.cli.commands import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([name for name in sys.modules if name in ('numpy', 'kafka', 'sklearn')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_command_is_a_usage_error() -> None:
    assert RUNNER.invoke(app, ["bseline"]).exit_code == 2


def test_a_log_is_summarised_for_machines(tmp_path: Path) -> None:
    log = _requests(tmp_path / "requests.jsonl", 101)
    said = RUNNER.invoke(app, ["logs", "summary", str(log), "--json"])
    (found,) = json.loads(said.output)
    assert found["requests"] == 101
    assert found["latency_ms"] == {"p50": 51.0, "p95": 96.0, "p99": 100.0}
    assert found["median_response_characters"] == 102.0


def test_a_log_is_summarised_for_people(tmp_path: Path) -> None:
    log = _requests(tmp_path / "requests.jsonl", 101)
    log.write_bytes(log.read_bytes() + b"[bold]not json\n")
    said = RUNNER.invoke(app, ["logs", "summary", str(log)]).output
    assert "51.0 ms / 96.0 ms / 100 ms" in said
    assert "102 characters" in said
    assert "1 lines could not be read" in said


def test_what_can_be_explained_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = _tidegauge("logs", "summary", str(tmp_path / "absent.jsonl"))
    assert done.returncode == 2
    assert done.stderr.startswith("tidegauge: cannot read the request log ")
    assert done.stderr.count("\n") == 1


def test_a_path_that_cannot_be_used_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "logs"
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", "up", "--logs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"tidegauge: cannot use '{folder}': Not a directory")


def test_a_log_without_requests_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    done = _tidegauge("logs", "summary", str(empty))
    assert done.returncode == 2
    assert "tells of no request" in done.stderr


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_module: str) -> None:
        raise ModuleNotFoundError(name="sklearn")

    monkeypatch.setattr(importlib, "import_module", without)
    said = RUNNER.invoke(app, ["baseline", "list"])
    assert isinstance(said.exception, MissingExtraError)
    assert "pip install 'tidegauge[drift,vitals]'" in str(said.exception)
    assert RUNNER.invoke(app, ["--help"]).exit_code == 0


def test_every_command_prints_json_as_one_array() -> None:
    folder = Path(importlib.import_module("tidegauge.cli").__path__[0])
    texts = {path.name: path.read_text() for path in folder.glob("*.py")}
    for_machines = {name for name, text in texts.items() if "if as_json:" in text}
    own_way = {name for name in for_machines if "print_json(" not in texts[name]}
    assert len(for_machines) > 20
    assert not own_way - {"commands.py"}  # which passes it on
    assert not [name for name in for_machines if "echo(msgspec.json" in texts[name]]


def test_no_help_is_cut_at_80_columns() -> None:
    def cut(*path: str) -> Iterator[str]:
        said = RUNNER.invoke(app, [*path, "--help"], env={"COLUMNS": "80"}, terminal_width=80)
        assert said.exit_code == 0, path
        for line in said.output.splitlines():
            # Our own ellipses stand for a name's rest: TIDEGAUGE_JUDGE_…
            if re.search(r"[\w.-]…", line.replace("_…", "")):
                yield f"{' '.join(path)}: {line}"
        commands = said.output.partition("Commands")[2]
        for name in re.findall(r"^│ ([a-z][a-z-]*) ", commands, re.MULTILINE):
            yield from cut(*path, name)

    assert not list(cut())
