"""Every direct dependency is pinned for the development environment, and installed as pinned."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_HERE = {"tidegauge", "vllm", "opentelemetry-exporter-otlp-proto-http", "nvidia-ml-py"}
"""Itself, and what the environment does without."""


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def pinned() -> dict[str, str]:
    """Return the versions of ``infra/constraints.txt`` by name."""
    lines = (ROOT / "infra" / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def direct() -> set[str]:
    """Return the names of the dependencies that ``pyproject.toml`` asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return {_name(requirement) for group in groups for requirement in group} - NOT_HERE


def test_every_direct_dependency_is_pinned_exactly() -> None:
    versions = pinned()
    assert direct() - versions.keys() == set()
    assert all(re.fullmatch(r"[0-9]+(\.[0-9a-z]+)+", found) for found in versions.values())


@pytest.mark.parametrize("name", sorted(pinned()))
def test_what_is_installed_is_what_is_pinned(name: str) -> None:
    try:
        found = version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    assert found.partition("+")[0] == pinned()[name]
