"""Makes baselines that the monitor or a person asks for, and compares them with earlier ones.

A draft is built and back-tested first; it is published and put in force in a second step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.difference import moved_rates, moved_sentences
from tidegauge.drift.errors import DriftError
from tidegauge.drift.fitting import check_enough
from tidegauge.monitoring.baseline_difference import compare_references, difference_sentences
from tidegauge.monitoring.baseline_life import replaced
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.incidents import within
from tidegauge.monitoring.monitor_processor import References
from tidegauge.monitoring.partial_baseline import replace_references
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.reports.formatting import duration
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.errors import BaselineStoreError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.operations import (
    BaselineKind,
    BaselineManifest,
    BaselineOrigin,
    ExcludedTime,
    Making,
)
from tidegauge.usecases.baseline_settings import BaselineSettings
from tidegauge.usecases.build_baseline import (
    EmbeddedRequests,
    FitChoices,
    Report,
    build_drift,
    build_rates,
    embed_past,
    publish_baseline,
)
from tidegauge.usecases.errors import ShortBaselineError
from tidegauge.usecases.made_baselines import MadeBaseline
from tidegauge.usecases.past_requests import ReadRequests, from_log
from tidegauge.usecases.references import drift_references
from tidegauge.usecases.stretch import Stretch, incidents_of_log
from tidegauge.workers.drift.settings import DriftSettings

__all__ = ["BaselineMaker", "Draft", "Wish"]

_CALLER_CAP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A baseline that is asked for.

    Attributes:
        how: What it is.
        start_ms: Start of its time at the earliest, Unix milliseconds.
        end_ms: End of its time.
        who: Who asks, empty for the monitor.
        accepts: Alarms whose change it declares normal.
        since: Model -> since when its traffic is normal.
        monitors: Monitors of these models whose references are new; empty for a whole baseline.
        least_ms: Least length, milliseconds.
    """

    how: Making
    start_ms: int
    end_ms: int
    who: str = ""
    accepts: tuple[str, ...] = ()
    since: Mapping[str, int] = field(default_factory=dict)
    monitors: tuple[str, ...] = ()
    least_ms: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A baseline that is built and not yet published.

    Attributes:
        baseline: The baseline.
        references: What it holds to be normal.
        origin: How it came to be.
        differs: Whether it differs from its anchor by as much as an alarm would need.
        remarks: What a person should know of its requests.
    """

    baseline: RatesBaseline | DriftBaseline
    references: References
    origin: BaselineOrigin
    differs: bool
    remarks: tuple[str, ...] = ()

    @property
    def kind(self) -> BaselineKind:
        """The kind."""
        return "rates" if isinstance(self.baseline, RatesBaseline) else "drift"

    @property
    def promises(self) -> bool:
        """Whether at least one monitor keeps its promise on it."""
        return any(not one.refused for found in self.references.values() for one in found.values())


@dataclass(frozen=True, slots=True)
class _Comparison:
    sentences: tuple[str, ...] = ()
    differs: bool = False


class BaselineMaker:
    """Builds, compares, publishes and activates baselines of both kinds.

    Args:
        kafka: How to reach Kafka.
        drift: Settings of the embedder and of how texts are made, the drift worker's.
        settings: Time zone and limits.
        report: Told of the progress.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        drift: DriftSettings,
        settings: BaselineSettings,
        report: Report = lambda *_: None,
    ) -> None:
        self._kafka = kafka
        self._drift = drift
        self._settings = settings
        self._report = report
        self._store = BaselineStore(kafka)

    def in_force(self, kind: BaselineKind) -> BaselineManifest | None:
        """Return the manifest of the baseline in force, None without one."""
        baseline_id = self._store.active(kind)
        return self._store.manifest(baseline_id) if baseline_id else None

    def draft(self, kind: BaselineKind, wish: Wish) -> Draft:
        """Build a baseline, back-tested and compared with the one in force.

        Raises:
            ShortBaselineError: The log holds too little time.
            TidegaugeError: Requests or responses are too few, or a library is missing.
        """
        before = self.in_force(kind)
        known = (before.origin.since if before else {}) | dict(wish.since)
        since = {model: at for model, at in known.items() if at > wish.start_ms}
        excluded = (
            *incidents_of_log(
                self._kafka, wish.start_ms, wish.end_ms, wish.end_ms, accepted=wish.accepts
            ),
            *_before_acceptance(since, wish.start_ms),
            *within(self._settings.excluded_days, wish.start_ms, wish.end_ms),
        )
        stretch = Stretch(wish.start_ms, wish.end_ms, excluded, must_be_held=False)
        origin = BaselineOrigin(
            how=wish.how,
            who=wish.who,
            accepts=_accepted(before, wish),
            since=since,
            monitors=wish.monitors,
            replaces=before.baseline_id if before else "",
            anchor=_anchor(before, wish.how),
            excluded=excluded,
        )
        if kind == "rates":
            return self._rates(stretch, wish, origin)
        return self._requests(stretch, wish, origin)

    def publish(self, draft: Draft, *, activate: bool, note: str) -> MadeBaseline:
        """Store a draft, and put it in force if that is asked for and it promises anything.

        Args:
            draft: The draft.
            activate: Whether to put it in force.
            note: Why, for people.
        """
        baseline_id = publish_baseline(self._kafka, draft.baseline, draft.origin)
        active = activate and draft.promises
        if active:
            self._store.activate(baseline_id, note)
        return MadeBaseline(
            kind=draft.kind,
            baseline_id=baseline_id,
            how=draft.origin.how,
            active=active,
            said=note if active else f"{note}: built and not in force",
            promise=self._store.manifest(baseline_id).summary.get("promise", ""),
            changes=draft.origin.changes,
            drift=draft.origin.drift,
            excluded=draft.origin.excluded,
        )

    def drop_replaced(self, kind: BaselineKind, alarms: Iterable[Alert]) -> None:
        """Delete the contents of provisional baselines that nothing needs any more.

        Args:
            kind: Their kind.
            alarms: The alarms that fire.

        Raises:
            LogError: The broker does not answer, or did not accept the records.
        """
        in_force = self.in_force(kind)
        if in_force is not None and (names := replaced(in_force, self._store.list(), alarms)):
            self._store.drop(names)

    def _rates(self, stretch: Stretch, wish: Wish, origin: BaselineOrigin) -> Draft:
        self._report("reading sketches", 0)
        fresh = build_rates(self._kafka, stretch, zone=self._settings.calendar)
        _check_length(fresh.to_ms - fresh.from_ms, wish.least_ms)
        old = self._load_rates(origin.replaces)
        made = fresh
        if wish.monitors and old is not None:
            made = replace_references(old, fresh, models=wish.since.keys(), monitors=wish.monitors)

        def compared(baseline_id: str) -> _Comparison:
            if not baseline_id:
                return _Comparison()
            other = self._load_rates(baseline_id)
            if other is None:
                said = f"cannot be compared with {baseline_id}: it cannot be read any more"
                return _Comparison((said,), differs=True)
            found = compare_references(other.references, made.references)
            return _Comparison(difference_sentences(found), any(one.large for one in found))

        changes, drift = compared(origin.replaces), compared(origin.anchor)
        origin = msgspec.structs.replace(origin, changes=changes.sentences, drift=drift.sentences)
        return Draft(made, made.references, origin, drift.differs)

    def _requests(self, stretch: Stretch, wish: Wish, origin: BaselineOrigin) -> Draft:
        found, embedded = self._embedded(stretch, wish.least_ms)
        choices = FitChoices(caller_cap=_CALLER_CAP, zone=self._settings.calendar)
        made = build_drift(embedded, self._drift, choices, self._report)
        changes = self._moved(origin.replaces, embedded)
        drift = self._moved(origin.anchor, embedded)
        origin = msgspec.structs.replace(origin, changes=changes.sentences, drift=drift.sentences)
        notes = tuple(found.notes())
        return Draft(made, drift_references(made), origin, drift.differs, notes)

    def moved_since(self, older: str, span: tuple[int, int]) -> tuple[str, ...]:
        """Return how the requests of a time differ from a drift baseline, a sentence each.

        Args:
            older: Id of the baseline.
            span: From and to, Unix milliseconds.

        Raises:
            TidegaugeError: The baseline is unknown, or the log holds the time no longer.
        """
        _, embedded = self._embedded(Stretch(span[0], span[1] + 1), 0)
        return self._moved(older, embedded).sentences

    def _embedded(self, stretch: Stretch, least_ms: int) -> tuple[ReadRequests, EmbeddedRequests]:
        """Return a stretch's requests with their vectors."""
        self._report("reading requests", 0)
        found = from_log(
            self._kafka,
            self._drift.preparation(),
            stretch,
            segment=None,
            caller_cap=_CALLER_CAP,
            window_ms=self._drift.sketching().window_ms,
        )
        check_enough(found.past)
        times = [one.time_ms for one in found.past if one.time_ms is not None]
        _check_length(max(times) - min(times) if times else 0, least_ms)
        found.limit(self._settings.limit)
        return found, embed_past(found, self._drift, self._report)

    def _moved(self, baseline_id: str, embedded: EmbeddedRequests) -> _Comparison:
        """Return how the requests differ from an earlier baseline."""
        if not baseline_id:
            return _Comparison()
        try:
            older = DriftBaseline.from_bytes(self._store.load(baseline_id), baseline_id)
        except (DriftError, BaselineStoreError) as error:
            return _Comparison((f"cannot be compared with {baseline_id}: {error}",), differs=True)
        if older.embedder != embedded.embedder:
            said = f"cannot be compared with {baseline_id}: it is of another embedder"
            return _Comparison((said,), differs=True)
        found = moved_rates(older, embedded.past, embedded.vectors)
        return _Comparison(moved_sentences(found), bool(found))

    def _load_rates(self, baseline_id: str) -> RatesBaseline | None:
        """Return an earlier baseline; None without one, or where it cannot be read any more."""
        if not baseline_id:
            return None
        try:
            return RatesBaseline.from_bytes(self._store.load(baseline_id), baseline_id)
        except (RatesBaselineError, BaselineStoreError):
            return None


def _before_acceptance(since: Mapping[str, int], start_ms: int) -> list[ExcludedTime]:
    return [
        ExcludedTime(
            start_ms=start_ms,
            end_ms=since_ms,
            model=model,
            reason="before the change that was accepted",
        )
        for model, since_ms in sorted(since.items())
    ]


def _accepted(before: BaselineManifest | None, wish: Wish) -> tuple[str, ...]:
    """Return the alarms whose change is normal: a baseline that has grown declares the same."""
    known = before.origin.accepts if before is not None and wish.how == "accepted" else ()
    return tuple(dict.fromkeys((*known, *wish.accepts)))


def _anchor(before: BaselineManifest | None, how: Making) -> str:
    """Return the baseline that changes add up from; empty where the new one begins anew."""
    if before is None or how != "renewed" or before.origin.how == "provisional":
        return ""
    return before.origin.anchor or before.baseline_id


def _check_length(length_ms: int, least_ms: int) -> None:
    if length_ms < least_ms:
        raise ShortBaselineError(
            f"the log holds {duration(length_ms / 1000)} of traffic, and a baseline needs "
            f"{duration(least_ms / 1000)}"
        )
