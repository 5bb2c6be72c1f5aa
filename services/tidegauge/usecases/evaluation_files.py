"""Files of examples with known answers, one JSON object a line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

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
    decoder = msgspec.json.Decoder(form)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationFileError(f"cannot read {path}: {error}") from error
    examples = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            examples.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            names = ", ".join(form.__struct_fields__)
            raise EvaluationFileError(
                f"{path}, line {number}: {error}; a line is a JSON object with {names}"
            ) from error
    if not examples:
        raise EvaluationFileError(f"{path} has no example: one JSON object a line is wanted")
    return tuple(examples)
