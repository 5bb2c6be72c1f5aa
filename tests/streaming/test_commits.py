from __future__ import annotations

import os

import pytest

from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming import commits
from tidegauge.streaming.commits import dead_letter, encode_output
from tidegauge.streaming.processor import Partition, Record, Rejection

LIMIT = 1_000_000
PARTITION = Partition(REQUESTS.name, 2)


def letter(record: Record, detail: str = "no JSON") -> DeadLetter:
    output = dead_letter(Rejection(record, "malformed_json", detail), "drift", 5)
    assert len(encode_output(output).value) < LIMIT
    assert isinstance(output.event, DeadLetter)
    return output.event


@pytest.mark.parametrize("size", [0, 10, 600_000, 900_000, 5_000_000])
def test_a_dead_letter_keeps_what_fits_and_says_how_much_does_not(size: int) -> None:
    value = os.urandom(size)
    found = letter(Record(PARTITION, 7, value, key=b"key", headers=(("ce_type", b"x"),)))
    assert value.startswith(found.value)
    assert len(found.value) + found.left_out_bytes == size
    assert bool(found.left_out_bytes) == (size > commits.LETTER_BYTES)
    assert (found.key, found.headers) == (b"key", (("ce_type", b"x"),))


def test_neither_key_nor_headers_nor_detail_make_it_too_long() -> None:
    headers = tuple((f"name-{number}", b"\xff" * 900) for number in range(1_000))
    record = Record(PARTITION, 7, b"\xff" * 400_000, key=b"\xff" * 800_000, headers=headers)
    found = letter(record, detail="é" * 500_000)
    assert record.key is not None
    kept = sum(len(name) + len(value) for name, value in found.headers)
    whole = sum(len(name) + len(value) for name, value in headers) + 400_000 + 800_000
    assert found.key is not None
    assert kept + len(found.key) + len(found.value) + found.left_out_bytes == whole
    assert 0 < len(found.headers) < len(headers)


def test_a_record_without_key_has_none_in_its_letter() -> None:
    assert letter(Record(PARTITION, 7, b"{}")).key is None
