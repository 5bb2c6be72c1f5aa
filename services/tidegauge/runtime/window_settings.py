"""The settings that all workers share: how long windows are, and for how long they wait."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings

from tidegauge.streaming.partitions import SketchSettings

__all__ = ["WindowSettings"]


class WindowSettings(BaseSettings):
    """Windows of event time, from the environment; a worker's settings begin with these."""

    window_seconds: float = Field(
        default=10.0,
        gt=0,
        validation_alias=AliasChoices("window_seconds", "TIDEGAUGE_WINDOW_SECONDS"),
        description="Length of a window of event time.",
    )
    lateness_seconds: float = Field(
        default=20.0,
        ge=0,
        validation_alias=AliasChoices("lateness_seconds", "TIDEGAUGE_LATENESS_SECONDS"),
        description="How long after its end a window stays open for stragglers.",
    )

    def sketching(self) -> SketchSettings:
        """Return how events become sketches."""
        window_ms = round(self.window_seconds * 1000)
        lateness_ms = round(self.lateness_seconds * 1000)
        return SketchSettings(
            window_ms=window_ms,
            lateness_ms=lateness_ms,
            idle_ms=max(lateness_ms, window_ms),
            progress_ms=window_ms,
        )
