"""Every example in the product's docstrings is run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    "tidegauge." + ".".join(file.relative_to(portion).with_suffix("").parts)
    for portion in (ROOT / name / "tidegauge" for name in ("schemas", "pipelines", "services"))
    for file in portion.rglob("*.py")
    if any(">>> " in line and "+SKIP" not in line for line in file.read_text().splitlines())
)


@pytest.mark.parametrize("name", [name.removesuffix(".__init__") for name in MODULES])
def test_examples_are_right(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("tidegauge"):
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
