"""Files of examples with known answers, one JSON object a line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from tidegauge.runtime.json_lines import read_json_lines
from tidegauge.usecases.errors import EvaluationFileError

__all__ = ["read_examples"]

Example = TypeVar("Example", bound=msgspec.Struct)


def read_examples(path: Path, form: type[Example]) -> tuple[Example, ...]:
    """Return the examples of a file.

    Args:
        path: The file.
        form: The fields of a line.

    Raises:
        EvaluationFileError: The file cannot be read, a line has not the form, or there is none.
    """
    names = ", ".join(form.__struct_fields__)
    needed = f"a line is a JSON object with {names}"
    lines = read_json_lines(path, form, EvaluationFileError, needed)
    examples = tuple(example for _, example in lines)
    if not examples:
        raise EvaluationFileError(f"{path} has no example: one JSON object a line is wanted")
    return examples
