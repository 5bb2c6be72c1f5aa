"""What the baselines in the log hold to be normal, and their topics' titles."""

from __future__ import annotations

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.units import Unit
from tidegauge.monitoring.catalog import DRIFT_FOLLOWUPS, DRIFT_TOPICS, language_monitor
from tidegauge.monitoring.monitor_processor import References
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.findings import Monitor
from tidegauge.schemas.operations import BaselineKind

__all__ = ["LogBaselines", "drift_references", "monitor_of"]


def monitor_of(unit: Unit) -> Monitor:
    """Return the monitor of a kind of unit."""
    return DRIFT_FOLLOWUPS if unit is Unit.FOLLOWUP else DRIFT_TOPICS


def drift_references(baseline: DriftBaseline) -> References:
    """Return what a drift baseline holds to be normal, for each of its monitors."""
    of_units = {monitor_of(unit).name: found for unit, found in baseline.units.items()}
    of_languages = {
        language_monitor(language).name: found for language, found in baseline.languages.items()
    }
    return {name: found.references for name, found in (of_units | of_languages).items()}


class LogBaselines:
    """Baselines of the log.

    Args:
        settings: How to reach Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._store = BaselineStore(settings)

    def active(self, kind: BaselineKind) -> str | None:
        """Return the id of the baseline in force, None without one."""
        return self._store.active(kind)

    def references(self, kind: BaselineKind, baseline_id: str) -> References:
        """Return what a baseline holds to be normal.

        Raises:
            TidegaugeError: There is no such baseline, or it cannot be read.
        """
        document = self._store.load(baseline_id)
        if kind == "rates":
            return RatesBaseline.from_bytes(document, baseline_id).references
        return drift_references(DriftBaseline.from_bytes(document, baseline_id))

    def titles(self) -> dict[int, str]:
        """Return the titles of the clusters of the drift baseline in force."""
        baseline_id = self.active("drift")
        if baseline_id is None:
            return {}
        baseline = DriftBaseline.from_bytes(self._store.load(baseline_id), baseline_id)
        return {number: cluster.title for number, cluster in enumerate(baseline.openings.clusters)}
