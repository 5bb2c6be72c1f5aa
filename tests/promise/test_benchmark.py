from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tidegauge.promise.bars import all_bars
from tidegauge.promise.benchmark import FULL, QUICK, Files, jobs, measure
from tidegauge.promise.errors import TrafficFileError
from tidegauge.promise.scenarios import CONVERSATION_TRAFFIC, SERVICE_TRAFFIC
from tidegauge.promise.swaps import SWAPS, swap_bars


def test_every_traffic_and_swap_is_run() -> None:
    names = {job.name for job in jobs(QUICK)}
    assert names == {*CONVERSATION_TRAFFIC, *SERVICE_TRAFFIC, *SWAPS}


def test_no_conversations_are_made_of_questions_that_are_not_there() -> None:
    names = {job.name for job in jobs(QUICK, questions=False)}
    assert "conversations on one topic" not in names
    assert "single questions" in names


def test_a_full_run_has_twenty_streams_of_two_weeks_in_each_cell() -> None:
    assert (FULL.streams, FULL.days) == (20, 14.0)
    one = [*jobs(replace(QUICK, streams=1, changed=0, swaps=0))]
    assert len([*jobs(replace(FULL, changed=0, swaps=0))]) == 20 * len(one)


def test_there_are_at_least_twelve_bars_and_none_is_met_by_nothing() -> None:
    bars = [*all_bars([], []), *swap_bars([])]
    measured = [bar for bar in bars if not bar.name.startswith("false alarms of all")]
    assert len(bars) >= 12
    assert not any(bar.met for bar in measured)


def test_a_file_that_cannot_be_used_is_named_before_anything_is_run(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.jsonl"
    with pytest.raises(TrafficFileError, match=r"cannot read .*nothing\.jsonl"):
        measure(
            Files(missing, missing, None, tmp_path / "vectors.npz"),
            QUICK,
            print,
            keep=tmp_path / "jobs.jsonl",
        )
