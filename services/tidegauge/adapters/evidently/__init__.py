"""Evidently's HTML comparison of two tables, rendered in a process of its own.

Importing Evidently takes seconds and hundreds of megabytes, and rendering holds the
interpreter: neither belongs into a process that serves pages or reads a log. ``EvidentlyProcess``
starts the process and hands it jobs; ``child`` is what runs in it.
"""

from tidegauge.adapters.evidently.job import Job, Preface
from tidegauge.adapters.evidently.report_process import (
    UNFINISHED,
    EvidentlyProcess,
    ReportError,
    installed,
)

__all__ = ["UNFINISHED", "EvidentlyProcess", "Job", "Preface", "ReportError", "installed"]
