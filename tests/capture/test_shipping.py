"""From the outbox to a real broker: whichever process is killed, everything arrives, in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tidegauge.capture import Recorder
from tidegauge.capture.runs import list_runs
from tidegauge.capture.testing import (
    DEADLINE_SECONDS,
    EXCHANGES,
    Landed,
    record_exchange,
    settings_for,
    wait_until,
)
from tidegauge.runtime.brokers import Broker

pytestmark = pytest.mark.integration

Look = Callable[[Broker, str], Landed]
MANY = 500


def shipper_pid(recorder: Recorder) -> int:
    wait_until(lambda: recorder.shipper_pid, "the shipper runs")
    assert recorder.shipper_pid is not None
    return recorder.shipper_pid


def test_everything_arrives_once_and_the_run_is_accounted_for(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    with Recorder(settings_for(standing_broker.bootstrap_servers, tmp_path)) as recorder:
        for number in range(MANY):
            record_exchange(recorder, f"req-{number}")
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = look(standing_broker, recorder.producer_id)
    assert landed.sequences() == list(range(1, 2 * MANY + 1))
    assert landed.accepted_by_a_reader() == landed.sequences()
    last = landed.heartbeats[-1]
    counts = dict.fromkeys(EXCHANGES, MANY)
    assert (last.served, last.captured, last.dropped) == (MANY, counts, {})
    assert (last.shipped, last.final) == (counts, True)
    assert [beat.final for beat in landed.heartbeats].count(True) == 1
    assert list_runs(tmp_path) == []


def test_a_record_is_json_under_its_request_with_cloudevents_headers(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    with Recorder(settings_for(standing_broker.bootstrap_servers, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        recorder.close(DEADLINE_SECONDS)
    (record,) = look(standing_broker, recorder.producer_id).records["requests.v1"]
    assert record.key == b"req-1"
    assert record.timestamp == 1_767_225_600_000
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"1",
        "ce_type": b"tidegauge.request",
        "ce_source": recorder.producer_id.encode(),
        "ce_time": b"2026-01-01T00:00:00.000Z",
        "content-type": b"application/json",
    }
    assert json.loads(record.value)["messages"] == [
        {"role": "user", "content": "When is high tide?"}
    ]


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_kcat_shows_an_event_and_its_headers(standing_broker: Broker, tmp_path: Path) -> None:
    if not standing_broker.durable:
        pytest.skip("kcat's client and the embedded broker do not understand each other")
    with Recorder(settings_for(standing_broker.bootstrap_servers, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        recorder.close(DEADLINE_SECONDS)
    command = ["kcat", "-b", standing_broker.bootstrap_servers, "-t", "responses.v1", "-C", "-e"]
    done = subprocess.run(
        [*command, "-q", "-J"], capture_output=True, check=True, timeout=DEADLINE_SECONDS
    )
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    (record,) = [line for line in shown if recorder.producer_id in line["headers"]]
    headers = dict(zip(record["headers"][::2], record["headers"][1::2], strict=True))
    assert (headers["ce_type"], headers["content-type"]) == (
        "tidegauge.response",
        "application/json",
    )
    event = json.loads(record["payload"])
    assert (event["type"], event["request_id"], record["key"]) == (
        "tidegauge.response",
        "req-1",
        "req-1",
    )


def test_a_request_and_its_response_lie_in_partitions_of_one_number(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    with Recorder(settings_for(standing_broker.bootstrap_servers, tmp_path)) as recorder:
        for number in range(40):
            record_exchange(recorder, f"req-{number}")
        recorder.close(DEADLINE_SECONDS)
    records = look(standing_broker, recorder.producer_id).records
    places = [{record.key: record.partition for record in records[topic]} for topic in EXCHANGES]
    assert places[0] == places[1]
    assert len(set(places[0].values())) > 1, "the load is spread"


def test_heartbeats_go_on_while_nothing_happens(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    with Recorder(settings_for(standing_broker.bootstrap_servers, tmp_path)) as recorder:
        wait_until(
            lambda: len(look(standing_broker, recorder.producer_id).heartbeats) > 2,
            "three heartbeats",
        )
    beats = look(standing_broker, recorder.producer_id).heartbeats
    assert all((beat.served, beat.captured, beat.dropped) == (0, {}, {}) for beat in beats)
    assert [beat.final for beat in beats] == [False] * (len(beats) - 1) + [True]


def test_a_killed_gateway_s_events_are_shipped_and_counted_by_its_shipper(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    producer_id = killed_gateway(standing_broker, tmp_path, ship=True)
    wait_until(lambda: not list_runs(tmp_path), "the run is shipped")
    assert_accounted_for(look(standing_broker, producer_id))


def test_a_dead_run_is_taken_over_by_the_next_shipper_in_the_folder(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    producer_id = killed_gateway(standing_broker, tmp_path, ship=False)
    with Recorder(settings_for(standing_broker.bootstrap_servers, tmp_path)):
        wait_until(lambda: len(list_runs(tmp_path)) == 1, "the dead run is shipped")
    assert_accounted_for(look(standing_broker, producer_id))


def test_what_dead_runs_left_is_shipped_by_one_command(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    producers = [killed_gateway(standing_broker, tmp_path, ship=False) for _ in range(2)]
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge.capture.shipper"],
        env={
            **os.environ,
            "TIDEGAUGE_CAPTURE_DIRECTORY": str(tmp_path),
            "KAFKA_BOOTSTRAP_SERVERS": standing_broker.bootstrap_servers,
        },
        capture_output=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert list_runs(tmp_path) == []
    for producer_id in producers:
        assert_accounted_for(look(standing_broker, producer_id))


def killed_gateway(broker: Broker, directory: Path, *, ship: bool) -> str:
    """Run a process that records exchanges and then kills itself; return its producer id."""
    program = (
        "import os, signal, sys, time\n"
        "from tidegauge.capture import Recorder\n"
        "from tidegauge.capture.settings import settings_from_json\n"
        "from tidegauge.capture.testing import record_exchange\n"
        "settings = settings_from_json(sys.stdin.buffer.read())\n"
        f"recorder = Recorder(settings, ship={ship})\n"
        "recorder.start()\n"
        f"for number in range({MANY}): record_exchange(recorder, f'req-{{number}}')\n"
        "print(recorder.producer_id, flush=True)\n"
        "shipping = settings.directory / recorder.producer_id / 'shipper.lock'\n"
        f"while {ship} and not shipping.exists(): time.sleep(0.01)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    settings = msgspec.json.encode(settings_for(broker.bootstrap_servers, directory), enc_hook=str)
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=settings,
        stdout=subprocess.PIPE,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == -signal.SIGKILL
    return done.stdout.decode().strip()


def assert_accounted_for(landed: Landed) -> None:
    assert landed.sequences() == list(range(1, 2 * MANY + 1))
    last = landed.heartbeats[-1]
    counts = dict.fromkeys(EXCHANGES, MANY)
    assert (last.served, last.captured, last.shipped) == (MANY, counts, counts)
    assert (last.dropped, last.final) == ({}, True)


def test_a_killed_shipper_is_started_again_and_nothing_is_missing(
    standing_broker: Broker, tmp_path: Path, look: Look
) -> None:
    with Recorder(
        settings_for(standing_broker.bootstrap_servers, tmp_path, batch_bytes=4000)
    ) as recorder:
        for batch in range(3):
            for number in range(MANY):
                record_exchange(recorder, f"req-{batch}-{number}")
            if batch < 2:
                os.kill(shipper_pid(recorder), signal.SIGKILL)
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = look(standing_broker, recorder.producer_id)
    assert landed.accepted_by_a_reader() == list(range(1, 6 * MANY + 1))
    assert landed.heartbeats[-1].final
    assert landed.heartbeats[-1].shipped == dict.fromkeys(EXCHANGES, 3 * MANY)
