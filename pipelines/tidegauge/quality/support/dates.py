"""Dates and times of day, in the writings of many languages, and whether one supports another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Final

from tidegauge.quality.support.vocabulary import MONTHS

__all__ = ["DATE_PATTERN", "TIME_PATTERN", "Calendar", "Date", "date_of", "minutes_of"]

_MONTH: Final = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?"
_YEAR: Final = r"(?:1[5-9]|2[01])\d\d"

DATE_PATTERN: Final = re.compile(
    rf"(?<!\d)(?P<y1>{_YEAR})(?:[-/.]|\s?[年년]\s?)(?P<m1>\d\d?)"
    r"(?:(?:[-/.]|\s?[月월]\s?)(?P<d1>\d\d?)(?:\s?[日일])?(?!\d)|\s?[月월])"
    r"|(?<!\d)(?P<m5>\d\d?)[月월]\s?(?P<d5>\d\d?)[日일]"
    rf"|(?<![\d.,])(?P<d2>\d\d?)(?:st|nd|rd|th|er|º|ª|\.)?\s(?:of\s|de\s)?(?P<m2>{_MONTH})"
    rf"(?:,?\s(?:de\s|del\s)?(?P<y2>{_YEAR})(?!\d))?"
    rf"|\b(?P<m3>{_MONTH})\s(?P<d3>\d\d?)(?:st|nd|rd|th)?(?![.,]?\d)"
    rf"(?:,?\s(?P<y3>{_YEAR})(?!\d))?"
    rf"|\b(?P<m4>{_MONTH}),?\s(?:of\s|de\s|del\s)?(?P<y4>{_YEAR})(?!\d)"
    r"|(?<![\d.,/-])(?P<a>\d\d?)(?P<mark>[./-])(?P<b>\d\d?)(?P=mark)(?P<y>\d{4}|\d\d)(?![\d/-])",
    re.IGNORECASE,
)
TIME_PATTERN: Final = re.compile(
    r"(?<![\d.,:])(?P<hour>[01]?\d|2[0-4])(?:[:h\uff1a](?P<minute>[0-5]\d)(?::[0-5]\d)?(?!\d)"
    r"(?:\s?(?P<half>[ap]\.?m\b\.?))?|\s?(?P<only>[ap]\.?m\b\.?)|\s(?:o['\u2019]clock|Uhr)\b"
    r"|[.](?P<dotted>[0-5]\d)\s?(?:(?P<half2>[ap]\.?m\b\.?)|Uhr\b))",
    re.IGNORECASE,
)
_HALF_DAY: Final = 720
_MONTHS_OF_YEAR: Final = 12
_DAYS: Final = 31


@dataclass(frozen=True, slots=True)
class Date:
    """A date as far as it is given; None for what it leaves open."""

    year: int | None
    month: int | None
    day: int | None


class Calendar:
    """The dates and times of texts, to be asked whether they support others."""

    def __init__(
        self, dates: Iterable[tuple[Date, ...]], times: Iterable[tuple[int, bool]]
    ) -> None:
        found = [date for readings in dates for date in readings]
        # Each date stands for itself and for all that says less.
        self._dates = {
            Date(*parts)
            for date in found
            for parts in product((date.year, None), (date.month, None), (date.day, None))
        }
        self.years = frozenset(date.year for date in found if date.year is not None)
        self._times: set[int] = set()
        self._open: set[int] = set()
        for minutes, known in times:
            self._open.add(minutes % _HALF_DAY)
            if known:
                self._times.add(minutes)
            else:
                self._times |= {minutes, (minutes + _HALF_DAY) % (2 * _HALF_DAY)}

    def support(self, readings: tuple[Date, ...], years: frozenset[int]) -> bool:
        """Whether one reading of a date is held, or its day and its year are held apart.

        Args:
            readings: The date's readings.
            years: Years that the texts name elsewhere.
        """
        return any(
            date in self._dates
            or (date.year in self.years | years and Date(None, date.month, date.day) in self._dates)
            for date in readings
        )

    def support_time(self, minutes: int, *, known: bool) -> bool:
        """Whether a time of day is held; ``known`` where morning and evening are told apart."""
        return minutes in self._times if known else minutes % _HALF_DAY in self._open


def date_of(match: re.Match[str]) -> tuple[Date, ...]:
    """Return the readings of what ``DATE_PATTERN`` has found; none if it is no date.

    Example:
        >>> [date_of(DATE_PATTERN.search(text)) for text in ("3 May 2024", "2024-05-03")]
        [(Date(year=2024, month=5, day=3),), (Date(year=2024, month=5, day=3),)]
    """
    if match["mark"]:
        short = int(match["y"])
        full = short + ((2000 if short < 70 else 1900) if short < 100 else 0)  # noqa: PLR2004
        one, two = int(match["a"]), int(match["b"])
        return _valid(Date(full, two, one), Date(full, one, two))
    year, month, day = (
        next((match[f"{part}{n}"] for n in range(1, 6) if _given(match, f"{part}{n}")), None)
        for part in "ymd"
    )
    name = (month or "").lower().rstrip(".")
    number = int(name) if name.isdigit() else MONTHS.get(name, 0)
    return _valid(Date(int(year) if year else None, number, int(day) if day else None))


def minutes_of(match: re.Match[str]) -> tuple[int, bool]:
    """Return the time that ``TIME_PATTERN`` has found.

    Returns:
        Minutes since midnight, and whether morning and evening are told apart.
    """
    hour, minute = int(match["hour"]), int(match["minute"] or match["dotted"] or 0)
    half = (match["half"] or match["only"] or match["half2"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    return (60 * hour + minute) % (2 * _HALF_DAY), bool(half) or hour > 12  # noqa: PLR2004


def _given(match: re.Match[str], name: str) -> bool:
    return name in match.re.groupindex and match[name] is not None


def _valid(*readings: Date) -> tuple[Date, ...]:
    return tuple(
        dict.fromkeys(
            date
            for date in readings
            if 1 <= (date.month or 0) <= _MONTHS_OF_YEAR and 1 <= (date.day or 1) <= _DAYS
        )
    )
