"""The monitor's settings, from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["MonitorSettings"]


def _reports_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "tidegauge" / "reports"


class MonitorSettings(BaseSettings):
    """Settings of the monitor; each is read from ``TIDEGAUGE_MONITOR_`` and its name."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_MONITOR_", frozen=True)

    host: str = Field(
        "127.0.0.1",
        description="Interface to listen on. Pages show prompts: beyond loopback, put a proxy "
        "that asks who is there before it.",
    )
    port: int = Field(8090, ge=0, le=65535, description="Port of the page, the API and /metrics.")
    false_alarm_days: float = Field(
        30.0,
        gt=0,
        description="The promise: at most one false alarm in so many days, on average, over "
        "all signals and segments.",
    )
    window_seconds: int = Field(
        900, ge=60, description="Length of the display window of page, API and metrics."
    )
    refresh_seconds: int = Field(
        15, ge=0, description="How often the page renews itself; 0 for never."
    )
    metric_segments: int = Field(
        200, ge=1, description="Segments with metrics of their own; the rest are counted only."
    )
    page_url: str = Field(
        "", description="Address of the page as people reach it, linked from alerts."
    )
    webhook_url: str = Field("", description="Where each alert is posted as JSON; empty for none.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs each delivery as Standard Webhooks say (whsec_… or any text); "
        "empty for no signature.",
    )
    alertmanager_url: str = Field(
        "", description="Alertmanager's address, without /api/v2; empty for none."
    )
    reports_dir: Path = Field(
        default_factory=_reports_folder, description="Where finished HTML reports are kept."
    )
    reports_kept: int = Field(20, ge=1, description="Reports kept; older ones are deleted.")
    report_rows: int = Field(
        5_000, ge=100, le=50_000, description="Exchanges sampled from each range of a report."
    )
    stop_seconds: float = Field(20.0, gt=0, description="Deadline of a clean stop.")

    @property
    def address(self) -> str:
        """Where the page is, as far as the monitor knows."""
        return self.page_url or f"http://{self.host}:{self.port}"
