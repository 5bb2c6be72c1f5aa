"""Write the table of judging from what ``make bench-judge`` measured.

python infra/judge_table.py build/bench/judge.json docs/MEASUREMENTS.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from document_part import with_part


def table(found: dict[str, Any]) -> str:
    """Return the table in Markdown, and what it was measured on."""
    rows = {(row["metric"], row["system"]): row for row in found["rows"]}

    def cell(metric: str, system: str, digits: int = 1) -> str:
        row = rows[metric, system]
        return f"{row['median']:,.{digits}f} ({row['min']:,.{digits}f} to {row['max']:,.{digits}f})"

    bars = {bar["name"]: bar for bar in found["bars"]}
    throughput, hits = bars.values()
    lines = [
        "| | found | limit |",
        "|---|---|---|",
        f"| judgments/s of the worker | {cell('throughput', 'judge worker')} | |",
        f"| requests/s of `vllm bench serve` | {cell('throughput', 'vllm bench serve')} | |",
        f"| the worker's share of it | {throughput['found']:.2f} | {throughput['limit']} |",
        (
            f"| share of the common tokens found in the prefix cache | {hits['found']:.2f} "
            f"| {hits['limit']} |"
        ),
        (
            "| clients' P50, P99 without judging, ms | "
            f"{rows['latency_p50', 'without judging']['median']:,.0f}, "
            f"{rows['latency_p99', 'without judging']['median']:,.0f} | |"
        ),
        (
            "| clients' P50, P99 with judging, ms | "
            f"{rows['latency_p50', 'with judging']['median']:,.0f}, "
            f"{rows['latency_p99', 'with judging']['median']:,.0f} | |"
        ),
    ]
    note = (
        f"Median (least to most) of {rows['throughput', 'judge worker']['n']} rounds of "
        f"{found['answers']} answers, {found['at_once']} at a time, prompts of "
        f"{found['shared_tokens']} common tokens and {found['other_tokens']} others; model "
        f"`{found['model']}` on {found['machine']['cores']} shared cores with a load of "
        f"{found['machine']['load']:.0f} at the end (`{found['command']}`)."
    )
    return "\n".join([*lines, "", note])


def main(arguments: list[str]) -> None:
    """Rewrite the file."""
    results, document = map(Path, arguments)
    part = table(json.loads(results.read_bytes()))
    document.write_text(with_part(document, "judging", part), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
