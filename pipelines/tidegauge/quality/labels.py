"""People's labels: a file of them read with care, and each answer's mean label."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from tidegauge.quality.errors import LabelFileError
from tidegauge.schemas.evaluations import LabelEvent

__all__ = ["Format", "MeanLabel", "mean_labels", "read_labels"]

Format = Literal["jsonl", "csv"]

_SHOWN: Final = 5
_LONGEST: Final = 200
_LONGEST_NOTE: Final = 4000
_NAMES: Final = ("request_id", "score", "annotator", "inclusion_probability", "note", "time_ms")


def read_labels(text: str, form: Format, *, annotator: str, now_ms: int) -> tuple[LabelEvent, ...]:
    """Return all labels of a file; if a line is wrong, none is read.

    A line has ``request_id`` and ``score`` in [0, 1], and may have ``annotator``,
    ``inclusion_probability`` (that the answer was judged and given to a person), ``note`` and
    ``time_ms``.

    Args:
        text: The file.
        form: JSON lines, or CSV with a header.
        annotator: Annotator of the lines that do not name one.
        now_ms: Time of the lines that do not have one, Unix milliseconds.

    Raises:
        LabelFileError: Lines are wrong; the message names the first ones and their number.
    """
    rows = _json_lines(text) if form == "jsonl" else _csv_lines(text)
    labels: list[LabelEvent] = []
    wrong: list[str] = []
    for number, row in rows:
        found = row if isinstance(row, str) else _label(row, annotator, now_ms)
        if isinstance(found, str):
            wrong.append(f"line {number}: {found}")
        else:
            labels.append(found)
    repeated = Counter((label.request_id, label.annotator) for label in labels)
    wrong += [
        f"{count} labels of {request!r} by {who!r}: one is wanted"
        for (request, who), count in repeated.items()
        if count > 1
    ]
    if wrong:
        more = f"\n  and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise LabelFileError("\n  ".join(["nothing was imported:", *wrong[:_SHOWN]]) + more)
    if not labels:
        raise LabelFileError("there is no label in it")
    return tuple(labels)


@dataclass(frozen=True, slots=True)
class MeanLabel:
    """What people say of one answer.

    Attributes:
        score: Mean of their labels.
        chance: Probability that the answer was judged and given to a person; None if no label
            says it.
    """

    score: float
    chance: float | None


def mean_labels(labels: Iterable[LabelEvent]) -> Mapping[str, MeanLabel]:
    """Return each answer's mean label, and the probability that a person was asked.

    A person's later label replaces the earlier one; several people's labels are averaged.

    Returns:
        Request id -> mean label.
    """
    last: dict[tuple[str, str], LabelEvent] = {}
    for label in labels:
        key = (label.request_id, label.annotator)
        if key not in last or label.time_ms >= last[key].time_ms:
            last[key] = label
    by_request: dict[str, list[LabelEvent]] = {}
    for label in last.values():
        by_request.setdefault(label.request_id, []).append(label)
    return {
        request: MeanLabel(
            math.fsum(each.score for each in found) / len(found),
            max(each.inclusion_probability or 0 for each in found) or None,
        )
        for request, found in by_request.items()
    }


def _json_lines(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            yield number, f"no JSON ({error})"
        else:
            yield number, row if isinstance(row, dict) else "no JSON object"


def _csv_lines(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    reader = csv.DictReader(io.StringIO(text))
    names = reader.fieldnames or ()
    if missing := {"request_id", "score"} - set(names):
        yield 1, f"the header lacks {', '.join(sorted(missing))}"
        return
    for row in reader:
        if None in row or None in row.values():
            yield reader.line_num, f"it has not the header's {len(names)} columns"
            continue
        yield reader.line_num, {name: value for name, value in row.items() if value != ""}


def _label(row: Mapping[str, object], annotator: str, now_ms: int) -> LabelEvent | str:
    if unknown := sorted(set(row) - set(_NAMES)):
        return f"unknown {', '.join(map(repr, unknown))}; there are {', '.join(_NAMES)}"
    try:
        label = msgspec.convert(
            {"annotator": annotator, "time_ms": now_ms, **row, "type": "tidegauge.label"},
            LabelEvent,
            strict=False,
        )
    except msgspec.ValidationError as error:
        return str(error)
    return _fault(label) or label


def _fault(label: LabelEvent) -> str | None:
    asked = label.inclusion_probability
    checks = (
        (0 < len(label.request_id) <= _LONGEST, f"request_id is not of 1 to {_LONGEST} characters"),
        (0 < len(label.annotator) <= _LONGEST, "no annotator: name one here or for the whole file"),
        (0 <= label.score <= 1, f"score is {label.score}, not within 0 and 1"),
        (
            asked is None or 0 < asked <= 1,
            f"inclusion_probability is {asked}, not above 0 and up to 1",
        ),
        (len(label.note) <= _LONGEST_NOTE, f"the note is longer than {_LONGEST_NOTE} characters"),
        (label.time_ms > 0, f"time_ms is {label.time_ms}: Unix milliseconds are wanted"),
    )
    return next((fault for holds, fault in checks if not holds), None)
