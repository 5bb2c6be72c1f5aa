"""The monitor's settings, from the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from tidegauge.monitoring.plan import MINIMUM_EFFECT, MonitorPlan
from tidegauge.runtime.settings import Settings, Variable
from tidegauge.schemas.findings import Severity, Signal
from tidegauge.schemas.sketches import SketchKind

__all__ = ["MonitorSettings"]


def _reports_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "tidegauge" / "reports"


class MonitorSettings(Settings):
    """Settings of the monitor; each is read from ``TIDEGAUGE_MONITOR_`` and its name."""

    prefix = "TIDEGAUGE_MONITOR_"

    host: str = Field(
        default="127.0.0.1",
        description="Interface to listen on. Pages show prompts: beyond loopback, set a password, "
        "or put a proxy that asks who is there before it.",
    )
    port: int = Field(
        default=8090, ge=0, le=65535, description="Port of the page, the API and /metrics."
    )
    password: SecretStr = Field(
        default=SecretStr(""),
        description="Asked for by everything but health checks (HTTP Basic, any user name); "
        "empty for none.",
    )
    viewer_password: SecretStr = Field(
        default=SecretStr(""),
        description="Opens numbers and verdicts, but no text of requests, no reports and no "
        "changes; needs a password, too. Empty for none.",
    )
    group: str = Field(
        default="monitor",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="Consumer group: a monitor under another name starts afresh, beside this one.",
    )
    false_alarm_days: float = Field(
        default=30.0,
        gt=0,
        description="The promise: at most one false alarm in so many days, on average, over "
        "all signals and segments.",
    )
    window_seconds: Annotated[float, Variable("TIDEGAUGE_WINDOW_SECONDS")] = Field(
        default=10.0,
        gt=0,
        description="Length of a window of event time, the same as the workers'.",
    )
    workers: tuple[SketchKind, ...] = Field(
        default=("drift", "vitals", "quality"),
        description="Kinds of workers that must report, as a JSON list; their silence is an alarm.",
    )
    silent_seconds: float = Field(
        default=60.0,
        gt=0,
        description="After which a worker that does not report is called silent.",
    )
    settle_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How much later than a heartbeat workers must have reported before its "
        "events may be called missing.",
    )
    no_data_seconds: float = Field(
        default=300.0,
        gt=0,
        description="After which a segment without events says no_data.",
    )
    minimum_effect: dict[Signal, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: dict(MINIMUM_EFFECT),
        description="Size of a change from which it is an alarm and no mere info, by signal, as a "
        "JSON object: how many times as long (latency) or as dear (cost), else a difference of "
        "shares of events, .01 for a point; signals that it does not name keep the default.",
    )
    most_segments: int = Field(
        default=32, ge=1, description="Segments beyond it are counted together, as other."
    )
    low_data_events: int = Field(
        default=30, ge=0, description="Events below which a monitor says low_data instead of ok."
    )
    display_range_seconds: int = Field(
        default=900, ge=60, description="Length of the display range of page, API and metrics."
    )
    refresh_seconds: int = Field(
        default=15, ge=0, description="How often the page renews itself; 0 for never."
    )
    metric_segments: int = Field(
        default=200,
        ge=1,
        description="Segments with metrics of their own; the rest are counted only.",
    )
    page_url: str = Field(
        default="",
        description="Address of the page as people reach it, such as a proxy's: linked from "
        "alerts, and forms are taken from it. Beyond loopback, pages answer to its name and to "
        "addresses in numbers only.",
    )
    webhook_url: str = Field(
        default="",
        description="Where each alert is posted as JSON; empty for none.",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Signs each delivery as Standard Webhooks say (whsec_… or any text); "
        "empty for no signature.",
    )
    alertmanager_url: str = Field(
        default="",
        description="Alertmanager's address, without /api/v2; empty for none.",
    )
    apprise_urls: SecretStr = Field(
        default=SecretStr(""),
        description="Addresses of Apprise that are told of incidents, between blanks, such as "
        "slack://… mailto://… (extra apprise); empty for none. For those without Alertmanager.",
    )
    apprise_severity: Severity = Field(
        default="warn", description="The least severity that Apprise's addresses are told of."
    )
    apprise_repeat_hours: float = Field(
        default=4.0,
        ge=0,
        description="After which Apprise's addresses are told again of an incident that fires and "
        "that nobody has acknowledged; 0 for never.",
    )
    apprise_flaps: int = Field(
        default=3,
        ge=1,
        description="An alarm that begins more often within an hour flaps: Apprise's addresses are "
        "told so once, and of its beginnings and ends no more until they are rarer.",
    )
    reports_dir: Path = Field(
        default_factory=_reports_folder, description="Where finished HTML reports are kept."
    )
    reports_kept: int = Field(default=20, ge=1, description="Reports kept; older ones are deleted.")
    daily_report_hour: int | None = Field(
        default=None,
        ge=0,
        le=23,
        description="Hour (UTC) from which a report of yesterday against the day before is made "
        "each day; empty for none.",
    )
    daily_reports_kept: int = Field(
        default=14,
        ge=1,
        description="Daily reports kept, beside those that people ordered; like these for "
        "TIDEGAUGE_KAFKA_TEXT_DAYS at most.",
    )
    models: Annotated[Path | None, Variable("TIDEGAUGE_GATEWAY_CONFIG")] = Field(
        default=None,
        description="The gateway's YAML file, for prices and the upstreams whose metrics are read.",
    )
    scrape_seconds: float = Field(
        default=15.0, ge=1, description="How often the metrics of upstreams and GPUs are read."
    )
    cost_hours: int = Field(
        default=24, ge=1, le=168, description="Length of the range of costs, in hours."
    )
    report_rows: int = Field(
        default=5_000,
        ge=100,
        le=50_000,
        description="Exchanges sampled from each range of a report.",
    )
    stop_seconds: float = Field(default=20.0, gt=0, description="Deadline of a clean stop.")

    @field_validator("page_url", "webhook_url", "alertmanager_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://\S+", value):
            raise ValueError("must be an address that begins with http:// or https://")
        return value

    @field_validator("page_url")
    @classmethod
    def _has_a_host(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (not parts.hostname or parts.port == 0):  # ``port`` raises for no number
            raise ValueError("must name a host, and a port other than 0 if any")
        return value

    @field_validator("minimum_effect")
    @classmethod
    def _only_tested_signals(cls, value: dict[Signal, float]) -> dict[Signal, float]:
        if unknown := sorted(value.keys() - MINIMUM_EFFECT.keys()):
            known = ", ".join(sorted(MINIMUM_EFFECT))
            raise ValueError(
                f"must name signals whose rates are tested ({known}), not {', '.join(unknown)}"
            )
        return value

    @field_validator("viewer_password")
    @classmethod
    def _needs_a_password(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        password: SecretStr = info.data.get("password", SecretStr(""))
        if value.get_secret_value() and not password.get_secret_value():
            raise ValueError("must go with TIDEGAUGE_MONITOR_PASSWORD, which opens everything")
        if value.get_secret_value() and value == password:
            raise ValueError("must differ from TIDEGAUGE_MONITOR_PASSWORD")
        return value

    def plan(self) -> MonitorPlan:
        """Return what the processor is told.

        Raises:
            PlanError: A number is out of its range.
        """
        return MonitorPlan(
            window_ms=round(1000 * self.window_seconds),
            false_alarm_days=self.false_alarm_days,
            display_range_ms=1000 * self.display_range_seconds,
            expected=self.workers,
            silent_ms=round(1000 * self.silent_seconds),
            settle_ms=round(1000 * self.settle_seconds),
            low_data_events=self.low_data_events,
            no_data_ms=round(1000 * self.no_data_seconds),
            most_segments=self.most_segments,
            minimum_effect={**MINIMUM_EFFECT, **self.minimum_effect},
        )

    @property
    def address(self) -> str:
        """Where the page is, as far as the monitor knows."""
        return self.page_url or f"http://{self.host}:{self.port}"
