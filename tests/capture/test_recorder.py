"""The recorder: one sequence without a gap, everything counted, nothing ever raised."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tidegauge.capture import CaptureSettings, Counts, OutboxUnavailableError, Recorder
from tidegauge.capture.counters import CountersReader, counts_of
from tidegauge.capture.frame import Frame
from tidegauge.capture.outbox import BUFFER_BYTES
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.runs import Place, Run, list_runs
from tidegauge.capture.testing import (
    COMPACT,
    EXCHANGES,
    EXPAND,
    record_exchange,
    request,
    response,
)
from tidegauge.schemas import Segment, decode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent

SERVED = 200


def settings_in(directory: Path, **changes: int) -> CaptureSettings:
    return msgspec.structs.replace(CaptureSettings(directory=directory), **changes)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(settings_in(tmp_path), ship=False) as started:
        yield started


def outbox_of(run: Run) -> list[Frame]:
    reader = OutboxReader(run, Place(), 0)
    frames: list[Frame] = []
    while batch := reader.read(1 << 20, over=True):
        frames += [entry.frame for entry in batch]
    return frames


def outbox_in(directory: Path) -> list[Frame]:
    (run,) = list_runs(directory)
    return outbox_of(run)


def test_events_bear_one_sequence_over_both_topics(recorder: Recorder, tmp_path: Path) -> None:
    for number in range(3):
        record_exchange(recorder, f"req-{number}")
    frames = outbox_in(tmp_path)
    assert [frame.sequence for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert [frame.topic for frame in frames] == ["requests.v1", "responses.v1"] * 3
    assert [frame.key for frame in frames] == ["req-0", "req-0", "req-1", "req-1", "req-2", "req-2"]
    for frame in frames:
        event = decode(frame.value, RequestEvent, ResponseEvent)
        assert (event.producer_id, event.sequence) == (recorder.producer_id, frame.sequence)
        assert (event.request_id, event.time_ms) == (frame.key, frame.time_ms)


def test_what_is_served_is_counted_apart(recorder: Recorder) -> None:
    record_exchange(recorder, "req-1")
    recorder.served()
    assert recorder.counts() == Counts(
        served=2, captured={"requests.v1": 1, "responses.v1": 1}, dropped={}
    )


def test_an_event_that_cannot_be_built_is_counted_and_leaves_no_gap(
    recorder: Recorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_producer_id: str, _sequence: int) -> RequestEvent:
        raise KeyError("model")

    record_exchange(recorder, "req-1")
    assert recorder.record_request(fails) is False
    assert recorder.record_request(fails) is False
    assert recorder.record_request(request("k" * 70_000)) is False, "a key of 16 bits' length"
    assert recorder.record_response(response("req-2")) is True
    assert [frame.sequence for frame in outbox_in(tmp_path)] == [1, 2, 3]
    assert recorder.counts().dropped == {"requests.v1": {"invalid_event": 3}}
    assert caplog.text.count("could not be built") == 1, "a flood of them is no flood of logs"
    assert "KeyError" in caplog.text


def test_halves_of_characters_cost_no_event(recorder: Recorder, tmp_path: Path) -> None:
    cut = msgspec.structs.replace(
        request("req-1", "Hi \ud83c")("", 0), segment=Segment(model="m\ud800")
    )
    assert recorder.record_request(
        lambda producer_id, sequence: msgspec.structs.replace(
            cut, producer_id=producer_id, sequence=sequence
        )
    )
    (frame,) = outbox_in(tmp_path)
    event = decode(frame.value, RequestEvent)
    assert event.messages[-1].content == "Hi \ufffd"
    assert event.segment.key.startswith("m%EF%BF%BD/")


def test_an_event_that_the_broker_would_refuse_is_counted(tmp_path: Path) -> None:
    with Recorder(settings_in(tmp_path, max_event_bytes=2000), ship=False) as recorder:
        assert recorder.record_request(request("req-1", "x" * 2000)) is False
        assert recorder.record_request(request("req-2")) is True
        assert recorder.counts().dropped == {"requests.v1": {"too_large": 1}}


def test_beyond_the_quota_events_are_counted_and_serving_goes_on(tmp_path: Path) -> None:
    small = {"max_event_bytes": 1000, "segment_bytes": 2000, "quota_bytes": 8000}
    with Recorder(settings_in(tmp_path, **small), ship=False) as recorder:
        for number in range(SERVED):
            record_exchange(recorder, f"req-{number}")
        counts = recorder.counts()
        frames = outbox_in(tmp_path)
    assert counts.served == SERVED
    for topic in ("requests.v1", "responses.v1"):
        captured = sum(frame.topic == topic for frame in frames)
        assert 0 < captured == counts.captured[topic]
        assert counts.dropped[topic] == {"quota": SERVED - captured}
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))


def test_records_go_together_and_what_cannot_go_leaves_no_gap(tmp_path: Path) -> None:
    outputs = ["first", "no \ud800 text", "long " * 100, "last"]
    batch = [(f"req-{n}", output) for n, output in enumerate(outputs)]
    with Recorder(settings_in(tmp_path, max_event_bytes=200), ship=False) as recorder:
        assert recorder.record_compact(COMPACT, batch) is False
        recorder.served(len(batch))
        counts, frames = recorder.counts(), outbox_in(tmp_path)
    assert [(frame.sequence, EXPAND.decode(frame.value)) for frame in frames] == [
        (1, [("req-0", "first")]),
        (3, [("req-3", "last")]),
    ]
    assert counts == Counts(
        served=4,
        captured=dict.fromkeys(EXCHANGES, 2),
        dropped={topic: {"invalid_event": 1, "too_large": 1} for topic in EXCHANGES},
    )


def test_of_records_that_do_not_all_fit_those_are_kept_that_do(tmp_path: Path) -> None:
    small = {"max_event_bytes": 1000, "segment_bytes": 2000, "quota_bytes": 8000}
    batch = [(f"req-{n}", "At 13:42." * 4) for n in range(SERVED)]
    with Recorder(settings_in(tmp_path, **small), ship=False) as recorder:
        assert recorder.record_compact(COMPACT, batch) is False
        counts, frames = recorder.counts(), outbox_in(tmp_path)
    assert 0 < len(frames) < SERVED
    assert [frame.sequence for frame in frames] == list(range(1, 2 * len(frames), 2))
    assert counts.captured == dict.fromkeys(EXCHANGES, len(frames))
    assert counts.dropped == {topic: {"quota": SERVED - len(frames)} for topic in EXCHANGES}


def test_a_full_disk_is_counted_and_serving_goes_on(tmp_path: Path) -> None:
    with Recorder(settings_in(tmp_path), ship=False) as recorder:
        record_exchange(recorder, "req-1")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        try:
            for number in range(2, 6):
                record_exchange(recorder, f"req-{number}", "x" * BUFFER_BYTES)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        record_exchange(recorder, "req-6")
        counts, frames = recorder.counts(), outbox_in(tmp_path)
    assert counts.served == 6
    assert counts.dropped == {"responses.v1": {"disk_full": 4}}
    assert counts.captured == {"requests.v1": 6, "responses.v1": 2}
    assert frames[-1].key == "req-6"
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))


def test_an_outbox_that_was_taken_away_is_counted(tmp_path: Path) -> None:
    small = {"max_event_bytes": 900, "segment_bytes": 1000, "quota_bytes": 1 << 20}
    with Recorder(settings_in(tmp_path, **small), ship=False) as recorder:
        (run,) = list_runs(tmp_path)
        run.remove()
        for number in range(10):
            record_exchange(recorder, f"req-{number}")
        assert "io_error" in recorder.counts().dropped["requests.v1"]


def test_before_its_start_and_after_its_end_nothing_is_recorded(tmp_path: Path) -> None:
    recorder = Recorder(settings_in(tmp_path), ship=False)
    assert recorder.producer_id == ""
    recorder.served()
    assert recorder.record_request(request("req-1")) is False
    assert recorder.close() is True
    recorder = Recorder(settings_in(tmp_path), ship=False)
    recorder.start()
    assert recorder.close() is False, "nobody has shipped it"
    assert recorder.record_request(request("req-1")) is False
    assert recorder.counts().dropped == {"requests.v1": {"closed": 1}}
    assert recorder.close() is False


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxUnavailableError, match="cannot be written"):
        Recorder(settings_in(tmp_path / "file"), ship=False).start()


def test_threads_share_one_sequence(recorder: Recorder, tmp_path: Path) -> None:
    def serve(name: str) -> None:
        for number in range(100):
            record_exchange(recorder, f"{name}-{number}")

    threads = [threading.Thread(target=serve, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = outbox_in(tmp_path)
    assert [frame.sequence for frame in frames] == list(range(1, 1601))
    assert recorder.counts().served == 800


def test_two_runs_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with Recorder(settings, ship=False) as one, Recorder(settings, ship=False) as other:
        record_exchange(one, "req-1")
        record_exchange(other, "req-1")
        assert one.producer_id != other.producer_id
        for run in list_runs(tmp_path):
            assert [frame.sequence for frame in outbox_of(run)] == [1, 2]


def test_a_killed_process_has_lost_nothing_that_it_had_recorded(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from tidegauge.capture import CaptureSettings, Recorder\n"
        "from tidegauge.capture.testing import record_exchange\n"
        "recorder = Recorder(CaptureSettings(directory=pathlib.Path(sys.argv[1])), ship=False)\n"
        "recorder.start()\n"
        f"for number in range({SERVED}): record_exchange(recorder, f'req-{{number}}')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (run,) = list_runs(tmp_path)
    assert run.is_over()
    assert [frame.sequence for frame in outbox_of(run)] == list(range(1, 2 * SERVED + 1))
    with CountersReader(run.counters) as counters:
        counts = counts_of(counters.read())
    assert counts.served == counts.captured["responses.v1"] == SERVED


def test_capturing_needs_little(tmp_path: Path) -> None:
    """A gateway that captures carries no Kafka client and none of the services' packages."""
    program = (
        "import json, sys\n"
        "import tidegauge.capture\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    loaded = set(json.loads(done.stdout))
    assert "crc32c" in loaded
    assert not loaded & {"kafka", "pydantic", "structlog", "fastapi", "aiohttp", "numpy", "typer"}
