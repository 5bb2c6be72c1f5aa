"""Who owns a run, who ships it, and that both end with their processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tidegauge.capture.errors import OutboxUnavailableError
from tidegauge.capture.runs import (
    NOWHERE,
    Lock,
    Place,
    Position,
    Run,
    list_runs,
    load_position,
    new_run,
    save_position,
    sweep,
    usage_bytes,
)


def test_a_run_is_over_when_its_owner_lets_go(tmp_path: Path) -> None:
    run, lock = new_run(tmp_path, "gateway")
    assert run.producer_id.startswith("gateway-")
    assert not run.is_over()
    lock.release()
    assert run.is_over()
    lock.release()


def test_a_run_is_over_when_its_owner_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from tidegauge.capture.runs import new_run\n"
        "kept = new_run(pathlib.Path(sys.argv[1]), 'gateway')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        (run,) = list_runs(tmp_path)
        assert not run.is_over()
        owner.kill()
    assert run.is_over()


def test_one_shipper_at_a_time(tmp_path: Path) -> None:
    run, lock = new_run(tmp_path, "gateway")
    first = run.lock_shipping()
    assert first is not None
    assert run.lock_shipping() is None
    first.release()
    second = run.lock_shipping()
    assert second is not None
    run.remove()
    assert run.lock_shipping() is None
    second.release()
    lock.release()


def test_runs_of_one_second_do_not_meet(tmp_path: Path) -> None:
    made = [new_run(tmp_path, "gateway") for _ in range(20)]
    assert len({run.producer_id for run, _ in made}) == 20
    assert {run.path for run in list_runs(tmp_path)} == {run.path for run, _ in made}
    for _, lock in made:
        lock.release()


def test_a_run_that_is_just_being_made_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "gateway-1").mkdir()
    assert list_runs(tmp_path) == []
    assert not Run(tmp_path / "gateway-1").is_over()


def test_a_run_that_is_being_deleted_is_seen_by_nobody(tmp_path: Path) -> None:
    run, lock = new_run(tmp_path, "gateway")
    lock.release()
    (tmp_path / f".gone-{run.producer_id}").mkdir()
    run.path.rename(tmp_path / f".gone-{run.producer_id}")  # as far as a killed shipper came
    assert list_runs(tmp_path) == []
    assert run.lock_shipping() is None
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    run.remove()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == []
    assert usage_bytes(tmp_path / "none") == 0
    assert Lock.acquire(tmp_path / "none" / "lock") is None


def test_a_folder_that_cannot_be_made_is_said_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OutboxUnavailableError, match=r"file/outbox cannot be written.*give another"
    ):
        new_run(tmp_path / "file" / "outbox", "gateway")


def test_only_the_owner_can_read_what_people_wrote(tmp_path: Path) -> None:
    run, lock = new_run(tmp_path / "outbox", "gateway")
    assert (tmp_path / "outbox").stat().st_mode & 0o077 == 0
    assert run.path.stat().st_mode & 0o077 == 0
    lock.release()


def test_a_position_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "position.json"
    position = Position(
        place=Place(3, 70),
        sequence=5,
        shipped={"requests.v1": 4},
        dropped={"requests.v1": {"rejected": 1}},
        facts={"empty/passed": 3},
    )
    save_position(path, NOWHERE)
    save_position(path, position)
    assert load_position(path) == position
    assert [entry.name for entry in tmp_path.iterdir()] == ["position.json"]


def test_a_position_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "position.json"
    path.write_text(
        '{"place":{"segment":3,"offset":70},"sequence":5,"shipped":{"requests.v1":4},'
        '"rejected":{"requests.v1":1},"version":1}'
    )
    assert load_position(path) == Position(
        place=Place(3, 70),
        sequence=5,
        shipped={"requests.v1": 4},
        dropped={"requests.v1": {"rejected": 1}},
    )


@pytest.mark.parametrize("contents", [None, b"", b'{"place":[3', b"[]"])
def test_without_a_readable_position_shipping_begins_anew(
    tmp_path: Path, contents: bytes | None
) -> None:
    path = tmp_path / "position.json"
    if contents is not None:
        path.write_bytes(contents)
    assert load_position(path) == NOWHERE
