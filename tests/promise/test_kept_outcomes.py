from __future__ import annotations

from pathlib import Path

from tidegauge.promise.benchmark import QUICK, jobs
from tidegauge.promise.cells import StreamOutcome
from tidegauge.promise.kept_outcomes import KeptOutcomes, job_key, source_of
from tidegauge.promise.path import Alarm
from tidegauge.promise.swaps import SwapOutcome

STREAM = StreamOutcome(
    traffic="steady load",
    baseline="1 day",
    change="20% slower",
    signal="latency",
    number=3,
    days=3.0,
    refused={"cost.request": "too short"},
    allowed={"latency.total": 0.2},
    alarms=(Alarm("latency.total", 0.5, ("latency/above_p95",), 100),),
    delays={"latency.total": 400},
    units=26_000,
)
SWAP = SwapOutcome(swap="30% slower", number=1, worse=("swap.latency",), requests=900)


def test_what_is_finished_is_found_again_by_its_job(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "promise.jobs.jsonl"
    KeptOutcomes(file, "a").keep("first", [STREAM, SWAP], 2.0)
    KeptOutcomes(file, "a").keep("second", [], 1.0)
    kept = KeptOutcomes(file, "a")
    found = kept.find("first")
    assert found is not None
    assert (found.streams, found.swaps, found.cpu_seconds) == ((STREAM,), (SWAP,), 2.0)
    assert kept.find("second") is not None
    assert kept.find("third") is None


def test_outcomes_of_other_files_or_code_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "promise.jobs.jsonl"
    KeptOutcomes(file, "a").keep("first", [STREAM], 2.0)
    assert KeptOutcomes(file, "b").find("first") is None
    KeptOutcomes(file, "b").keep("first", [], 2.0)
    assert KeptOutcomes(file, "a").find("first") is not None


def test_a_line_that_was_cut_off_is_run_again_and_hides_no_other(tmp_path: Path) -> None:
    file = tmp_path / "promise.jobs.jsonl"
    KeptOutcomes(file, "a").keep("first", [STREAM], 2.0)
    KeptOutcomes(file, "a").keep("second", [STREAM], 2.0)
    file.write_bytes(file.read_bytes()[:-20])
    kept = KeptOutcomes(file, "a")
    assert kept.find("second") is None
    kept.keep("second", [STREAM], 2.0)
    assert KeptOutcomes(file, "a").find("second") is not None
    assert KeptOutcomes(file, "a").find("first") is not None


def test_every_job_has_a_key_of_its_own_that_more_streams_do_not_change() -> None:
    few = [job_key(job) for job in jobs(QUICK.with_streams(2))]
    many = [job_key(job) for job in jobs(QUICK.with_streams(4))]
    assert len(set(many)) == len(many)
    assert set(few) < set(many)


def test_the_source_changes_with_the_files(tmp_path: Path) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text("one")
    before = source_of((file, None), "embedder")
    assert source_of((file, None), "embedder") == before != source_of((file, None), "another")
    file.write_text("two")
    assert source_of((file, None), "embedder") != before
