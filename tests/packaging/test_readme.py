"""What the README shows is what there is: commands, their options, the settings."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tidegauge.cli.commands import app

ROOT = Path(__file__).parents[2]


def _shown() -> Iterator[str]:
    for name in ("README.md", "infra/compose.yaml", "infra/kubernetes/kustomization.yaml"):
        text = (ROOT / name).read_text()
        for line in re.findall(r"^(?:#\s+)?(tidegauge [^`\n]*)$", text, flags=re.MULTILINE):
            yield re.sub(r"\s+#.*", "", line.removesuffix("\\").strip())


COMMANDS = sorted(set(_shown()))


def _parse(command: Any, arguments: list[str], parent: Any = None) -> None:  # noqa: ANN401 - typer's types are private
    """Read the arguments as they would be read to run the command, without running it."""
    context = command.make_context(command.name, list(arguments), parent=parent)
    if hasattr(command, "resolve_command"):
        _, child, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        _parse(child, rest, context)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_shown_command_can_be_typed(line: str) -> None:
    _, *arguments = shlex.split(line)
    _parse(typer.main.get_command(app), arguments)


def test_the_table_of_settings_is_current() -> None:
    script = ROOT / "infra" / "settings_table.py"
    checked = subprocess.run(
        [sys.executable, str(script), "--check", str(ROOT / "README.md")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, f"run `make generate`\n{checked.stdout}{checked.stderr}"
