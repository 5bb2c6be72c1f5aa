"""Titles of monitors, scores and columns for people; commands and addresses use their names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tidegauge.reports.text import clip

__all__ = ["column_title", "metric_title", "monitor_title", "notice_title", "score_title"]

_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "drift.topics": "Openings of conversations",
        "drift.followups": "Follow-ups of conversations",
        "latency.total": "Latency of answers",
        "latency.first_token": "Time to first token",
        "errors.rate": "Failed requests and checks",
        "cost.request": "Cost of a request",
        "cost.work": "Work of a request",
        "cost.customer": "Cost of a customer",
        "cost.budget": "Budget of a month",
        "swap.cold_start": "Cold start of a version",
        "pipeline.capture": "Capture of events",
        "pipeline.ledger": "Ledger of events",
        "pipeline.dead_letters": "Dead letters",
        "pipeline.log": "Topics of the log",
        "pipeline.drift": "Drift worker",
        "pipeline.vitals": "Vitals worker",
        "pipeline.quality": "Judge worker",
    }
)
_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "drift.language.": "Openings of conversations, language or script ",
        "quality.": "Judge: ",
        "swap.": "New version, ",
        "pipeline.judge.": "Judge's qualification: ",
        "pipeline.judge_replies.": "Judge's replies: ",
        "pipeline.statistics.": "Statistics: ",
    }
)


def monitor_title(monitor: str) -> str:
    """Return a monitor's title.

    Example:
        >>> monitor_title("latency.total"), monitor_title("quality.likelihood")
        ('Latency of answers', 'Judge: likelihood')
        >>> monitor_title("swap.first_token"), monitor_title("pipeline.statistics.latency.total")
        ('New version, first token', 'Statistics: Latency of answers')
    """
    known = _TITLES.get(monitor)
    if known is not None:
        return known
    for prefix, title in _KINDS.items():
        if monitor.startswith(prefix):
            rest = monitor.removeprefix(prefix)
            return title + _TITLES.get(rest, clip(rest.replace("_", " ").replace(".", " "), 60))
    return clip(monitor, 60)


def metric_title(metric: str) -> str:
    """Return the title of a metric by which two versions are compared.

    Example:
        >>> metric_title("quality.likelihood"), metric_title("first_token")
        ('judge: likelihood', 'first token')
    """
    judge = metric.removeprefix("quality.")
    title = f"judge: {judge}" if judge != metric else metric
    return clip(title.replace("_", " "), 60)


def notice_title(code: str) -> str:
    """Return a worker's notice for people: what is the case, and of what.

    Example:
        >>> notice_title("qualification_pending:rubric"), notice_title("segments:capped")
        ('qualification pending: rubric', 'segments: capped')
    """
    kind, stop, rest = code.partition(":")
    return f"{kind.replace('_', ' ')}: {rest}" if stop else kind.replace("_", " ")


def score_title(key: str) -> str:
    """Return the title of a judge's score, without the hash of its specification.

    Example:
        >>> score_title("likelihood@4b870b2e/fluency")
        'likelihood fluency'
    """
    judge, _, score = key.rpartition("/")
    return clip(f"{judge.rpartition('@')[0] or judge} {score}".strip(), 60)


_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cluster": "topic",
        "served_model": "model that answered",
        "prompt_non_letters_ratio": "prompt, share of other characters than letters",
        "output_non_letters_ratio": "output, share of other characters than letters",
    }
)
_UNITS: Final[Mapping[str, str]] = MappingProxyType({"ms": "ms", "usd": "$"})


def column_title(name: str) -> str:
    """Return the title of a report's column, with its unit.

    Example:
        >>> column_title("time_to_first_token_ms"), column_title("cost_usd")
        ('time to first token, ms', 'cost, $')
        >>> column_title("cluster"), column_title("rubric helpfulness (unqualified)")
        ('topic', 'rubric helpfulness (unqualified)')
    """
    words, _, unit = name.rpartition("_")
    title = f"{words}, {_UNITS[unit]}" if unit in _UNITS else name
    return _COLUMNS.get(name, title.replace("_", " "))
