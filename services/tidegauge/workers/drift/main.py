"""The drift worker's process: settings, model, consumer loop, clean shutdown."""

from __future__ import annotations

import signal
from threading import Event

import structlog

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.runtime import telemetry
from tidegauge.runtime.kafka.consumer_loop import ConsumerLoop
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.processes.deadline import end_in_time
from tidegauge.runtime.settings import load
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.workers.drift.extractor import DriftExtractor
from tidegauge.workers.drift.follower import BaselineFollower
from tidegauge.workers.drift.settings import DriftSettings

__all__ = ["run"]


def run() -> None:
    """Measure requests until SIGTERM or SIGINT."""
    telemetry.configure_logging("drift")
    log = structlog.get_logger(__name__)
    settings, kafka = load(DriftSettings), load(KafkaSettings)
    stop = Event()
    loaded: list[ConsumerLoop] = []

    def ready() -> bool:
        return bool(loaded) and loaded[0].ready

    with telemetry.serve(settings.port, ready, host=settings.host) as server:
        log.info("loading the embedder", model=settings.model, port=server.port)
        embedder = open_embedder(
            settings.model,
            backend=settings.backend,
            most_tokens=settings.most_tokens,
            threads=settings.threads,
        )
        log.info("embedder loaded", fingerprint=embedder.fingerprint)
        # Until here there is nothing to shut down cleanly, and loading takes a while: a signal
        # ends the process at once.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        end_in_time(stop, settings.stop_seconds)
        sketching = settings.sketching()
        extractor = DriftExtractor(
            embedder,
            settings.preparation(),
            window_ms=sketching.window_ms,
            publish_vectors=settings.publish_vectors,
        )
        follower = BaselineFollower(
            kafka, extractor, embedder=embedder.fingerprint, preparation=settings.preparation()
        )
        loop = ConsumerLoop(
            kafka,
            settings.group,
            [REQUESTS],
            SketchingProcessor(extractor, settings.group, sketching),
            gather_ms=settings.gather_ms,
            stop_seconds=settings.stop_seconds,
        )
        loaded.append(loop)
        follower.start()
        try:
            # No request is measured before the active baseline is known.
            if follower.wait(stop.is_set):
                loop.run(stop)
        finally:
            follower.close()
    log.info("stopped")
