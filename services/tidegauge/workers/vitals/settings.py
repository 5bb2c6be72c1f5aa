"""The vitals worker's settings, from the environment."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from tidegauge.runtime.window_settings import WindowSettings

__all__ = ["VitalsSettings"]


class VitalsSettings(WindowSettings):
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
