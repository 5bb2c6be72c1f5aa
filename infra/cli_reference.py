"""Write the reference of the command line from the commands themselves.

python infra/cli_reference.py docs/CLI.md            rewrites it in place
python infra/cli_reference.py --check docs/CLI.md    fails if it is not up to date
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tidegauge.cli.commands import SUBCOMMANDS, app

HEAD = """\
# Command line

Every command ends with status 0 if it did what it was asked to, and with 2 and one line if it \
could not; where a status means more, the command says so. `--help` shows the same as this page. \
`make generate` writes it from the code.
"""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")


def _default(parameter: Any) -> str:  # noqa: ANN401 - click's parameters have no public type here
    found = parameter.default
    if parameter.required:
        return "required"
    if found is None or found is False or callable(found) or found in ((), [], ""):
        return ""
    return f"`{found}`"


def _argument(parameter: Any) -> str:  # noqa: ANN401 - as above
    name = parameter.name.upper() + ("..." if parameter.nargs < 0 else "")
    return name if parameter.required else f"[{name}]"


def _sections(command: Any, path: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401 - as above
    """Yield a command's section, or those of its commands if it is a group."""
    context = command.make_context(path[-1], [], resilient_parsing=True)
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            if len(path) == 1 and name in SUBCOMMANDS:
                _, child, _ = command.resolve_command(context, [name])
            else:
                child = command.get_command(context, name)
            yield from _sections(child, (*path, name))
        return
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [
        each
        for each in command.params
        if each.param_type_name == "option" and "completion" not in each.name
    ]
    shown = " ".join(_argument(each) for each in arguments)
    yield f"\n## {' '.join(path)}\n"
    yield f"`{' '.join(path)}{' [OPTIONS]' if options else ''}{f' {shown}' if shown else ''}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    rows = [
        *((f"`{_argument(each)}`", each) for each in arguments),
        *((f"`{', '.join((*each.opts, *each.secondary_opts))}`", each) for each in options),
    ]
    if rows:
        yield "| | Default | Meaning |\n|---|---|---|"
        for name, each in rows:
            yield f"| {name} | {_default(each)} | {_cell(getattr(each, 'help', '') or '')} |"


def reference() -> str:
    """Return the page in Markdown."""
    return HEAD + "\n".join(_sections(typer.main.get_command(app), ("tidegauge",))) + "\n"


def main(arguments: list[str]) -> int:
    """Rewrite or check the page; return the exit status."""
    path, new = Path(arguments[-1]), reference()
    if "--check" not in arguments:
        path.write_text(new, encoding="utf-8")
        return 0
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    changes = list(difflib.unified_diff(old.splitlines(), new.splitlines(), path.name, "commands"))
    print("\n".join(changes), end="\n" if changes else "")
    return bool(changes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
