"""Baselines in words and tables, for people; strangers' text is stripped of control codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tidegauge.detection.reference import Reference
from tidegauge.detection.seasons import slot_count
from tidegauge.drift.baseline import DriftBaseline, UnitBaseline
from tidegauge.drift.units import Unit
from tidegauge.monitoring.rate_power import NoticedRise, rise_sentence
from tidegauge.reports.formatting import count, moment, percent
from tidegauge.reports.reference_text import back_test_sentence, refusal_sentence
from tidegauge.schemas.operations import BaselineManifest, ExcludedTime
from tidegauge.usecases.references import drift_references
from tidegauge.usecases.topic_power import NoticedTopic, noticed_topics, topic_sentence

__all__ = [
    "excluded_lines",
    "listed_lines",
    "origin_lines",
    "promise_lines",
    "rise_lines",
    "show_drift",
    "topic_lines",
]

_SEGMENTS_SHOWN = 10
_NAMES = {Unit.OPENING: "openings", Unit.FOLLOWUP: "follow-ups"}
_MAKINGS = {
    "built": "built by hand",
    "provisional": "provisional, from the first traffic; it is replaced as it grows",
    "accepted": "from the time since a change that was declared normal",
    "renewed": "from the last clean time",
}


def listed_lines(manifests: Iterable[BaselineManifest], active: Iterable[str | None]) -> list[str]:
    """Return a line for each baseline."""
    in_force = set(active)
    lines = []
    for one in manifests:
        events = plain(one.summary.get("events", "")) or "an unknown number of"
        said = f"{one.baseline_id}: {one.origin.how} at {moment(one.created_ms)}, {events} events"
        if one.baseline_id in in_force:
            said += ", in force"
        elif one.dropped_ms is not None:
            said += ", no longer kept"
        lines.append(said)
    return lines


def topic_lines(topics: Iterable[NoticedTopic]) -> list[str]:
    """Return how soon new topics would be noticed, a line each."""
    return [f"power      {plain(topic_sentence(topic))}" for topic in topics]


def promise_lines(by_monitor: Mapping[str, Mapping[str, Reference]]) -> list[str]:
    """Return what each monitor promises on each segment, in words.

    Args:
        by_monitor: Name of the monitor -> segment key -> reference.
    """
    return [
        f"promise    {plain(monitor)}{', ' + plain(key) if key else ''}: {_in_sentences(reference)}"
        for monitor, references in sorted(by_monitor.items())
        for key, reference in sorted(references.items())[:_SEGMENTS_SHOWN]
    ]


def rise_lines(rises: Iterable[NoticedRise]) -> list[str]:
    """Return how soon rises of rates would be noticed, a line each."""
    return [f"power      {plain(rise_sentence(rise))}" for rise in rises]


def origin_lines(manifest: BaselineManifest) -> list[str]:
    """Return how a baseline came to be, what it left out, and what it promises, in words."""
    origin = manifest.origin
    by = f" by {plain(origin.who)}" if origin.who else ""
    lines = [f"made         {moment(manifest.created_ms)}{by}: {_MAKINGS[origin.how]}"]
    if origin.replaces:
        lines.append(f"replaces     {origin.replaces}")
    lines += [f"changed      {plain(change)}" for change in origin.changes]
    lines += [f"since first  {plain(change)}" for change in origin.drift]
    lines += excluded_lines(origin.excluded)
    if promise := manifest.summary.get("promise", ""):
        lines.append(f"in short     {plain(promise)}")
    return lines


def excluded_lines(excluded: Iterable[ExcludedTime]) -> list[str]:
    """Return the times that a baseline leaves out, a line each."""
    return [
        f"left out     {moment(one.start_ms)} to {moment(one.end_ms)}"
        f"{', ' + plain(one.model) if one.model else ''}: {plain(one.reason)}"
        for one in excluded
    ]


def _in_sentences(reference: Reference) -> str:
    said = refusal_sentence(reference) or back_test_sentence(reference)
    return f"{said} {reference.remark}".rstrip()


def show_drift(console: Console, baseline: DriftBaseline) -> None:
    """Print what a drift baseline holds and what it can notice."""
    facts, widest = baseline.facts, baseline.openings.references[""]
    console.print(f"baseline {baseline.baseline_id}", markup=False)
    span = f", {moment(facts['from_ms'])} to {moment(facts['to_ms'])}" if "from_ms" in facts else ""
    console.print(
        f"requests   {count(facts['openings'])} openings of conversations, "
        f"{count(facts['followups'])} follow-ups ({count(facts['texts'])} different texts){span}"
    )
    if baseline.no_followups:
        console.print(f"follow-ups are not tested: {plain(baseline.no_followups)}")
    console.print(f"embedder   {plain(baseline.embedder)}, text: {baseline.preparation.selection}")
    slots = slot_count(widest.season)
    console.print(
        f"season     {widest.season}{f' in {widest.zone}' if slots > 1 else ''}"
        + (f", {widest.covered_slots} of {slots} slots covered" if slots > 1 else "")
    )
    keys = [key for key in baseline.openings.references if key]
    shown = ", ".join(plain(key) for key in keys[:_SEGMENTS_SHOWN])
    more = f" and {len(keys) - _SEGMENTS_SHOWN} more" if len(keys) > _SEGMENTS_SHOWN else ""
    console.print(f"segments   all{', ' + shown if shown else ''}{more}", markup=False)
    for language, why in baseline.pooled.items():
        said = f"{language} has no monitor of its own: {why}"
        console.print(f"language   {said}", markup=False)
    for line in promise_lines(drift_references(baseline)):
        console.print(line, markup=False)
    for line in topic_lines(noticed_topics(baseline)):
        console.print(line, markup=False)
    for unit, known in baseline.units.items():
        console.print(_clusters(unit, known))


def _clusters(unit: Unit, known: UnitBaseline) -> Table:
    texts = (Column(title, overflow="fold") for title in ("terms", "examples"))
    table = Table("cluster", "share", *texts, title=f"{_NAMES[unit]} by topic")
    for k, cluster in enumerate(known.clusters):
        table.add_row(
            str(k),
            percent(known.references[""].rate[k]),
            Text(plain(cluster.title)),
            Text("\n".join(plain(text) for text in cluster.exemplars)),
        )
    return table


def plain(text: str) -> str:
    """Return text without anything that a terminal would act on."""
    return "".join(c if c.isprintable() else " " for c in text)
