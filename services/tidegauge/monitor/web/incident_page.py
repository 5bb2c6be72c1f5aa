"""The page of one incident: what, since when, for whom, what differs, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tidegauge.monitor.web.alarms import ChangeLine, change_line
from tidegauge.monitor.web.charts import alarm_chart
from tidegauge.monitor.web.incident_lines import (
    SIGNAL_NAMES,
    IncidentLine,
    alarm_verdict,
    incident_line,
    now_and_normal,
    ordered_effects,
)
from tidegauge.monitor.web.segment_page import Name, alarm_query, name, silence_of
from tidegauge.monitoring.incidents import Incident, incidents
from tidegauge.monitoring.view import MonitorView, SilenceInForce
from tidegauge.reports.callers import CallerLine, CallerTable
from tidegauge.reports.chart import Chart
from tidegauge.reports.drift_card import Card, EffectLine, Quote, card, missing_text
from tidegauge.reports.formatting import percent
from tidegauge.reports.runbooks import Runbook, runbook
from tidegauge.reports.standing import ALARMS, Standing, promise, standing
from tidegauge.reports.text import clip
from tidegauge.reports.titles import monitor_title, score_title
from tidegauge.schemas.findings import Alert, State, Verdict

__all__ = ["AlarmRow", "Contrast", "IncidentPage", "find_incident", "incident_page"]

_QUOTES: Final = 6
_CHARTS: Final = 3
_SHOWN: Final = 2
_ANSWER: Final = 400
_HOUR_MS: Final = 3_600_000
_DIFFERENCES: Final = 8


@dataclass(frozen=True, slots=True)
class Contrast:
    """Something in which the traffic that alarms differs from the baseline or from the rest.

    Attributes:
        kind: ``Version``, ``Route``, ``Caller``, ``Topic`` or the like.
        what: Which one.
        here: What is found where it alarms.
        elsewhere: What is found in the baseline, or where it does not alarm.
        clear: How clear it is, to order by: the distance between both intervals.
    """

    kind: str
    what: str
    here: str
    elsewhere: str
    clear: float


@dataclass(frozen=True, slots=True)
class AnswerShown:
    """One judged answer with its question, the context it was given, its score and the reason."""

    request_id: str
    question: str
    context: str
    answer: str
    value: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class AnswersShown:
    """Judged answers of one version, the worst first."""

    title: str
    score: str
    answers: tuple[AnswerShown, ...]


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """One alarm of an incident.

    Attributes:
        alarm: The alarm.
        signal: Its signal's name.
        name: The segment.
        standing: Its severity, or that it has ended, for people.
        sentence: What it says.
        now: Its leading rate now.
        normal: What is normal.
        effect: Its leading effect, None without one.
        chart: The rate by which it is known over time, None where it was not followed.
        card: Its effects, evidence and doubts.
        silence: The silence that it is under, if any.
        query: Query string of its own page.
    """

    alarm: Alert
    signal: str
    name: Name
    standing: Standing
    sentence: str
    now: str
    normal: str
    effect: EffectLine | None
    chart: Chart | None
    card: Card
    silence: SilenceInForce | None
    query: str


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """One incident in full.

    Attributes:
        line: The incident in a line.
        fires: Whether it still fires.
        alarms: Its alarms, the loudest first.
        affected: Who is affected, a sentence each.
        differences: What differs, the clearest first.
        callers: Callers of the requests that show it, None where they are not known.
        quotes: Requests that show it.
        answers: Judged answers, those of now beside those of before.
        causes: What coincides with its beginning, a sentence each.
        runbook: What to check and to do.
        activity: Changes of state of its monitors, newest first.
        actions: When an alarm was acknowledged or ended, and by whom or why; newest first.
        notes: What people wrote who have it: name and note.
        promise: The deployment's promise.
        compared: Fields of the form that compares the time before its onset with that since.
    """

    line: IncidentLine
    fires: bool
    alarms: tuple[AlarmRow, ...]
    affected: tuple[str, ...]
    differences: tuple[Contrast, ...]
    callers: CallerTable | None
    quotes: tuple[Quote, ...]
    answers: tuple[AnswersShown, ...]
    causes: tuple[str, ...]
    runbook: Runbook
    activity: tuple[ChangeLine, ...]
    actions: tuple[tuple[int, str], ...]
    notes: tuple[tuple[str, str], ...]
    promise: str
    compared: Mapping[str, str]

    @property
    def leading(self) -> AlarmRow:
        """The alarm that tells most: the loudest one with an effect, else the loudest."""
        return next((row for row in self.alarms if row.effect), self.alarms[0])

    @property
    def charts(self) -> tuple[Chart, ...]:
        """The charts of its loudest alarms that were followed."""
        return tuple(row.chart for row in self.alarms if row.chart is not None)[:_CHARTS]

    @property
    def is_silenced(self) -> bool:
        """Whether one of its alarms is silenced."""
        return any(row.silence for row in self.alarms)


def find_incident(
    incident_id: str, view: MonitorView, past: Sequence[Alert] = ()
) -> Incident | None:
    """Return an incident that fires or, from past alerts, one that has ended; None if unknown.

    Args:
        incident_id: Its identity.
        view: What the monitor knows.
        past: The latest state of each alarm that the log still has.
    """
    firing = {alarm.alert_id: alarm for alarm in view.alerts}
    known = {alarm.alert_id: alarm for alarm in past} | firing
    wanted = [a for a in known.values() if incident_id in (a.incident, a.alert_id)]
    return next((one for one in incidents(wanted) if one.incident_id == incident_id), None)


def incident_page(
    found: Incident, view: MonitorView, *, now_ms: int, false_alarm_days: float
) -> IncidentPage:
    """Return the page of an incident.

    Args:
        found: The incident.
        view: What the monitor knows.
        now_ms: The reader's moment.
        false_alarm_days: The deployment's promise.
    """
    rows = tuple(_row(alarm, found, view, now_ms, false_alarm_days) for alarm in found.alarms)
    verdicts = [alarm_verdict(alarm, view) for alarm in found.alarms]
    leading = next((row for row in rows if row.effect), rows[0])
    shown = [q for row in rows for effect in row.card.effects for q in effect.quotes]
    quotes = {quote.request_id: quote for quote in shown if quote.text or quote.missing}
    return IncidentPage(
        line=incident_line(found, view, now_ms),
        fires=found.fires,
        alarms=rows,
        affected=_affected(found, rows),
        differences=_differences(found, rows, view),
        callers=next((row.card.leading.callers for row in rows if row.card.leading), None),
        quotes=tuple(quotes.values())[:_QUOTES],
        answers=_answers(verdicts),
        causes=_causes(verdicts),
        runbook=runbook(leading.alarm.monitor),
        activity=_activity(found, view, now_ms),
        actions=_actions(found),
        notes=tuple(
            dict.fromkeys((clip(a.owner, 60), clip(a.note, 300)) for a in found.alarms if a.owner)
        ),
        promise=f"{promise(false_alarm_days)} {leading.card.verdict.back_test}".strip(),
        compared=_compared(found, now_ms),
    )


def _compared(found: Incident, now_ms: int) -> dict[str, str]:
    """Return a report's form: as long before the onset as since, an hour at least.

    What all alarms have in common (model, route, customer, version) selects the exchanges; before
    the onset those of all versions, for a new one had none.
    """
    onset_ms = found.onset.time_ms
    ended = [alarm.time_ms for alarm in found.alarms]
    end_ms = now_ms if found.fires else max(ended)
    before_ms = max(_HOUR_MS, end_ms - onset_ms)
    moments = {
        "reference_from": onset_ms - before_ms,
        "reference_to": onset_ms,
        "from": onset_ms,
        "to": max(end_ms, onset_ms + 1_000),
    }
    segments = {alarm.segment for alarm in found.alarms}
    shared = {
        name: next(iter(values))
        for name in ("model", "route", "customer", "version")
        if len(values := {getattr(segment, name) for segment in segments}) == 1
    }
    return shared | {
        name: datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        for name, time_ms in moments.items()
    }


def _row(alarm: Alert, incident: Incident, view: MonitorView, now_ms: int, days: float) -> AlarmRow:
    verdict = alarm_verdict(alarm, view)
    effects = ordered_effects(verdict)
    current, normal = now_and_normal(effects[0]) if effects else ("", "")
    return AlarmRow(
        alarm=alarm,
        signal=SIGNAL_NAMES[alarm.signal],
        name=name(alarm.segment),
        standing=standing(State(alarm.severity) if alarm.fires else State.OK),
        sentence=clip(verdict.sentence, 900),
        now=current,
        normal=normal,
        effect=effects[0] if effects else None,
        chart=alarm_chart(alarm, view, incident.onset.time_ms),
        card=card(verdict, now_ms=now_ms, false_alarm_days=days),
        silence=silence_of(verdict, view.silences),
        query=alarm_query(alarm.monitor, alarm.segment),
    )


def _affected(found: Incident, rows: Sequence[AlarmRow]) -> tuple[str, ...]:
    said = []
    for row in rows:
        effect = row.effect
        if effect is not None and effect.trials:
            said.append(
                f"{row.name.text}: {effect.hits:,} of {effect.trials:,} since it began "
                f"({effect.title})."
            )
    if not said:
        said = [f"{row.name.text}." for row in rows]
    if found.model:
        tables = [row.card.leading.callers for row in rows if row.card.leading]
        said += [table.sentence for table in tables if table is not None][:1]
    return tuple(dict.fromkeys(said))


def _differences(
    found: Incident, rows: Sequence[AlarmRow], view: MonitorView
) -> tuple[Contrast, ...]:
    """Return what differs: between segments that alarm and those that do not, then by effect."""
    lines = [*_elsewhere(found, view)]
    for row in rows:
        if row.alarm.signal in {"swap", "pipeline"}:
            continue
        for effect in ordered_effects(row.card.verdict):
            line = _effect_difference(effect)
            if line is not None:
                lines.append(line)
        table = row.card.leading.callers if row.card.leading else None
        lines += [_caller_difference(caller) for caller in table.lines] if table else []
    lines = [line for line in lines if line.clear > 0]
    unique = {(line.kind, line.what): line for line in sorted(lines, key=lambda d: d.clear)}
    return tuple(sorted(unique.values(), key=lambda d: -d.clear))[:_DIFFERENCES]


def _caller_difference(caller: CallerLine) -> Contrast:
    apart = caller.of_these.low - caller.of_all.high
    return Contrast(
        "Caller",
        caller.name,
        f"{percent(caller.of_these.share)} of these requests",
        f"{percent(caller.of_all.share)} of all",
        apart,
    )


def _effect_difference(effect: EffectLine) -> Contrast | None:
    if effect.current is None:
        return None
    apart = max(effect.current_low - effect.high, effect.low - effect.current_high)
    return Contrast(
        _kind(effect.indicator),
        effect.title,
        percent(effect.current),
        f"{percent(effect.baseline)} in the baseline",
        apart,
    )


def _kind(indicator: str) -> str:
    families = {
        "cluster": "Topic",
        "language": "Language",
        "length": "Length",
        "characters": "Length",
        "novelty": "Novelty",
        "latency": "Latency",
        "error": "Errors",
        "failed": "Check",
        "score": "Score",
        "cost": "Cost",
    }
    words = indicator.replace("follow", "").lower()
    return next((title for word, title in families.items() if word in words), "Rate")


def _elsewhere(found: Incident, view: MonitorView) -> list[Contrast]:
    """Return versions and routes that alarm beside those of the same monitor that are well."""
    lines = []
    for alarm in found.alarms:
        if alarm.signal in {"swap", "pipeline"}:
            continue
        peers = [
            verdict
            for verdict in view.verdicts
            if verdict.monitor == alarm.monitor
            and verdict.segment.model == alarm.segment.model
            and verdict.state == State.OK
        ]
        for kind, field in (("Version", "version"), ("Route", "route"), ("Customer", "customer")):
            mine = getattr(alarm.segment, field)
            well = {getattr(peer.segment, field) for peer in peers} - {"", mine}
            if mine and well:
                others = ", ".join(clip(value, 40) for value in sorted(well)[:4])
                lines.append(
                    Contrast(kind, clip(mine, 60), "alarms", f"{others}: no change found", 2.0)
                )
    return lines


def _answers(verdicts: Sequence[Verdict]) -> tuple[AnswersShown, ...]:
    """Return the judged answers of the loudest alarm that has some, those of now first."""
    found = next((verdict.evidence for verdict in verdicts if verdict.evidence), ())
    return tuple(
        AnswersShown(
            title=clip(f"{shown.version or 'Answers'}, {'now' if shown.current else 'before'}", 80),
            score=score_title(f"{shown.judge}/{shown.score}"),
            answers=tuple(
                AnswerShown(
                    request_id=clip(one.request_id, 80),
                    question=clip(one.text, _ANSWER) or missing_text(one),
                    context=clip(one.context, _ANSWER),
                    answer=clip(one.answer, _ANSWER),
                    value=one.value,
                    reason=clip(one.reason, _ANSWER),
                )
                for one in (*shown.worst[:_SHOWN], *shown.typical[:_SHOWN])
            ),
        )
        for shown in sorted(found, key=lambda shown: not shown.current)[:2]
    )


def _causes(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    said = [sentence for verdict in verdicts for sentence in verdict.coincidences]
    told = [sentence for sentence in said if not sentence.startswith("No swap")]
    return tuple(dict.fromkeys(told or said))


def _activity(found: Incident, view: MonitorView, now_ms: int) -> tuple[ChangeLine, ...]:
    members = {(alarm.monitor, alarm.segment) for alarm in found.alarms}
    lines = [
        change_line(change, now_ms)
        for change in reversed(view.history)
        if (change.monitor, change.segment) in members
        and change.time_ms >= found.onset.time_ms
        and (change.before is not None or change.after in ALARMS)
    ]
    return tuple(lines[:20])


def _actions(found: Incident) -> tuple[tuple[int, str], ...]:
    said = []
    for alarm in found.alarms:
        title = monitor_title(alarm.monitor)
        if alarm.status == "acknowledged":
            note = f": {clip(alarm.note, 300)}" if alarm.note else ""
            said.append((alarm.time_ms, f"{clip(alarm.owner, 60)} acknowledged {title}{note}"))
        elif not alarm.fires:
            said.append((alarm.time_ms, f"{title} ended: {clip(alarm.summary, 300)}"))
    return tuple(sorted(said, reverse=True))
