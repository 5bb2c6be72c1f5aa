"""What the documents show is what there is: commands, options, settings, links."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tidegauge.cli.commands import app

ROOT = Path(__file__).parents[2]
README_BYTES = 10_000

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMENTED = [
    *(ROOT / "infra").glob("compose.yaml"),
    *(ROOT / "infra" / "kubernetes").glob("*.yaml"),
    *(ROOT / "infra" / "systemd").glob("*"),
]
_SHOWN = re.compile(r"^(?:#\s+|ExecStart=\S*/)(tidegauge .*)$", re.MULTILINE)
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def _lines() -> Iterator[str]:
    """Yield the lines of the documents' shell blocks and of deployment files."""
    for file in DOCUMENTS:
        for block in _BLOCK.findall(file.read_text()):
            yield from block.replace("\\\n", " ").splitlines()
    for file in COMMENTED:
        yield from _SHOWN.findall(file.read_text())


def shown_commands() -> list[str]:
    """Return the commands of shell blocks and deployment files, without what they are piped to."""
    found = set()
    for line in _lines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["tidegauge"]:
            end = next((i for i, word in enumerate(words) if word in {"|", ">", "&&"}), len(words))
            found.add(shlex.join(words[:end]))
    return sorted(found)


def _mentions() -> list[str]:
    """Return the commands that sentences name, often without their arguments."""
    texts = [file.read_text() for file in DOCUMENTS if file.name != "CLI.md"]
    return sorted({name for text in texts for name in re.findall(r"`(tidegauge [^`\n]*)`", text)})


def _parse(command: Any, arguments: list[str], parent: Any = None) -> None:  # noqa: ANN401 - typer's types are private
    """Read the arguments as they would be read to run the command, without running it."""
    context = command.make_context(command.name, list(arguments), parent=parent)
    if hasattr(command, "resolve_command"):
        _, child, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        _parse(child, rest, context)


def test_there_are_commands_to_check() -> None:
    assert len(shown_commands()) > 30


@pytest.mark.parametrize("line", shown_commands())
def test_a_shown_command_can_be_typed(line: str) -> None:
    _, *arguments = shlex.split(line)
    _parse(typer.main.get_command(app), arguments)


@pytest.mark.parametrize("line", _mentions())
def test_a_named_command_exists(line: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in shlex.split(line)[1:]:
        if not hasattr(command, "resolve_command"):
            break
        context = command.make_context("tidegauge", [word], resilient_parsing=True)
        if word.startswith("-"):
            assert word in {name for option in command.params for name in option.opts}
        else:
            _, command, _ = command.resolve_command(context, [word])


@pytest.mark.parametrize(
    "target", sorted({m for line in _lines() for m in re.findall(r"^make ([\w-]+)", line)})
)
def test_a_shown_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_shown_yaml_can_be_read(file: Path) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE):
        assert yaml.safe_load(block), block


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    return subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", *arguments],
        cwd=folder,
        env=kept | {"TIDEGAUGE_GATEWAY_KEYS_FILE": "keys.json"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_commands_of_the_readme_do_what_they_say(tmp_path: Path) -> None:
    created = run("keys", "create", "acme", "--json", folder=tmp_path)
    assert created.returncode == 0, created.stderr
    assert "acme" in run("keys", "list", folder=tmp_path).stdout
    assert run("outbox", "list", folder=tmp_path).returncode in {0, 2}
    assert run("--version", folder=tmp_path).stdout.startswith("tidegauge ")


@pytest.mark.parametrize(
    ("script", "page"), [("settings_table.py", "SETTINGS.md"), ("cli_reference.py", "CLI.md")]
)
def test_a_generated_page_is_current(script: str, page: str) -> None:
    command = [sys.executable, str(ROOT / "infra" / script), "--check", str(ROOT / "docs" / page)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"run `make generate`\n{checked.stdout}{checked.stderr}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", file.read_text()):
        path, _, heading = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{file.name} links to {link}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
            assert heading in anchors, f"{file.name} links to {link}"


def test_every_document_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = set(re.findall(r"^- \[([A-Z]+\.md)\]", index.read_text(), re.MULTILINE))
    assert {file.name for file in index.parent.glob("*.md")} - {index.name} <= listed


def test_the_readme_can_be_read_at_once() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES
