"""Files of JSON lines: a value a line, read one after the other."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["read_json_lines"]

T = TypeVar("T")


def read_json_lines(
    path: Path, form: type[T], error: type[TidegaugeError], needed: str
) -> Iterator[tuple[int, T]]:
    """Yield the number, from 1, and the value of each line that is not blank.

    Lines end with a line feed alone: texts in JSON may hold Unicode's other separators.

    Args:
        path: The file, UTF-8 with or without a byte order mark.
        form: The fields of a line.
        error: Raised where the file cannot be used.
        needed: What a line has to be, in words, for the error's message.

    Raises:
        TidegaugeError: An ``error``: the file cannot be read, or a line has not the form.
    """
    decoder = msgspec.json.Decoder(form)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                data = line.removeprefix(BOM_UTF8) if number == 1 else line
                if not data.strip():
                    continue
                try:
                    value = decoder.decode(data)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
                    raise error(f"{path}, line {number}: {broken}; {needed}") from broken
                yield number, value
    except OSError as broken:
        raise error(f"cannot read {path}: {broken.strerror}") from broken
