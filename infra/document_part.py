"""A generated part of a document, between two marks."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["with_part"]


def with_part(document: Path, name: str, part: str) -> str:
    """Return a document's text with another part between the marks of that name.

    Raises:
        SystemExit: With status 2, where it lacks the marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        print(f"{document} lacks the lines {begin} and {end}", file=sys.stderr)
        raise SystemExit(2)
    return f"{before}{begin}\n{part}\n{end}{after}"
