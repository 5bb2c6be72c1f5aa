"""The vitals worker's settings, from the environment."""

from __future__ import annotations

from pydantic import Field

from tidegauge.runtime.settings import WindowSettings

__all__ = ["VitalsSettings"]


class VitalsSettings(WindowSettings):
    """Settings of ``tidegauge worker vitals``."""

    prefix = "TIDEGAUGE_VITALS_"

    host: str = Field(
        default="127.0.0.1", description="Interface of /healthz, /readyz and /metrics."
    )
    port: int = Field(
        default=8092, ge=0, le=65_535, description="Port of /healthz, /readyz and /metrics."
    )
    group: str = Field(default="vitals", description="Consumer group.")
    customers: int = Field(
        default=1_000,
        ge=1,
        description="Customers with an account of their own, and keys; the rest are added up as "
        "other.",
    )
