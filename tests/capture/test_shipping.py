"""From the outbox to a real broker: whatever is killed, everything arrives, in order."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from tidegauge.adapters.brokers import Broker
from tidegauge.capture import CaptureSettings, KafkaAccess, Recorder
from tidegauge.capture.runs import list_runs
from tidegauge.capture.testing import record_exchange, request
from tidegauge.schemas import decode
from tidegauge.schemas.exchange import Heartbeat, RequestEvent, ResponseEvent

pytestmark = pytest.mark.integration

Arrived = Callable[[Broker, str, str], list[Any]]
DEADLINE_SECONDS = 60.0
MANY = 500
EXCHANGES = ("requests.v1", "responses.v1")


def settings_for(broker: Broker, directory: Path, **changes: object) -> CaptureSettings:
    settings = CaptureSettings(
        directory=directory,
        kafka=KafkaAccess(bootstrap_servers=broker.bootstrap_servers),
        heartbeat_seconds=0.2,
    )
    return msgspec.structs.replace(settings, **changes)


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.02)


def shipper_pid(recorder: Recorder) -> int:
    supervisor = recorder._shipper
    assert supervisor is not None
    wait_until(lambda: supervisor.pid, "the shipper runs")
    assert supervisor.pid is not None
    return supervisor.pid


class Landed:
    """What a broker has of one producer."""

    def __init__(self, broker: Broker, producer_id: str, arrived: Arrived) -> None:
        self.records = {topic: arrived(broker, topic, producer_id) for topic in EXCHANGES}
        self.heartbeats = [
            decode(record.value, Heartbeat)
            for record in arrived(broker, "heartbeats.v1", producer_id)
        ]

    def by_partition(self) -> dict[tuple[str, int], list[int]]:
        sequences = defaultdict(list)
        for topic, records in self.records.items():
            for record in records:
                event = decode(record.value, RequestEvent, ResponseEvent)
                sequences[topic, record.partition].append(event.sequence)
        return sequences

    def sequences(self) -> list[int]:
        return sorted(number for part in self.by_partition().values() for number in part)

    def accepted_by_a_reader(self) -> list[int]:
        """As a worker reads them: a sequence not above the last one of its partition is old."""
        accepted: list[int] = []
        for part in self.by_partition().values():
            last = 0
            for number in part:
                if number > last:
                    accepted.append(number)
                    last = number
        return sorted(accepted)


def test_everything_arrives_once_and_the_run_is_accounted_for(
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
) -> None:
    with Recorder(settings_for(standing_broker, tmp_path)) as recorder:
        for number in range(MANY):
            record_exchange(recorder, f"req-{number}")
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = Landed(standing_broker, recorder.producer_id, arrived)
    assert landed.sequences() == list(range(1, 2 * MANY + 1))
    assert landed.accepted_by_a_reader() == landed.sequences()
    last = landed.heartbeats[-1]
    counts = dict.fromkeys(EXCHANGES, MANY)
    assert (last.served, last.captured, last.dropped) == (MANY, counts, {})
    assert (last.shipped, last.final) == (counts, True)
    assert [beat.final for beat in landed.heartbeats].count(True) == 1
    assert list_runs(tmp_path) == []


def test_a_record_is_json_under_its_request_with_cloudevents_headers(
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
) -> None:
    with Recorder(settings_for(standing_broker, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        recorder.close(DEADLINE_SECONDS)
    (record,) = Landed(standing_broker, recorder.producer_id, arrived).records["requests.v1"]
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
    with Recorder(settings_for(standing_broker, tmp_path)) as recorder:
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
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
) -> None:
    with Recorder(settings_for(standing_broker, tmp_path)) as recorder:
        for number in range(40):
            record_exchange(recorder, f"req-{number}")
        recorder.close(DEADLINE_SECONDS)
    records = Landed(standing_broker, recorder.producer_id, arrived).records
    places = [{record.key: record.partition for record in records[topic]} for topic in EXCHANGES]
    assert places[0] == places[1]
    assert len(set(places[0].values())) > 1, "the load is spread"


def test_heartbeats_go_on_while_nothing_happens(
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
) -> None:
    with Recorder(settings_for(standing_broker, tmp_path)) as recorder:
        wait_until(
            lambda: len(Landed(standing_broker, recorder.producer_id, arrived).heartbeats) > 2,
            "three heartbeats",
        )
    beats = Landed(standing_broker, recorder.producer_id, arrived).heartbeats
    assert all((beat.served, beat.captured, beat.dropped) == (0, {}, {}) for beat in beats)
    assert [beat.final for beat in beats] == [False] * (len(beats) - 1) + [True]


def test_a_killed_gateway_s_events_are_shipped_and_counted_by_its_shipper(
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
) -> None:
    producer_id = killed_gateway(standing_broker, tmp_path, ship=True)
    wait_until(lambda: not list_runs(tmp_path), "the run is shipped")
    assert_accounted_for(Landed(standing_broker, producer_id, arrived))


def test_a_dead_run_is_taken_over_by_the_next_shipper_in_the_folder(
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
) -> None:
    producer_id = killed_gateway(standing_broker, tmp_path, ship=False)
    with Recorder(settings_for(standing_broker, tmp_path)):
        wait_until(lambda: len(list_runs(tmp_path)) == 1, "the dead run is shipped")
    assert_accounted_for(Landed(standing_broker, producer_id, arrived))


def test_what_dead_runs_left_is_shipped_by_one_command(
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
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
        assert_accounted_for(Landed(standing_broker, producer_id, arrived))


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
    settings = msgspec.json.encode(settings_for(broker, directory), enc_hook=str)
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
    standing_broker: Broker, tmp_path: Path, arrived: Arrived
) -> None:
    with Recorder(settings_for(standing_broker, tmp_path, wave_bytes=4000)) as recorder:
        for batch in range(3):
            for number in range(MANY):
                record_exchange(recorder, f"req-{batch}-{number}")
            if batch < 2:
                os.kill(shipper_pid(recorder), signal.SIGKILL)
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = Landed(standing_broker, recorder.producer_id, arrived)
    assert landed.accepted_by_a_reader() == list(range(1, 6 * MANY + 1))
    assert landed.heartbeats[-1].final
    assert landed.heartbeats[-1].shipped == dict.fromkeys(EXCHANGES, 3 * MANY)


def test_a_broker_that_comes_late_gets_everything(
    absent_broker: Broker,
    tmp_path: Path,
    arrived: Arrived,
    topics: Callable[[Broker], None],
) -> None:
    settings = settings_for(absent_broker, tmp_path, segment_bytes=1 << 20)
    with Recorder(settings) as recorder:
        for number in range(MANY):
            record_exchange(recorder, f"req-{number}")
        assert recorder.counts().captured == dict.fromkeys(EXCHANGES, MANY)
        absent_broker.start()
        topics(absent_broker)
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = Landed(absent_broker, recorder.producer_id, arrived)
    assert landed.accepted_by_a_reader() == list(range(1, 2 * MANY + 1))


def test_a_broker_killed_under_load_gets_everything_that_it_kept(
    absent_broker: Broker,
    tmp_path: Path,
    arrived: Arrived,
    topics: Callable[[Broker], None],
) -> None:
    absent_broker.start()
    topics(absent_broker)
    with Recorder(settings_for(absent_broker, tmp_path, wave_bytes=8000)) as recorder:
        for number in range(MANY):
            record_exchange(recorder, f"before-{number}")
        wait_until(
            lambda: Landed(absent_broker, recorder.producer_id, arrived).sequences(),
            "something has arrived",
        )
        absent_broker.kill()
        for number in range(MANY):
            record_exchange(recorder, f"meanwhile-{number}")
        absent_broker.start()
        if not absent_broker.durable:
            topics(absent_broker)
        for number in range(MANY):
            record_exchange(recorder, f"after-{number}")
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = Landed(absent_broker, recorder.producer_id, arrived)
    last = landed.heartbeats[-1]
    assert last.final
    assert last.captured == last.shipped == dict.fromkeys(EXCHANGES, 3 * MANY)
    expected = set(range(1, 6 * MANY + 1))
    accepted = set(landed.accepted_by_a_reader())
    # The embedded broker forgets what it had acknowledged; whatever came later is there.
    missing = expected - accepted
    assert not missing or (not absent_broker.durable and max(missing) < min(accepted))


def test_what_a_dead_broker_leaves_stays_on_the_disk(
    absent_broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorder(settings_for(absent_broker, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        pid = shipper_pid(recorder)
        began = time.monotonic()
        assert recorder.close(0.5) is False
        assert time.monotonic() - began < 5
    assert [run.producer_id for run in list_runs(tmp_path)] == [recorder.producer_id]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "Traceback" not in caplog.text


def test_a_shipper_whose_gateway_died_ends_within_its_deadline(
    absent_broker: Broker, tmp_path: Path
) -> None:
    settings = settings_for(absent_broker, tmp_path, drain_seconds=0.5)
    recorder = Recorder(settings)
    recorder.start()
    recorder.record_request(request("req-1"))
    pid = shipper_pid(recorder)
    owner = recorder._owner
    assert owner is not None
    owner.release()  # what the kernel does when the process is killed
    wait_until(lambda: shipper_pid(recorder) != pid, "the shipper has ended, and the next begun")
    recorder.close(0)
    assert len(list_runs(tmp_path)) == 1


def test_a_topic_that_is_missing_is_awaited(
    absent_broker: Broker,
    tmp_path: Path,
    arrived: Arrived,
    topics: Callable[[Broker], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    if not absent_broker.durable:
        pytest.skip("the embedded broker makes any topic that it is asked for")
    absent_broker.start()
    with Recorder(settings_for(absent_broker, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        said: list[str] = []

        def told() -> bool:
            said.append(capfd.readouterr().err)
            return "tidegauge topics ensure" in "".join(said)

        wait_until(told, "the log says what is missing")
        topics(absent_broker)
        assert recorder.close(DEADLINE_SECONDS) is True
    assert Landed(absent_broker, recorder.producer_id, arrived).sequences() == [1, 2]
    for line in "".join(said).splitlines():
        assert json.loads(line)["service"] == "shipper"


def test_an_event_that_the_broker_refuses_is_counted_and_the_others_arrive(
    absent_broker: Broker,
    tmp_path: Path,
    arrived: Arrived,
    topics: Callable[[Broker], None],
) -> None:
    if not absent_broker.durable:
        pytest.skip("the embedded broker takes events of any size")
    absent_broker.start()
    topics(absent_broker)
    limit_events(absent_broker, "requests.v1", 10_000)
    noise = random.Random(7).randbytes(30_000).hex()  # noqa: S311 - no secret
    with Recorder(settings_for(absent_broker, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        assert recorder.record_request(request("req-2", noise))
        record_exchange(recorder, "req-3")
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = Landed(absent_broker, recorder.producer_id, arrived)
    assert landed.accepted_by_a_reader() == [1, 2, 4, 5]
    last = landed.heartbeats[-1]
    assert last.captured == last.shipped == dict.fromkeys(EXCHANGES, 2)
    assert last.dropped == {"requests.v1": {"rejected": 1}}


def limit_events(broker: Broker, topic: str, size: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        resource = ConfigResource("TOPIC", topic, {"max.message.bytes": str(size)})
        admin.alter_configs([resource])
    finally:
        admin.close()
