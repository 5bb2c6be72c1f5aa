"""What a process that renders reports is asked for."""

from __future__ import annotations

import msgspec

from tidegauge.reports.rows import Tables

__all__ = ["Job", "Preface"]


class Preface(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before Evidently's part of a report.

    Attributes:
        title: Heading of the report.
        verdicts: What the monitor says of the time, a sentence each; they come first.
        facts: What is compared: the ranges, the rows, what was left out.
        figure: A map of the requests as an SVG element of our own, empty for none.
        caption: What the map shows.
    """

    title: str
    verdicts: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    figure: str = ""
    caption: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to render.

    Attributes:
        preface: What stands first.
        tables: The rows to compare.
        path: The file to write.
        errors: The file for what Evidently and its libraries print.
    """

    preface: Preface
    tables: Tables
    path: str
    errors: str
