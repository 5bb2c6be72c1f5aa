"""CSV downloads: a segment's display range, and the account by segment and customer. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from tidegauge.monitoring.view import MonitorView, SegmentView
from tidegauge.reports.spreadsheet import csv_text
from tidegauge.reports.vitals import cost

__all__ = ["account_csv", "trend_csv"]

_ALL = 10**9


def trend_csv(found: SegmentView) -> str:
    """Return a segment's display range, a line for each part of it; unknown numbers are empty."""
    scores = sorted({name for point in found.trend for name in point.scores})
    header = (
        "start",
        "seconds",
        "requests",
        "errors",
        "latency_p50_ms",
        "latency_p95_ms",
        "first_token_p95_ms",
        "cost_usd",
        *scores,
    )
    return csv_text(
        header,
        (
            (
                datetime.fromtimestamp(point.time_ms / 1000, UTC).isoformat(),
                point.duration_ms / 1000,
                point.requests,
                point.errors,
                point.latency_p50_ms,
                point.latency_p95_ms,
                point.first_token_p95_ms,
                point.cost_usd,
                *(point.scores.get(name) for name in scores),
            )
            for point in found.trend
        ),
    )


def account_csv(view: MonitorView) -> str:
    """Return requests, cost and tokens by segment and customer since the state began."""
    header = (
        "model",
        "version",
        "route",
        "segment_customer",
        "customer",
        "requests",
        "cost_usd",
        "input_tokens",
        "output_tokens",
    )
    rows: list[tuple[str | float, ...]] = []
    for item in view.segments:
        total = item.total.get("vitals")
        if total is None:
            continue
        segment = item.segment
        where = (segment.model, segment.version, segment.route, segment.customer)
        rows.extend(
            (
                *where,
                line.name,
                line.requests,
                round(line.usd, 9),
                line.input_tokens,
                line.output_tokens,
            )
            for line in cost(total, customers=_ALL).customers
        )
    return csv_text(header, rows)
