"""Tables as CSV, in which no spreadsheet takes a text for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["csv_text"]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> str:
    """Return a table as CSV (RFC 4180); None is an empty cell.

    Example:
        >>> csv_text(("who", "usd"), [("=HYPERLINK(1)", 0.5), ("acme", None)]).splitlines()
        ['who,usd', "'=HYPERLINK(1),0.5", 'acme,']
    """
    out = io.StringIO()
    writer = csv.writer(out)
    for row in (header, *rows):
        writer.writerow([_safe(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue()


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
