"""No call on an exchange's way makes CPython build a dictionary of its arguments.

For more than thirty values, a keyword counted twice, the compiler builds a dictionary at each call
and unpacks it, which takes four times as long. Values by position alone are no such trap.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST = 30
"""``STACK_USE_GUIDELINE`` of CPython's compiler."""


def way_of_an_exchange() -> list[Path]:
    document = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = document.partition("### exchange")[2].partition("\n### ")[0]
    names = re.findall(r"^- `([\w/]+\.py)`", listed, re.MULTILINE)
    portions = [ROOT / portion / "tidegauge" for portion in ("schemas", "pipelines", "services")]
    return [path for name in names for root in portions if (path := root / name).exists()]


def slow_calls(source: str) -> list[int]:
    """Return the lines of the calls that build a dictionary."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and node.keywords
        and len(node.args) + 2 * len(node.keywords) > MOST
    ]


def test_no_call_on_an_exchanges_way_builds_a_dictionary() -> None:
    files = way_of_an_exchange()
    assert len(files) > 20
    slow = {path.name: lines for path in files if (lines := slow_calls(path.read_text("utf-8")))}
    assert slow == {}


def test_fifteen_names_are_the_most() -> None:
    fifteen = ", ".join(f"a{number}=0" for number in range(15))
    assert slow_calls(f"f({fifteen})") == []
    assert slow_calls(f"f(1, {fifteen})") == [1]
    assert slow_calls(f"f({', '.join('0' * 43)})") == []
