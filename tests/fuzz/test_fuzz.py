"""A short run of the fuzzer, and every input that it has ever found."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tests.fuzz.fuzzer import KEPT, inputs, main, problem
from tests.fuzz.targets import TARGETS, Target

_INPUTS = 300


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_input_stops_a_reader(name: str) -> None:
    target = TARGETS[name]
    kept = [file.read_bytes() for file in sorted((KEPT / name).glob("*"))]
    for data in (*target.seeds, *kept, *itertools.islice(inputs(target, 7), _INPUTS)):
        assert problem(target, data) is None, data


def test_inputs_of_no_target_are_left_behind() -> None:
    assert {folder.name for folder in KEPT.glob("*") if folder.is_dir()} <= TARGETS.keys()


def test_what_is_found_is_kept_and_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(data: bytes) -> None:
        if b"\xff" in data:
            raise ValueError("found")

    monkeypatch.setitem(TARGETS, "http", Target(read, (b"abc",), (b"\xff",)))
    monkeypatch.setattr("tests.fuzz.fuzzer.KEPT", tmp_path)
    assert main(["--seconds", "0.5", "--target", "http", "--seed", "1"]) == 1
    (file,) = (tmp_path / "http").iterdir()
    assert b"\xff" in file.read_bytes()
    assert f"http: ValueError: found: {file}" in capsys.readouterr().out
