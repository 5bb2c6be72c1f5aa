"""The settings that all workers share: how long blocks are, and for how long they wait."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings

from tidegauge.stream.partitions import SketchSettings

__all__ = ["BlockSettings"]


class BlockSettings(BaseSettings):
    """Blocks of event time, from the environment; a worker's settings begin with these."""

    block_seconds: float = Field(
        default=10.0,
        gt=0,
        validation_alias=AliasChoices("block_seconds", "TIDEGAUGE_BLOCK_SECONDS"),
        description="Length of a block of event time.",
    )
    lateness_seconds: float = Field(
        default=20.0,
        ge=0,
        validation_alias=AliasChoices("lateness_seconds", "TIDEGAUGE_LATENESS_SECONDS"),
        description="How long after its end a block stays open for stragglers.",
    )

    def sketching(self) -> SketchSettings:
        """Return how events become sketches."""
        block_ms = round(self.block_seconds * 1000)
        lateness_ms = round(self.lateness_seconds * 1000)
        return SketchSettings(
            block_ms=block_ms,
            lateness_ms=lateness_ms,
            idle_ms=max(lateness_ms, block_ms),
            progress_ms=block_ms,
        )
