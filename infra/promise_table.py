"""Write the table of false alarms and delays from what ``make bench-promise`` measured.

python infra/promise_table.py build/bench/promise.json docs/MEASUREMENTS.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from document_part import with_part

SPANS = ("1 h", "6 h", "1 day", "3 days", "14 days", "file")


def _cell(rows: list[dict[str, Any]], traffic: str, baseline: str) -> str:
    found = [
        row
        for row in rows
        if (row["traffic"], row.get("baseline"), row["change"]) == (traffic, baseline, "")
    ]
    if not found:
        return ""
    (row,) = found
    if not row["promised"]:
        return "refused"
    refused = sorted(row["refused_streams"].items())
    of = f" of {row['streams']}"
    less = "".join(f", {monitor} refused in {count}{of}" for monitor, count in refused)
    return f"{row['alarms']} ({row['allowed']:.2f}){less}"


def _delay(row: dict[str, Any], signal: str, delay: dict[str, Any]) -> str:
    median = "none in most" if delay["median"] is None else f"{delay['median']:,.0f}"
    missed = f", {delay['missed']:.0%} missed" if delay["missed"] else ""
    return (
        f"| {row['traffic']} | {row['change']} | {row['baseline']} | {signal} | {median}{missed} |"
    )


def table(found: dict[str, Any]) -> str:
    """Return the tables in Markdown, and what they were measured on."""
    rows = found["rows"]
    quiet = [row for row in rows if not row["change"]]
    lines = [
        f"| Traffic without a change | {' | '.join(SPANS)} |",
        f"|---|{'---|' * len(SPANS)}",
    ]
    for traffic in dict.fromkeys(row["traffic"] for row in quiet):
        cells = " | ".join(_cell(quiet, traffic, span) for span in SPANS)
        lines.append(f"| {traffic} | {cells} |")
    lines += [
        "",
        "| Traffic | Change | Baseline | Signal | Conversations or requests until noticed |",
        "|---|---|---|---|---|",
    ]
    lines += [
        _delay(row, signal, delay)
        for row in rows
        for signal, delay in row.get("delays", {}).items()
    ]
    plan = found["protocol"]
    met = sum(bar["met"] for bar in found["bars"])
    return "\n".join(
        [
            *lines,
            "",
            (
                "False alarms above INFO at the default budget (allowed: the streams' share of "
                f"it), {_streams(plan['streams'])} of up to {plan['days']:g} days a cell, baseline "
                "and stream drawn anew for each; delays are medians of "
                f"{_streams(*(row['streams'] for row in rows if row.get('delays')))}. "
                f"{met} of {len(found['bars'])} bars are met."
                f"{' These are not:' if met < len(found['bars']) else ''}"
            ),
            "",
            *(_missed(bar) for bar in found["bars"] if not bar["met"]),
        ]
    )


def _missed(bar: dict[str, Any]) -> str:
    value = "no alarm in most streams" if bar["found"] is None else f"{bar['found']:g}"
    return f"- {bar['name']}: {value}, limit {bar['limit']:g} ({bar['note']})"


def _streams(*counts: int) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    if least != most:
        return f"{least} to {most} streams"
    return "one stream" if most == 1 else f"{most} streams"


def main(arguments: list[str]) -> None:
    """Rewrite the file."""
    results, readme = map(Path, arguments)
    part = table(json.loads(results.read_bytes()))
    readme.write_text(with_part(readme, "promise", part), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
