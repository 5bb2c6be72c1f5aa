"""Write the table of detection delays from what ``make bench-drift`` measured.

python infra/drift_table.py build/bench/drift.json docs/MEASUREMENTS.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from document_part import with_part

OURS, COMMON = "tidegauge", "MMD online"


def _events(row: dict[str, Any], *, whole: bool = False) -> str:
    median = "more" if row["median"] is None else f"{row['median']:,.0f}"
    if not whole:
        return median
    p90 = "more" if row["p90"] is None else f"{row['p90']:,.0f}"
    return f"{median} ({p90}), {row['missed']:.0%}"


def _order(row: dict[str, Any]) -> float:
    return float("inf") if row["median"] is None else row["median"]


def table(found: dict[str, Any]) -> str:
    """Return the table in Markdown, and what it was measured on."""
    delays = [row for row in found["rows"] if row["metric"] == "delay"]
    lines = [
        "| Change | guaranteed: median (P90), missed | matched | MMD online | best peer |",
        "|---|---|---|---|---|",
    ]
    for change in dict.fromkeys(row["change"] for row in delays):
        rows = [row for row in delays if row["change"] == change]
        promised = next(row for row in rows if row["threshold"] == "guaranteed 1 in 100,000")
        matched = [row for row in rows if "ratio" in row]
        own = next(row for row in matched if row["system"] == OURS)
        peers = [row for row in matched if row["system"] != OURS]
        common = next((row for row in peers if row["system"].endswith(COMMON)), None)
        best = min(peers, key=_order, default=None)
        cells = (
            change,
            _events(promised, whole=True),
            _events(own),
            "" if common is None else _events(common),
            "" if best is None else f"{_events(best)}, {best['system']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    plan = found["protocol"]
    runs = plan["baselines"] * plan["runs"]
    quiet = [row for row in found["rows"] if row["metric"] == "false alarms"]
    promised = next(row for row in quiet if row["threshold"] == "guaranteed 1 in 100,000")
    note = (
        f"Events until the alarm in streams of {plan['events']:,}, {runs} runs a row over "
        f"{plan['baselines']} baselines of {plan['baseline']:,} texts; missed: no alarm by the "
        "end. *Guaranteed*: at most one false alarm in 100,000 events on average; "
        f"{promised['median']:.0f} came in {promised['events']:,.0f} events without a change. "
        f"*Matched*: every system at the level where it raised one in "
        f"{plan['matched_events']:,.0f} such events."
    )
    lines += ["", note]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Rewrite the file."""
    results, readme = map(Path, arguments)
    part = table(json.loads(results.read_bytes()))
    readme.write_text(with_part(readme, "drift", part), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
