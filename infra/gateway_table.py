"""Write the table of gateways from what ``make bench-gateway`` measured.

python infra/gateway_table.py build/bench/gateway.json docs/MEASUREMENTS.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from document_part import with_part

DIRECT = "direct"

Rows = dict[tuple[str, str], dict[str, Any]]


def _cell(rows: Rows, metric: str, system: str, digits: int = 0) -> str:
    row = rows.get((metric, system))
    return "" if row is None else f"{row['median']:,.{digits}f} ({row['min']:,.{digits}f})"


def _added(rows: Rows, system: str) -> str:
    metric = "p50_one_connection"
    return f"{rows[metric, system]['median'] - rows[metric, DIRECT]['median']:.2f}"


def table(found: dict[str, Any]) -> str:
    """Return the table in Markdown, and what it was measured on."""
    rows = {(row["metric"], row["system"]): row for row in found["rows"]}
    systems = [name for metric, name in rows if metric == "cpu_per_request" and name != DIRECT]
    systems.sort(key=lambda name: rows["cpu_per_request", name]["median"])
    lines = [
        "| Gateway | CPU/request, µs | CPU/event, µs | requests/s a core | P50 added, ms | MB |",
        "|---|---|---|---|---|---|",
    ]
    for name in systems:
        cells = (
            name,
            _cell(rows, "cpu_per_request", name),
            _cell(rows, "cpu_per_event", name),
            f"{rows['requests_per_core_second', name]['median']:,.0f}",
            _added(rows, name),
            f"{rows['memory', name]['max']:,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    ours = next(name for metric, name in rows if metric == "shipper_cpu_per_request")
    machine, measured = found["machine"], rows["cpu_per_request", ours]
    note = (
        f"Median (least) of {measured['n']} rounds, each system started anew in each, on "
        f"{machine['cores']} shared cores ({machine['cpu']}), where the load and the upstream "
        f"run, too, and others' work ({measured['note']}): compare rows rather than machines. "
        "Ours checks keys and limits, counts, logs and captures durably, for which it serves "
        f"{rows['fewer_requests', ours]['median']:.1f}% fewer requests a second "
        f"({rows['fewer_requests', ours]['n']} pairs of runs); its shipper takes "
        f"{rows['shipper_cpu_per_request', ours]['median']:.0f} µs a request beside it, and its "
        f"event loop lags {rows['own_loop_lag_p99', ours]['median']:.1f} ms at P99 at 2,000 "
        "requests/s, waiting for a core left out "
        f"({rows['loop_lag_p99', ours]['median']:.1f} ms with it)."
    )
    failed = [name for name in systems if ("cpu_per_event", name) not in rows]
    if failed:
        note += f" {', '.join(failed)} answered every stream with an error."
    return "\n".join([*lines, "", note])


def main(arguments: list[str]) -> None:
    """Rewrite the file."""
    results, readme = map(Path, arguments)
    part = table(json.loads(results.read_bytes()))
    readme.write_text(with_part(readme, "gateways", part), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
