"""The demonstration's summary, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegauge.demo.summary import Finding, JudgeFacts, Quantiles, Summary, VitalFacts
from tidegauge.reports.figures import count, dollars, interval, milliseconds, number, percent

__all__ = ["show"]

_EFFECTS = 4
_EXAMPLES = 2
_TONES = {"page": "bold red", "warn": "red", "info": "yellow", "ok": "green"}


def show(summary: Summary, console: Console) -> None:
    """Print the whole summary."""
    console.rule("What the pipeline saw")
    console.print(_vitals(summary))
    console.print(_customers(summary.vitals))
    console.rule("Drift: what people ask about")
    _print_findings(summary.drift, console)
    console.rule("The new version against the old one")
    console.print(_swap(summary))
    console.rule("Quality of the answers")
    _print_findings(summary.quality, console)
    console.print(_judges(summary.judges))
    console.rule("The ledger")
    for line in _ledger(summary):
        console.print(Text(line))
    console.rule("What was promised")
    for promise in summary.promises:
        mark = Text("kept    ", "green") if promise.kept else Text("BROKEN  ", "bold red")
        console.print(Text.assemble(mark, promise.name, ": ", promise.detail))
    console.print(Text(f"\npage    {summary.page}"))
    console.print(Text(f"report  {summary.report or 'none could be built'}"))


def _vitals(summary: Summary) -> Table:
    table = Table(title="Latency, lengths, errors, cost")
    table.add_column("")
    columns = {"all": summary.vitals, **summary.vitals_by_version}
    for name in columns:
        table.add_column(name, justify="right")
    facts = columns.values()
    _row(table, "requests", (count(item.requests) for item in facts))
    _row(table, "latency P50 / P95 / P99", (_quantiles(item.latency_ms) for item in facts))
    _row(
        table,
        "time to first token P50 / P95 / P99",
        (_quantiles(item.time_to_first_token_ms) for item in facts),
    )
    _row(
        table,
        "median prompt length, characters",
        (number(item.median_prompt_characters) for item in facts),
    )
    _row(
        table,
        "median response length, characters",
        (number(item.median_response_characters) for item in facts),
    )
    _row(table, "failures of the service", (count(item.service_failures) for item in facts))
    for kind in sorted({kind for item in facts for kind in item.errors_by_kind}):
        _row(table, f"  {kind}", (count(item.errors_by_kind.get(kind, 0)) for item in facts))
    for check in sorted({check for item in facts for check in item.failed_checks}):
        cells = [item.failed_checks.get(check, (0, 0)) for item in facts]
        _row(table, f"  {check} (failed of checked)", (f"{a:,} of {b:,}" for a, b in cells))
    _row(table, "cost", (dollars(item.usd) for item in facts))
    _row(table, "requests per dollar", (number(item.requests_per_usd) for item in facts))
    return table


def _row(table: Table, title: str, cells: Iterable[str]) -> None:
    table.add_row(Text(title), *map(Text, cells))


def _quantiles(found: Quantiles) -> str:
    return " / ".join(map(milliseconds, (found.p50, found.p95, found.p99)))


def _customers(vitals: VitalFacts) -> Table:
    table = Table(title="Cost by customer")
    for title in ("customer", "requests", "tokens in", "tokens out", "cost"):
        table.add_column(title, justify="left" if title == "customer" else "right")
    for line in vitals.customers:
        cells = (line.name, count(line.requests), count(line.input_tokens))
        table.add_row(*map(Text, (*cells, count(line.output_tokens), dollars(line.usd))))
    return table


def _print_findings(findings: Iterable[Finding], console: Console) -> None:
    for finding in findings:
        tone = _TONES.get(finding.state, "dim")
        console.print(
            Text.assemble((f"{finding.state:<12}", tone), f"{finding.monitor}  ", finding.sentence)
        )
        if finding.state not in {"page", "warn", "info"}:
            continue
        for item in finding.evidence[:_EFFECTS]:
            rates = (
                f"{percent(item.baseline_rate)} before, now "
                f"{interval(item.current_low, item.current_high)}"
            )
            console.print(
                Text(f"    {item.title}: {rates} ({percent(item.share)} of the evidence)")
            )
            for example in item.examples[:_EXAMPLES]:
                console.print(Text(f"        “{example}”", "italic"))


def _swap(summary: Summary) -> Table:
    table = Table()
    for title in ("measure", "verdict", "old", "new", "new minus old", "what is counted"):
        table.add_column(title)
    for line in summary.swap:
        tone = {"worse": "red", "better": "green", "not worse": "green"}.get(line.outcome, "dim")
        table.add_row(
            Text(line.measure),
            Text(line.outcome, tone),
            Text(percent(line.old_rate)),
            Text(percent(line.new_rate)),
            Text(f"{100 * line.low:+.1f} to {100 * line.high:+.1f} points"),
            Text(line.property),
        )
    return table


def _judges(judges: Iterable[JudgeFacts]) -> Table:
    table = Table(title="Judges (means over all answers, with 95% intervals)")
    for title in ("judge", "score", "mean", "interval", "judged", "invalid", "standing"):
        table.add_column(title)
    for line in judges:
        ends = "none" if line.low is None else f"{number(line.low)} to {number(line.high)}"
        ends += " (early)" if line.early else ""
        standing = {True: "qualified", False: "unqualified", None: "unknown"}[line.qualified]
        tone = "green" if line.qualified else "yellow"
        share = "" if line.judged_share is None else f" ({percent(line.judged_share)})"
        table.add_row(
            Text(line.judge),
            Text(line.score),
            Text(number(line.mean)),
            Text(ends),
            Text(f"{line.judged:,}{share}"),
            Text(count(line.invalid)),
            Text(standing, tone),
        )
    return table


def _ledger(summary: Summary) -> Iterable[str]:
    ledger = summary.ledger
    yield f"{ledger.served:,} served = {ledger.captured:,} captured + {ledger.dropped:,} dropped"
    for kind, processed in ledger.processed.items():
        dead, missing = ledger.dead_lettered.get(kind, 0), ledger.missing.get(kind, 0)
        yield f"{kind}: {processed:,} processed, {dead:,} dead letters, {missing:,} missing"
    skipped = sum(ledger.skipped.values())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in ledger.skipped.items())
    yield (
        f"judges: {ledger.sampled:,} sampled = {ledger.judged:,} judged + {skipped:,} skipped"
        + (f" ({reasons})" if reasons else "")
    )
    balance = "in balance" if ledger.balanced else "NOT IN BALANCE"
    yield f"{balance}, {ledger.in_flight:,} events on their way"
