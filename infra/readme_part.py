"""A generated part of README, between two marks."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["with_part"]


def with_part(readme: Path, name: str, part: str) -> str:
    """Return README's text with another part between the marks of that name.

    Raises:
        SystemExit: With status 2, where it lacks the marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        print(f"{readme} lacks the lines {begin} and {end}", file=sys.stderr)
        raise SystemExit(2)
    return f"{before}{begin}\n{part}\n{end}{after}"
