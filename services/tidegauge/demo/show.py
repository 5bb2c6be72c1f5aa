"""The demonstration's summary, for a person at a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegauge.demo.facts import (
    EvidenceFacts,
    Finding,
    HallucinationFacts,
    JudgeFacts,
    Quantiles,
    Summary,
    VitalFacts,
)
from tidegauge.monitoring.view import VersionComparisonView
from tidegauge.reports.formatting import (
    count,
    dollars,
    duration,
    interval,
    milliseconds,
    number,
    percent,
    points,
)
from tidegauge.schemas import Segment

__all__ = ["show"]

_OF_A_FAMILY = 2
_EXAMPLES = 3
_MAIN_SHARE = 0.1
_TONES = {"critical": "bold red", "warn": "red", "info": "yellow"}


def show(summary: Summary, console: Console) -> None:
    """Print the whole summary."""
    console.rule("What the pipeline saw")
    console.print(_vitals(summary))
    console.print(_customers(summary.vitals))
    console.rule("Drift: what people ask about")
    _print_findings(summary.drift, console)
    console.rule("The new version against the old one")
    for comparison in summary.version_comparisons:
        _print_comparison(comparison, console)
    console.rule("Quality of the answers")
    _print_findings(summary.quality, console)
    console.print(_judges(summary.judges))
    console.print(_hallucination(summary.hallucination))
    console.rule("The ledger")
    for line in _ledger(summary):
        console.print(Text(line))
    console.rule("What was promised")
    for promise in summary.promises:
        mark = Text("kept    ", "green") if promise.kept else Text("BROKEN  ", "bold red")
        console.print(Text.assemble(mark, promise.name, ": ", promise.detail))
    console.print(Text(f"\npage    {summary.page}"))
    console.print(Text(f"report  {summary.report or 'none could be built'}"))
    if summary.report_file is not None:
        console.print(Text(f"        {summary.report_file}"), soft_wrap=True)
    if summary.seconds_to_first_verdict is not None:
        console.print(
            Text(
                f"        first verdict after {duration(summary.seconds_to_first_verdict)}, "
                f"everything after {duration(summary.seconds)}"
            )
        )


def _vitals(summary: Summary) -> Table:
    columns = {"all": summary.vitals, **summary.vitals_by_version}
    table = _table("Latency, lengths, errors, cost", ("", *columns), numbers=True)
    facts = columns.values()
    _row(table, "requests", (count(item.requests) for item in facts))
    _quantile_rows(table, "latency", [item.latency_ms for item in facts])
    _quantile_rows(table, "time to first token", [item.time_to_first_token_ms for item in facts])
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
        _row(
            table, f"  {check} (failed of checked)", (f"{count(a)} of {count(b)}" for a, b in cells)
        )
    _row(table, "cost", (dollars(item.usd) for item in facts))
    _row(table, "requests per dollar", (number(item.requests_per_usd) for item in facts))
    return table


def _row(table: Table, title: str, cells: Iterable[str]) -> None:
    table.add_row(Text(title), *map(Text, cells))


def _quantile_rows(table: Table, title: str, found: Sequence[Quantiles]) -> None:
    for name in ("p50", "p95", "p99"):
        _row(table, f"{title} {name.upper()}", (milliseconds(getattr(q, name)) for q in found))


def _table(title: str, columns: Iterable[str], *, numbers: bool = False) -> Table:
    """Return a table whose text is folded, never cut; numbers stand to the right."""
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if numbers and place else "left"
        table.add_column(Text(column), justify=justify, overflow="fold", no_wrap=not place)
    return table


def _customers(vitals: VitalFacts) -> Table:
    table = _table(
        "Cost by customer",
        ("customer", "requests", "tokens in", "tokens out", "cost"),
        numbers=True,
    )
    for line in vitals.customers:
        cells = (line.name, count(line.requests), count(line.input_tokens))
        table.add_row(*map(Text, (*cells, count(line.output_tokens), dollars(line.usd))))
    return table


def _print_findings(findings: Iterable[Finding], console: Console) -> None:
    quiet: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        if finding.state not in _TONES:
            quiet[finding.monitor, finding.state] += 1
            continue
        console.print(
            Text.assemble(
                (finding.state, _TONES[finding.state]),
                f"  {finding.monitor} on {_where(finding.segment)}\n",
                finding.sentence,
            )
        )
        shown: set[str] = set()
        for item in _telling(finding.evidence):
            rates = (
                f"{percent(item.baseline_rate)} before, now "
                f"{interval(item.current_low, item.current_high)}"
            )
            console.print(Text(f"  {item.title}: {rates}"))
            fresh = [text for text in item.examples if text not in shown][:_EXAMPLES]
            shown.update(fresh)
            for example in fresh:
                console.print(Text(f"    “{example}”", "italic"))
    for (monitor, state), number_of in quiet.items():
        console.print(Text(f"{state}  {monitor} on {count(number_of)} segments", "dim"))


def _telling(evidence: Iterable[EvidenceFacts]) -> Iterable[EvidenceFacts]:
    """Yield what a person should see: few of each family, and only what is beyond its band."""
    families: Counter[str] = Counter()
    for item in evidence:
        family = item.indicator.split("/")[0]
        if (item.beyond or item.share > _MAIN_SHARE) and families[family] < _OF_A_FAMILY:
            families[family] += 1
            yield item


def _where(key: str) -> str:
    segment = Segment.from_key(key)
    words = (segment.model, segment.version, segment.route, segment.customer)
    return " ".join(word for word in words if word)


def _print_comparison(comparison: VersionComparisonView, console: Console) -> None:
    console.print(
        f"{comparison.new.model} {comparison.new.route}: {comparison.new.version} against "
        f"{comparison.old.version}",
        markup=False,
    )
    for line in comparison.metrics:
        tone = {"worse": "red", "better": "green", "not worse": "green"}.get(line.outcome, "dim")
        rates = (
            f"{percent(line.new_rate)} against {percent(line.old_rate)} ({line.property}; "
            f"{points(line.low)} to {points(line.high)} points)"
        )
        console.print(Text.assemble("  ", (line.outcome, tone), f" {line.metric}: {rates}"))


def _judges(judges: Iterable[JudgeFacts]) -> Table:
    table = _table(
        "Judges: means over all answers, with 95% intervals",
        ("judge", "score", "mean", "interval", "judged", "invalid", "standing"),
    )
    for line in judges:
        ends = "none" if line.low is None else f"{number(line.low)} to {number(line.high)}"
        ends += " (early)" if line.early else ""
        standing = {True: "qualified", False: "unqualified", None: "unknown"}[line.qualified]
        tone = "green" if line.qualified else "yellow"
        share = "" if line.judged_share is None else f" ({percent(line.judged_share)})"
        table.add_row(
            Text(line.judge),
            Text(line.score or "no valid score"),
            Text("" if line.mean is None else number(line.mean)),
            Text(ends if line.score else ""),
            Text(f"{count(line.judged)}{share}"),
            Text(count(line.invalid)),
            Text(standing, tone, no_wrap=True),
        )
    return table


def _hallucination(found: Iterable[HallucinationFacts]) -> Table:
    table = _table(
        "Hallucination: answers with facts that their context does not hold",
        ("version", "with a context", "unsupported", "rate", "interval", "standing"),
        numbers=True,
    )
    for line in found:
        share = "" if line.context_share is None else f" ({percent(line.context_share)})"
        table.add_row(
            Text(line.version),
            Text(f"{count(line.with_context)}{share}"),
            Text(count(line.unsupported)),
            Text("not measured" if line.rate is None else percent(line.rate)),
            Text("none" if line.low is None else interval(line.low, line.high)),
            Text("qualified" if line.qualified else "unqualified", no_wrap=True),
        )
    return table


def _ledger(summary: Summary) -> Iterable[str]:
    ledger = summary.ledger
    captured = f"{count(ledger.captured)} captured + {count(ledger.dropped)} dropped"
    yield f"{count(ledger.served)} served = {captured}"
    for kind, processed in ledger.processed.items():
        dead, missing = count(ledger.dead_lettered.get(kind, 0)), count(ledger.missing.get(kind, 0))
        yield f"{kind}: {count(processed)} processed, {dead} dead letters, {missing} missing"
    skipped = sum(ledger.skipped.values())
    reasons = ", ".join(f"{count(answers)} {reason}" for reason, answers in ledger.skipped.items())
    yield (
        f"judges: {count(ledger.sampled)} sampled = {count(ledger.judged)} judged"
        f" + {count(skipped)} skipped" + (f" ({reasons})" if reasons else "")
    )
    balance = "in balance" if ledger.balanced else "NOT IN BALANCE"
    yield f"{balance}, {count(ledger.in_flight)} events on their way"
