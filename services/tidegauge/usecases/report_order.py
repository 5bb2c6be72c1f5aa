"""What a report compares: two ranges of time, and which exchanges of each."""

from __future__ import annotations

from dataclasses import dataclass

from tidegauge.reports.text import clip
from tidegauge.usecases.recent_exchanges import ExchangeFilter
from tidegauge.usecases.time_range import TimeRange

__all__ = ["ReportOrder"]


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """Two ranges of time, and which exchanges of each; empty names ask for nothing.

    Attributes:
        reference: The range to compare with.
        current: The range that is looked at.
        model: Model of both.
        route: Route of both.
        customer: Customer of both.
        version: Version of the current exchanges.
        reference_version: Version of the reference's exchanges.
        daily: Whether the schedule ordered it, and no person.
    """

    reference: TimeRange
    current: TimeRange
    model: str = ""
    route: str = ""
    customer: str = ""
    version: str = ""
    reference_version: str = ""
    daily: bool = False

    @property
    def filters(self) -> tuple[ExchangeFilter, ExchangeFilter]:
        """Which exchanges of the reference range are compared, and of the current one."""
        earlier, later = (
            ExchangeFilter(self.model, version, self.route, self.customer)
            for version in (self.reference_version, self.version)
        )
        return earlier, later

    @property
    def selection(self) -> str:
        """Which exchanges are compared, for people.

        Example:
            >>> day = TimeRange(0, 86_400_000)
            >>> ReportOrder(day, day, model="chat", version="v2").selection
            'model chat, version v2 with all before'
            >>> ReportOrder(day, day).selection
            'all exchanges'
        """
        named = (("model", self.model), ("route", self.route), ("customer", self.customer))
        parts = [f"{kind} {clip(name, 60)}" for kind, name in named if name]
        if self.version or self.reference_version:
            now, before = (
                clip(name, 40) or "all" for name in (self.version, self.reference_version)
            )
            parts.append(f"version {now} with {before} before")
        return ", ".join(parts) or "all exchanges"
