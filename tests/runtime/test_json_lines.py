"""Files of JSON lines: what is read, and what is said of a file that cannot be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tidegauge.runtime.json_lines import read_json_lines
from tidegauge.schemas.errors import TidegaugeError

NEEDED = "a line needs a depth"


class Sounding(msgspec.Struct):
    """One line."""

    depth: float
    note: str = ""


class SoundingsError(TidegaugeError):
    """What a caller raises."""


def read(path: Path) -> list[tuple[int, Sounding]]:
    return list(read_json_lines(path, Sounding, SoundingsError, NEEDED))


def test_lines_keep_their_numbers_over_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "soundings.jsonl"
    path.write_text('\n{"depth": 1.5}\r\n  \n{"depth": 2, "note": "a\u2028b\x85"}')
    assert read(path) == [(2, Sounding(1.5)), (4, Sounding(2.0, "a\u2028b\x85"))]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "soundings.jsonl"
    path.write_text('{"depth": 3}\n', encoding="utf-8-sig")
    assert read(path) == [(1, Sounding(3.0))]


@pytest.mark.parametrize(
    "line", [b'{"depth": "deep"}', b'{"note": "x"}', b"{", b'"\xff"', b"[" * 100_000]
)
def test_a_wrong_line_is_named_with_what_is_right(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "soundings.jsonl"
    path.write_bytes(b'{"depth": 1}\n' + line)
    with pytest.raises(SoundingsError, match=rf"soundings\.jsonl, line 2: .*; {NEEDED}$"):
        read(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SoundingsError, match=r"^cannot read .*nowhere\.jsonl: No such file"):
        read(tmp_path / "nowhere.jsonl")
