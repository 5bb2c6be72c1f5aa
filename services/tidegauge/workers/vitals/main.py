"""The vitals worker's process: settings, extractor, consumer loop."""

from __future__ import annotations

import signal
import threading

from tidegauge.runtime import telemetry
from tidegauge.runtime.kafka.consumer_loop import STOP_SECONDS, ConsumerLoop
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.processes.deadline import end_in_time
from tidegauge.runtime.settings import load
from tidegauge.schemas.topics import RESPONSES
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.vitals.extractor import VitalsExtractor
from tidegauge.workers.vitals.settings import VitalsSettings

__all__ = ["run"]


def run() -> None:
    """Measure responses until SIGTERM or SIGINT."""
    telemetry.configure_logging("vitals")
    settings = load(VitalsSettings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    end_in_time(stop, STOP_SECONDS)
    extractor = VitalsExtractor(settings.customers)
    processor = SketchingProcessor(extractor, settings.group, settings.sketching())
    loop = ConsumerLoop(load(KafkaSettings), settings.group, [RESPONSES], processor)
    with telemetry.serve(settings.port, lambda: loop.ready, host=settings.host):
        loop.run(stop)
