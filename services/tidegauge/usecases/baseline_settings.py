"""Settings from the environment of how baselines come and go by themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tidegauge.detection.errors import TimeZoneError
from tidegauge.detection.seasons import UTC, utc_offset_ms, with_holidays
from tidegauge.monitoring.baseline_life import LifePlan, Renewal
from tidegauge.runtime.settings import Settings
from tidegauge.schemas.operations import ExcludedTime
from tidegauge.usecases.holidays import as_times, read_holidays

__all__ = ["BaselineSettings"]

_MINUTE_MS, _DAY_MS = 60_000, 86_400_000


class BaselineSettings(Settings):
    """Settings of the monitor, and of ``tidegauge baseline keep``, ``accept`` and ``renew``."""

    prefix = "TIDEGAUGE_BASELINE_"

    provisional: bool = Field(
        default=True,
        description="Whether the monitor builds a provisional baseline from the first traffic "
        "where none is in force.",
    )
    grow: bool = Field(
        default=True,
        description="Whether a provisional or accepted baseline is replaced whenever the traffic "
        "is twice as long, up to the full length; never while an alarm fires.",
    )
    first_minutes: float = Field(
        default=10.0, gt=0, description="Least length of a baseline that builds itself."
    )
    days: float = Field(default=14.0, gt=0, description="Full length of a baseline, in days.")
    renewal: Renewal = Field(
        default="propose",
        description="What becomes of the baseline that is built every so many days from the last "
        "clean time: off, propose (built, and its differences shown) or activate (unless it "
        "differs from the last one that a person decided on).",
    )
    renew_days: float = Field(
        default=30.0, gt=0, description="Age at which a baseline is renewed, in days."
    )
    time_zone: str = Field(
        default=UTC,
        description="Time zone of the hours of a day and of a week, such as Europe/Berlin: where "
        "users live.",
    )
    holidays: str = Field(
        default="",
        description="Holidays: ISO dates between commas, or a file with a date and a name on each "
        "line.",
    )
    holidays_are: Literal["sundays", "excluded"] = Field(
        default="sundays",
        description="What holidays are: sundays have the hours of a Sunday where the baseline "
        "knows the hours of the week; excluded ones are neither in baselines nor tested.",
    )
    limit: int = Field(default=20_000, ge=200, description="Most requests to embed.")
    look_seconds: float = Field(
        default=60.0, ge=1, description="How often the monitor looks whether one is due."
    )

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            utc_offset_ms(value, 0)
        except TimeZoneError as error:
            raise ValueError(str(error)) from error
        return value

    @property
    def calendar(self) -> str:
        """The time zone of slots, with the holidays that count as Sundays.

        Raises:
            TimeRangeError: The holidays cannot be read.
        """
        if self.holidays_are == "excluded":
            return self.time_zone
        return with_holidays(self.time_zone, (day for day, _ in read_holidays(self.holidays)))

    @property
    def excluded_days(self) -> tuple[ExcludedTime, ...]:
        """The holidays that are neither in baselines nor tested.

        Raises:
            TimeRangeError: The holidays cannot be read.
        """
        if self.holidays_are == "sundays":
            return ()
        return as_times(read_holidays(self.holidays), self.time_zone)

    def plan(self) -> LifePlan:
        """Return when baselines are due.

        Raises:
            PlanError: A number is out of its range.
        """
        return LifePlan(
            provisional=self.provisional,
            grow=self.grow,
            first_ms=round(self.first_minutes * _MINUTE_MS),
            length_ms=round(self.days * _DAY_MS),
            renewal=self.renewal,
            renew_ms=round(self.renew_days * _DAY_MS),
        )
