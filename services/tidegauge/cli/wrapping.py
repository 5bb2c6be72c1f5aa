"""What commands print: lines for people, wrapped and never cut, or one JSON array for machines."""

from __future__ import annotations

import shutil
import textwrap

import msgspec
import typer

__all__ = ["print_json", "say", "wrapped"]

_LEAST, _MOST = 40, 100


def wrapped(line: str, columns: int) -> str:
    """Return a line wrapped at blanks; what follows is indented by two more.

    Example:
        >>> print(wrapped("  a line that is too long", 14))
          a line that
            is too
            long
    """
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.strip(),
        columns,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def say(line: str) -> None:
    """Print a line, wrapped at the terminal's width."""
    columns = min(_MOST, max(_LEAST, shutil.get_terminal_size().columns))
    typer.echo(wrapped(line, columns))


def print_json(found: object) -> None:
    """Print one JSON array: the entries of a list or tuple, anything else as the only entry."""
    entries = found if isinstance(found, list | tuple) else [found]
    typer.echo(msgspec.json.encode(entries))
