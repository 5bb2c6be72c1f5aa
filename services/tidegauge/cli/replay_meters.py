"""The workers' meters, made to measure the past again; loaded only when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.cli.errors import CommandError
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.settings import load
from tidegauge.workers.drift.extractor import DriftExtractor
from tidegauge.workers.drift.follower import refusal
from tidegauge.workers.drift.settings import DriftSettings
from tidegauge.workers.judge.extractor import QualityExtractor
from tidegauge.workers.judge.main import make_meter, make_panel
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = ["drift_meter", "quality_meter"]

_PATIENCE_SECONDS = 3_600.0


def drift_meter(kafka: KafkaSettings, baseline_id: str) -> DriftExtractor:
    """Return a meter that sees requests from a baseline.

    Raises:
        CommandError: The baseline was made by another embedder or from other texts.
        TidegaugeError: There is no such baseline, or no such embedder.
    """
    settings = load(DriftSettings)
    baseline = DriftBaseline.from_bytes(BaselineStore(kafka).load(baseline_id), baseline_id)
    embedder = open_embedder(
        settings.model,
        backend=settings.backend,
        most_tokens=settings.most_tokens,
        threads=settings.threads,
    )
    reason = refusal(baseline, embedder.fingerprint, settings.preparation())
    if reason is not None:
        raise CommandError(
            f"baseline {baseline_id} cannot be used ({reason}): set TIDEGAUGE_DRIFT_MODEL, "
            "_BACKEND, _MOST_TOKENS, _SELECTION and _MOST_CHARACTERS to what it was built "
            "with, or name another by --drift"
        )
    meter = DriftExtractor(
        embedder,
        settings.preparation(),
        window_ms=settings.sketching().window_ms,
        publish_vectors=False,
    )
    meter.use(baseline)
    return meter


@contextmanager
def quality_meter() -> Iterator[QualityExtractor]:
    """Yield a meter that asks the judges, however old the answers are and however long it takes."""
    settings = load(JudgeSettings).model_copy(
        update={"max_age_seconds": 0.0, "deadline_seconds": _PATIENCE_SECONDS}
    )
    panel = make_panel(settings)
    panel.start()
    try:
        yield make_meter(settings, panel)
    finally:
        panel.close()
