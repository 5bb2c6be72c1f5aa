"""Follows the activations of drift baselines, and passes on those that fit the worker."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import structlog
from kafka.errors import KafkaError

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.errors import DriftError
from tidegauge.drift.preparation import Preparation
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import ensure_topics
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.errors import BaselineStoreError, LogError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import BASELINES
from tidegauge.streaming.progress import BASELINE_REFUSED
from tidegauge.workers.drift.extractor import NO_BASELINE, DriftExtractor

__all__ = ["BaselineFollower", "refusal"]

_RETRY_SECONDS = 2.0
_KEY = b"active/drift"

_log = structlog.get_logger(__name__)


def refusal(baseline: DriftBaseline, embedder: str, preparation: Preparation) -> str | None:
    """Return the reason why this worker cannot use a baseline, None if it can.

    Args:
        baseline: The baseline to activate.
        embedder: Fingerprint of the worker's embedder.
        preparation: How the worker turns requests into texts.
    """
    if baseline.embedder != embedder:
        return "other_embedder"
    return "other_preparation" if baseline.preparation != preparation else None


class BaselineFollower:
    """A thread that passes each activated baseline to the extractor.

    Args:
        settings: How to reach Kafka.
        extractor: Receives the baseline.
        embedder: Fingerprint of the worker's embedder.
        preparation: How the worker turns requests into texts.
        store: Store of the baselines; made from the settings if None.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        extractor: DriftExtractor,
        *,
        embedder: str,
        preparation: Preparation,
        store: BaselineStore | None = None,
    ) -> None:
        self._settings = settings
        self._extractor = extractor
        self._embedder = embedder
        self._preparation = preparation
        self._store = store or BaselineStore(settings)
        self._stop = Event()
        self._known = Event()
        self._in_force: str | None = None
        self._thread = Thread(target=self._run, name="baseline-follower", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(timeout=5)

    def wait(self, give_up: Callable[[], bool]) -> bool:
        """Wait until the active baseline is known; return False if ``give_up`` is true first."""
        while not self._known.wait(0.1):
            if give_up():
                return False
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (LogError, KafkaError) as error:
                _log.warning("waiting for baselines", error=str(error))
                self._stop.wait(_RETRY_SECONDS)

    def _follow(self) -> None:
        if self._settings.create_topics:
            ensure_topics(self._settings)
        changed = True
        for record in reader.follow(self._settings, BASELINES, until=self._stop.is_set):
            if record is not None:
                changed = changed or record.key == _KEY
            elif changed:
                self._take_up(self._store.active("drift"))
                changed = False
                self._known.set()

    def _take_up(self, baseline_id: str | None) -> None:
        if baseline_id is None:
            self._extractor.use(None, NO_BASELINE)
            _log.info(
                "no drift baseline is in force: requests are only counted",
                remedy="tidegauge baseline build --kind drift --activate",
            )
            return
        if baseline_id == self._in_force:
            return
        try:
            baseline = DriftBaseline.from_bytes(self._store.load(baseline_id), baseline_id)
            reason = refusal(baseline, self._embedder, self._preparation)
            found = baseline.fingerprint
        except (DriftError, BaselineStoreError) as error:
            reason, found = "unreadable", str(error)
        if reason is None:
            self._extractor.use(baseline)
            self._in_force = baseline_id
            _log.info("drift baseline in force", baseline=baseline_id)
            return
        self._extractor.use(None, f"{BASELINE_REFUSED}{reason}")
        self._in_force = None
        _log.error(
            "drift baseline refused: requests are only counted",
            baseline=baseline_id,
            reason=reason,
            found=found,
            remedy="build and activate a baseline with this worker's TIDEGAUGE_DRIFT_MODEL, "
            "_BACKEND, _MOST_TOKENS, _SELECTION and _MOST_CHARACTERS, or set them to what "
            "the baseline was built with",
        )
