"""What a membership does when kafka-python does not come back."""

from __future__ import annotations

from threading import Event
from typing import Any
from unittest.mock import create_autospec

import pytest
from kafka import KafkaConsumer

from tidegauge.runtime.kafka import session
from tidegauge.runtime.kafka.committers import WriteAheadCommitter
from tidegauge.runtime.kafka.errors import ClientHungError
from tidegauge.runtime.kafka.serial_executor import SerialExecutor
from tidegauge.runtime.kafka.state_recovery import StateRecovery
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.streaming.testing import LengthExtractor


def test_a_client_that_forgets_who_waits_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_ANSWER_SECONDS", 0.2)
    over = Event()
    consumer: Any = create_autospec(KafkaConsumer, instance=True)
    consumer.end_offsets.side_effect = lambda *_args, **_options: over.wait()
    found = session.Session(
        consumer=consumer,
        committer=create_autospec(WriteAheadCommitter, instance=True),
        recovery=create_autospec(StateRecovery, instance=True),
        executor=SerialExecutor("work"),
        processor=SketchingProcessor(LengthExtractor(), "drift"),
        group="drift",
        policy=CommitPolicy(),
        now_ms=lambda: 1_000,
        handover_seconds=5,
        takeover_seconds=5,
        stop=Event(),
    )
    found._worker.assign(Partition("requests.v1", 0), None, 0)
    try:
        with pytest.raises(ClientHungError, match="connecting anew"):
            found.tick().result(10)
    finally:
        over.set()
        assert found.close(5)
