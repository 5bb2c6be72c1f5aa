"""Readings of a benchmark, as rows of its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Table:
    """Readings by metric and system."""

    readings: dict[tuple[str, str, str, str], list[float]] = field(default_factory=dict)

    def add(self, metric: str, system: str, unit: str, value: float, note: str = "") -> None:
        """Add one reading."""
        self.readings.setdefault((metric, system, unit, note), []).append(float(value))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each metric and system."""
        return [
            {
                "metric": metric,
                "system": system,
                "unit": unit,
                "median": round(median(values), 5),
                "min": round(min(values), 5),
                "max": round(max(values), 5),
                "n": len(values),
                "note": note,
            }
            for (metric, system, unit, note), values in self.readings.items()
        ]
