"""The house rules: one meaning for a name, files of a readable length, documents that are true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PORTIONS = tuple(ROOT / portion / "tidegauge" for portion in ("schemas", "pipelines", "services"))
LONGEST = 500
DOCUMENTS = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "infra" / "decisions").glob("*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
)

ROLES = {
    "__init__": "the front of a package",
    "app": "a process's ASGI application",
    "errors": "a package's exceptions",
    "extractor": "what measures one event, for the worker that the package is named after",
    "main": "a process's entry point",
    "metrics": "a process's metrics",
    "settings": "a process's settings",
}
"""Module names that mean the same part of every package.

A command's module is named after what it controls: those of ``cli/`` do not count.
"""


@cache
def product_files() -> dict[str, Path]:
    """Return the product's files by their path below the namespace."""
    return {
        str(file.relative_to(portion)): file
        for portion in PORTIONS
        for file in sorted(portion.rglob("*.py"))
    }


@cache
def product_text() -> str:
    return "\n".join(file.read_text() for file in product_files().values())


@cache
def names_of_tests() -> dict[str, set[str]]:
    """Return the names of the tests in each file of tests."""
    return {
        str(file.relative_to(ROOT)): set(re.findall(r"def (test_\w+)", file.read_text()))
        for file in (ROOT / "tests").rglob("test_*.py")
    }


def public_classes() -> Iterator[tuple[str, str]]:
    """Yield (name, file) of each public class."""
    for name, file in product_files().items():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, name


def test_a_class_name_has_one_meaning() -> None:
    places = defaultdict(list)
    for name, file in public_classes():
        places[name].append(file)
    assert not {name: files for name, files in places.items() if len(files) > 1}


def test_a_module_name_has_one_meaning() -> None:
    places = defaultdict(list)
    for name, file in product_files().items():
        if not name.startswith("cli/"):
            places[file.stem].append(name)
    assert not {
        stem: files for stem, files in places.items() if len(files) > 1 and stem not in ROLES
    }


def test_each_role_is_one_of_several_packages() -> None:
    stems = Counter(file.stem for name, file in product_files().items() if "cli/" not in name)
    assert not {stem for stem in ROLES if stems[stem] < 2}


def test_no_file_is_too_long_to_read() -> None:
    lengths = {name: len(file.read_text().splitlines()) for name, file in product_files().items()}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST}


def test_every_module_says_what_it_is() -> None:
    said = {
        name: ast.get_docstring(ast.parse(file.read_text()))
        for name, file in product_files().items()
    }
    assert not [name for name, words in said.items() if words in {None, "", "To be filled."}]


def test_decisions_are_numbered_without_holes() -> None:
    names = sorted(file.name for file in (ROOT / "infra" / "decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        title = (ROOT / "infra" / "decisions" / name).read_text().splitlines()[0]
        assert title.startswith(f"# {name[:4]}: "), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_what_a_document_names_exists(document: Path) -> None:
    quoted = re.findall(r"`([^`\n]+)`", document.read_text())
    assert not [name for name in quoted if not exists(name)]


def exists(quoted: str) -> bool:
    """Whether a quoted path, module or test exists; True for anything else that is quoted."""
    if re.fullmatch(r"tests/[\w/]+\.py::test_\w+", quoted):
        file, _, test = quoted.partition("::")
        return test in names_of_tests().get(file, ())
    if re.fullmatch(r"test_\w+", quoted):
        return any(quoted in tests for tests in names_of_tests().values())
    if re.fullmatch(r"tidegauge(\.\w+)+", quoted):
        return is_module_or_name(quoted.split(".")[1:])
    if re.fullmatch(r"[\w./-]+/|[\w/-]+/[\w.-]+\.(py|md|sh|toml|yaml|txt)", quoted):
        here = [ROOT / quoted, *(portion / quoted for portion in PORTIONS)]
        return any(place.exists() for place in here) or quoted.startswith(("build/", "/", "~", "."))
    return True


def is_module_or_name(parts: list[str]) -> bool:
    """Whether these are a package, a module, or a module and a name that stands in it."""
    for portion in PORTIONS:
        place = portion.joinpath(*parts)
        if place.is_dir() or place.with_suffix(".py").exists():
            return True
    above = "/".join(parts[:-1])
    files = product_files()
    text = [files[name] for name in (f"{above}.py", f"{above}/__init__.py") if name in files]
    return any(re.search(rf"\b{parts[-1]}\b", file.read_text()) for file in text)


def test_the_glossarys_names_are_in_the_code() -> None:
    quoted = re.findall(r"`([^`\n]+)`", (ROOT / "docs" / "GLOSSARY.md").read_text())
    words = set(re.findall(r"\w+", product_text()))
    assert not [name for name in quoted if re.fullmatch(r"\w+", name) and name not in words]


def test_the_listing_of_the_ways_is_current() -> None:
    checked = subprocess.run(
        [sys.executable, "infra/ways.py", "--check", "docs/ARCHITECTURE.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, f"{checked.stdout}{checked.stderr}"
