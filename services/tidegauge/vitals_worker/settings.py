"""The vitals worker's settings, from the environment."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidegauge.stream.partitions import SketchSettings

__all__ = ["VitalsSettings"]


class VitalsSettings(BaseSettings):
    """Settings of ``tidegauge worker vitals``."""

    model_config = SettingsConfigDict(
        env_prefix="TIDEGAUGE_VITALS_", populate_by_name=True, frozen=True
    )

    host: str = Field(
        default="127.0.0.1", description="Interface of /healthz, /readyz and /metrics."
    )
    port: int = Field(
        default=8092, ge=0, le=65_535, description="Port of /healthz, /readyz and /metrics."
    )
    customers: int = Field(
        default=1_000,
        ge=1,
        description="Customers with an account of their own; the rest are added up as other.",
    )
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
        """Return how responses become sketches."""
        lateness_ms = round(self.lateness_seconds * 1000)
        block_ms = round(self.block_seconds * 1000)
        return SketchSettings(
            block_ms=block_ms,
            lateness_ms=lateness_ms,
            idle_ms=max(lateness_ms, block_ms),
            progress_ms=block_ms,
        )
