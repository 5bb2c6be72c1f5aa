"""The baseline of rates: normal rates of latency, errors, cost and quality.

It is built from the sketches of a range of time, for each segment and each of its parents, so
that a new version without a baseline of its own is tested against its model's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TypeAlias

import msgspec

from tidegauge.detection.reference import Reference
from tidegauge.detection.seasons import UTC
from tidegauge.monitoring.catalog import (
    COST_REQUEST,
    COST_WORK,
    ERRORS_RATE,
    LATENCY_FIRST_TOKEN,
    LATENCY_TOTAL,
    hallucination_labels,
    hallucination_monitor,
    judge_name,
    judged_scores,
    quality_monitor,
)
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rate_references import (
    LeftOut,
    cost_reference,
    error_reference,
    hallucination_reference,
    latency_reference,
    quality_reference,
)
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Monitor
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import merge_sketches

__all__ = ["FINGERPRINT", "RatesBaseline", "build_rates_baseline"]

FINGERPRINT = "rates/3"
"""Version of the method; it changes when the same sketches would give other references."""

_VERSION = 3
_MOSTLY = 0.5
_COSTS = {COST_REQUEST: measures.COST_USD, COST_WORK: measures.WORK_TOKENS}
_DURATIONS = {
    LATENCY_TOTAL: (measures.LATENCY_MS, "latency"),
    LATENCY_FIRST_TOKEN: (measures.TIME_TO_FIRST_TOKEN_MS, "time to first token"),
}

References: TypeAlias = dict[str, dict[str, Reference]]


class RatesBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a baseline of kind ``rates``.

    Attributes:
        from_ms: Start of its first window.
        to_ms: End of its last window.
        events: Number of responses in the range.
        references: Monitor's name -> segment key -> reference.
        unqualified: Judges whose scores were left out, since they failed their golden set.
        left_out: ``monitor segment-key`` -> reason for having no reference.
        version: Version of the document.
    """

    from_ms: int
    to_ms: int
    events: int
    references: References
    unqualified: tuple[str, ...] = ()
    left_out: dict[str, str] = {}
    version: int = _VERSION

    def to_bytes(self) -> bytes:
        """Return the document's encoding; the same content gives the same bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, document: bytes, baseline_id: str) -> RatesBaseline:
        """Read a document and put the baseline's identity into its references.

        Raises:
            RatesBaselineError: The document is not of this version.
        """
        try:
            read = msgspec.json.decode(document, type=cls)
        except msgspec.DecodeError as error:
            raise RatesBaselineError(
                f"baseline {baseline_id} is not a baseline of rates ({error}): build it again"
            ) from error
        if read.version != _VERSION:
            raise RatesBaselineError(
                f"baseline {baseline_id} has version {read.version}, this release reads "
                f"{_VERSION}: build it again"
            )
        return msgspec.structs.replace(read, references=_identified(read.references, baseline_id))

    def summary(self) -> dict[str, str]:
        """Return the facts for people that the baseline's manifest carries."""
        segments = {key for by_segment in self.references.values() for key in by_segment}
        return {
            "events": str(self.events),
            "from_ms": str(self.from_ms),
            "to_ms": str(self.to_ms),
            "monitors": ", ".join(sorted(self.references)),
            "segments": str(len(segments)),
            "unqualified": ", ".join(self.unqualified),
        }


def _identified(references: References, baseline_id: str) -> References:
    """Put the id into the references that are new; one taken over keeps the id it is from."""
    return {
        monitor: {
            key: msgspec.structs.replace(reference, baseline=reference.baseline or baseline_id)
            for key, reference in by_segment.items()
        }
        for monitor, by_segment in references.items()
    }


def build_rates_baseline(sketches: Iterable[Sketch], *, zone: str = UTC) -> RatesBaseline:
    """Build the references of every monitor of rates from a range of time.

    Args:
        sketches: Sketches of kinds ``vitals`` and ``quality``, each once; others are ignored.
        zone: Time zone of the seasons' slots.

    Raises:
        RatesBaselineError: The sketches hold no responses.
    """
    groups: dict[tuple[str, str], dict[int, Sketch]] = defaultdict(dict)
    first, last, events = None, 0, 0
    for sketch in sketches:
        if sketch.kind == "drift":
            continue
        start, end = sketch.window_start_ms, sketch.window_start_ms + sketch.window_ms
        first = start if first is None else min(first, start)
        last = max(last, end)
        events += sketch.events if sketch.kind == "vitals" else 0
        for segment in (sketch.segment, *sketch.segment.parents()):
            windows = groups[sketch.kind, segment.key]
            moved = msgspec.structs.replace(sketch, segment=segment)
            windows[start] = merge_sketches(windows[start], moved) if start in windows else moved
    if first is None or not events:
        raise RatesBaselineError(
            "no responses in this range of time: check --from and --to, and that the "
            "vitals worker has been running"
        )
    drafts = _Drafts(zone)
    for (kind, key), by_start in sorted(groups.items()):
        series = [by_start[start] for start in sorted(by_start)]
        add = drafts.add_vitals if kind == "vitals" else drafts.add_quality
        add(Segment.from_key(key), series)
    return RatesBaseline(
        from_ms=first,
        to_ms=last,
        events=events,
        references={name: dict(drafts.references[name]) for name in sorted(drafts.references)},
        unqualified=tuple(sorted(drafts.unqualified)),
        left_out=drafts.left_out,
    )


class _Drafts:
    """The references built so far."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self.references: References = defaultdict(dict)
        self.left_out: dict[str, str] = {}
        self.unqualified: set[str] = set()

    def add_vitals(self, segment: Segment, windows: Sequence[Sketch]) -> None:
        present = {name for window in windows for name in window.histograms}
        self._add(ERRORS_RATE, segment, error_reference(segment, windows, self._zone))
        for monitor, value in _COSTS.items():
            if value in present:
                self._add(monitor, segment, cost_reference(value, segment, windows, self._zone))
        for monitor, (value, title) in _DURATIONS.items():
            if value in present:
                self._add(
                    monitor, segment, latency_reference(value, title, segment, windows, self._zone)
                )

    def add_quality(self, segment: Segment, windows: Sequence[Sketch]) -> None:
        whole = reduce(merge_sketches, windows)
        scores: dict[str, list[str]] = defaultdict(list)
        for label, name in judged_scores(whole):
            scores[label].append(name)
        # Of several specifications of a judge, the one with the most answers counts.
        labels = {
            judge_name(label): label for label in sorted(scores, key=lambda one: _asked(whole, one))
        }
        for judge, label in sorted(labels.items()):
            unqualified = whole.hits.get(measures.unqualified(label), 0)
            if unqualified > _MOSTLY * _asked(whole, label):
                self.unqualified.add(judge)
                continue
            reference = quality_reference(
                label, sorted(scores[label]), segment, windows, self._zone
            )
            self._add(quality_monitor(judge), segment, reference)
        self._add_hallucination(segment, windows, whole)

    def _add_hallucination(
        self, segment: Segment, windows: Sequence[Sketch], whole: Sketch
    ) -> None:
        found = sorted(
            hallucination_labels(whole),
            key=lambda one: whole.hits[measures.grounding_checked(one)],
        )
        for judge, label in sorted({judge_name(label): label for label in found}.items()):
            checked = whole.hits[measures.grounding_checked(label)]
            if whole.hits.get(measures.unqualified(label), 0) > _MOSTLY * checked:
                self.unqualified.add(judge)
                continue
            reference = hallucination_reference(label, segment, windows, self._zone)
            self._add(hallucination_monitor(judge), segment, reference)

    def _add(self, monitor: Monitor, segment: Segment, found: Reference | LeftOut) -> None:
        if isinstance(found, LeftOut):
            self.left_out[f"{monitor.name} {segment.key}"] = found.reason
        else:
            self.references[monitor.name][segment.key] = found


def _asked(whole: Sketch, label: str) -> int:
    """Return the number of answers that a judge was asked to score."""
    asked = whole.trials.get(measures.unqualified(label))
    if asked is not None:
        return asked
    prefix = measures.score(label, "")
    return max(
        histogram.count(values)
        for name, values in whole.histograms.items()
        if name.startswith(prefix)
    )
