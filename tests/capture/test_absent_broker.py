"""Brokers that come late, die, lack a topic or refuse an event: nothing is lost unseen."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource

from tidegauge.capture import Recorder
from tidegauge.capture.runs import list_runs
from tidegauge.capture.testing import (
    DEADLINE_SECONDS,
    EXCHANGES,
    Landed,
    record_exchange,
    request,
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


def test_a_broker_that_comes_late_gets_everything(
    absent_broker: Broker,
    tmp_path: Path,
    look: Look,
    topics: Callable[[Broker], None],
) -> None:
    settings = settings_for(absent_broker.bootstrap_servers, tmp_path, segment_bytes=1 << 20)
    with Recorder(settings) as recorder:
        for number in range(MANY):
            record_exchange(recorder, f"req-{number}")
        assert recorder.counts().captured == dict.fromkeys(EXCHANGES, MANY)
        absent_broker.start()
        topics(absent_broker)
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = look(absent_broker, recorder.producer_id)
    assert landed.accepted_by_a_reader() == list(range(1, 2 * MANY + 1))


def test_a_broker_killed_under_load_gets_everything_that_it_kept(
    absent_broker: Broker,
    tmp_path: Path,
    look: Look,
    topics: Callable[[Broker], None],
) -> None:
    absent_broker.start()
    topics(absent_broker)
    with Recorder(
        settings_for(absent_broker.bootstrap_servers, tmp_path, batch_bytes=8000)
    ) as recorder:
        for number in range(MANY):
            record_exchange(recorder, f"before-{number}")
        wait_until(
            lambda: look(absent_broker, recorder.producer_id).sequences(),
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
    landed = look(absent_broker, recorder.producer_id)
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
    with Recorder(settings_for(absent_broker.bootstrap_servers, tmp_path)) as recorder:
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
    settings = settings_for(absent_broker.bootstrap_servers, tmp_path, drain_seconds=0.5)
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
    look: Look,
    topics: Callable[[Broker], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    if not absent_broker.durable:
        pytest.skip("the embedded broker makes any topic that it is asked for")
    absent_broker.start()
    with Recorder(settings_for(absent_broker.bootstrap_servers, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        said: list[str] = []

        def told() -> bool:
            said.append(capfd.readouterr().err)
            return "tidegauge topics ensure" in "".join(said)

        wait_until(told, "the log says what is missing")
        topics(absent_broker)
        assert recorder.close(DEADLINE_SECONDS) is True
    assert look(absent_broker, recorder.producer_id).sequences() == [1, 2]
    for line in "".join(said).splitlines():
        assert json.loads(line)["service"] == "shipper"


def test_an_event_that_the_broker_refuses_is_counted_and_the_others_arrive(
    absent_broker: Broker,
    tmp_path: Path,
    look: Look,
    topics: Callable[[Broker], None],
) -> None:
    if not absent_broker.durable:
        pytest.skip("the embedded broker takes events of any size")
    absent_broker.start()
    topics(absent_broker)
    limit_events(absent_broker, "requests.v1", 10_000)
    noise = random.Random(7).randbytes(30_000).hex()  # noqa: S311 - no secret
    with Recorder(settings_for(absent_broker.bootstrap_servers, tmp_path)) as recorder:
        record_exchange(recorder, "req-1")
        assert recorder.record_request(request("req-2", noise))
        record_exchange(recorder, "req-3")
        assert recorder.close(DEADLINE_SECONDS) is True
    landed = look(absent_broker, recorder.producer_id)
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
