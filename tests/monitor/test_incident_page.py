"""The page of an incident: what a person who is paged has to know, and can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from tests.monitor.made_up import NOW, Watch, alert, effect, segment, verdict
from tests.monitor.test_app import LOCAL

from tidegauge.monitor.errors import MonitorError
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitor.web.incident_lines import ordered_effects
from tidegauge.monitor.web.incident_page import IncidentPage, find_incident, incident_page
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.reports.runbooks import RUNBOOKS
from tidegauge.schemas.findings import Alert, JudgedAnswers, State
from tidegauge.schemas.sketches import Exemplar

DRIFT, QUALITY = "drift.topics-", "quality.likelihood-v2"


def shown(view: MonitorView, incident_id: str, past: Sequence[Alert] = ()) -> IncidentPage:
    found = find_incident(incident_id, view, past)
    assert found is not None
    return incident_page(found, view, now_ms=NOW + 3_000, false_alarm_days=30)


class Past:
    """Alerts that the log still has, or a log that is down."""

    def __init__(self) -> None:
        self.alerts: tuple[Alert, ...] = ()
        self.error = ""

    def __call__(self, _incident_id: str) -> Sequence[Alert]:
        if self.error:
            raise MonitorError(self.error)
        return self.alerts


@pytest.fixture
def past() -> Past:
    return Past()


@pytest.fixture
def watch(make_view: Callable[[], MonitorView]) -> Watch:
    return Watch(make_view())


@pytest.fixture
def client(watch: Watch, past: Past, estimator: Estimator, now_ms: int) -> TestClient:
    interface = Interface(
        watch=watch,
        now_ms=lambda: now_ms,
        estimator=estimator,
        registry=CollectorRegistry(),
        false_alarm_days=30,
        refresh_seconds=15,
        host="127.0.0.1",
        past=past,
    )
    return TestClient(create_app(interface), base_url=LOCAL)


def test_what_differs_begins_with_the_clearest_difference(
    make_view: Callable[[], MonitorView],
) -> None:
    found = shown(make_view(), DRIFT).differences
    assert (found[0].kind, found[0].what) == ("Caller", "acme")
    assert (found[1].kind, found[1].what, found[1].here, found[1].elsewhere) == (
        "Topic",
        "card, lost, stolen, freeze",
        "23.3%",
        "1.2% in the baseline",
    )
    clear = [line.clear for line in found]
    assert clear == sorted(clear, reverse=True)
    assert min(clear) > 0


def test_the_version_that_alarms_stands_beside_the_one_that_does_not(
    make_view: Callable[[], MonitorView],
) -> None:
    first = shown(make_view(), QUALITY).differences[0]
    assert (first.kind, first.what, first.elsewhere) == ("Version", "v2", "v1: no change found")


def test_named_topics_come_before_novelty_whose_levels_are_one_line() -> None:
    found = msgspec.structs.replace(
        verdict("drift.topics", "drift", State.WARN, segment(), 20.0),
        effects=(
            effect("novelty/above_0.8", "stranger than 80%", (0.2, 200, 0.5)),
            effect("novelty/above_0.95", "stranger than 95%", (0.05, 90, 0.3)),
            effect("cluster/17", "card, lost", (0.01, 98, 0.2)),
        ),
    )
    assert [line.title for line in ordered_effects(found)] == ["card, lost", "stranger than 80%"]


def test_the_cause_and_the_next_step_are_said(make_view: Callable[[], MonitorView]) -> None:
    view = make_view()
    swap = "It coincides with the swap from version v1 to v2 at 21:51."
    told = msgspec.structs.replace(view.alerts[1].verdict, coincidences=(swap,))
    alerts = (view.alerts[0], msgspec.structs.replace(view.alerts[1], verdict=told))
    verdicts = tuple(v for v in view.verdicts if v.signal != "quality")
    page = shown(msgspec.structs.replace(view, alerts=alerts, verdicts=verdicts), QUALITY)
    assert page.causes == (swap,)
    assert page.runbook is RUNBOOKS["quality"]


def test_answers_of_now_stand_beside_those_of_before(client: TestClient, watch: Watch) -> None:
    def answers(version: str, answer: str, *, current: bool) -> JudgedAnswers:
        shown = Exemplar(
            request_id=f"r-{version}",
            rank=0.1,
            text="Where is my card?",
            customer="acme",
            value=0.25,
            answer=answer,
            context="Cards take a week.",
            reason="It invents a street.",
        )
        judge = "rubric@60303ae2"
        return JudgedAnswers(
            version=version, current=current, judge=judge, score="helpfulness", worst=(shown,)
        )

    assert watch.shown is not None
    told = msgspec.structs.replace(
        watch.shown.alerts[1].verdict,
        evidence=(
            answers("v1", "In a week.", current=False),
            answers("v2", "In <b> street.", current=True),
        ),
    )
    verdicts = tuple(
        told if v.signal == "quality" and v.segment.version == "v2" else v
        for v in watch.shown.verdicts
    )
    alerts = (watch.shown.alerts[0], msgspec.structs.replace(watch.shown.alerts[1], verdict=told))
    watch.shown = msgspec.structs.replace(watch.shown, alerts=alerts, verdicts=verdicts)
    text = client.get(f"/i/{QUALITY}").text
    places = [
        text.index(words)
        for words in ("v2, now", "In &lt;b&gt; street.", "It invents", "v1, before", "In a week.")
    ]
    assert places == sorted(places)
    assert "rubric helpfulness" in text


def test_the_page_shows_what_one_can_do(client: TestClient) -> None:
    text = client.get(f"/i/{DRIFT}").text
    for wanted in (
        "support-chat: people ask for something else",
        "Most of them come from acme",
        "my card was swallowed by the machine, what now",
        f'name="incident" value="{DRIFT}"',
        ">Acknowledge</button>",
        ">Close and restart</button>",
        ">Silence</button>",
        "Nobody has acknowledged it",
        "/runbook/drift",
    ):
        assert wanted in text, wanted
    assert "Unsilence" not in text


def test_a_silenced_incident_can_be_unsilenced(client: TestClient, watch: Watch) -> None:
    assert watch.shown is not None
    silence = msgspec.structs.replace(watch.shown.silences[0], monitor="drift.*", segment="*")
    watch.shown = msgspec.structs.replace(watch.shown, silences=(silence,))
    assert ">Unsilence</button>" in client.get(f"/i/{DRIFT}").text


def test_activity_tells_who_acknowledged_it_and_why_an_alarm_ended(
    make_view: Callable[[], MonitorView],
) -> None:
    view = make_view()
    alarm = view.alerts[0]
    had = msgspec.structs.replace(
        alarm, status="acknowledged", owner="ada", note="on it", incident=DRIFT, time_ms=NOW - 9_000
    )
    over = msgspec.structs.replace(
        alarm,
        alert_id="over",
        incident=DRIFT,
        status="resolved",
        summary="closed by bo",
        time_ms=NOW - 5_000,
    )
    page = shown(msgspec.structs.replace(view, alerts=(had,)), DRIFT, (over,))
    assert page.actions == (
        (NOW - 5_000, "Openings of conversations ended: closed by bo"),
        (NOW - 9_000, "ada acknowledged Openings of conversations: on it"),
    )


def test_an_incident_that_has_ended_is_read_from_the_log(client: TestClient, past: Past) -> None:
    over = verdict("errors.rate", "errors", State.WARN, segment("v1"), 19.0)
    past.alerts = (
        msgspec.structs.replace(
            alert(over, "warn", 90), status="resolved", alert_id="a1", incident="c0ffee"
        ),
        msgspec.structs.replace(
            alert(over, "warn", 95), status="resolved", alert_id="c0ffee", incident="c0ffee"
        ),
    )
    answer = client.get("/i/c0ffee")
    assert answer.status_code == 200
    assert "None of its alarms fires any more" in answer.text
    assert "Acknowledge</button>" not in answer.text


def test_what_is_not_known_is_not_there_and_a_log_that_is_down_is_told_of(
    client: TestClient, past: Past
) -> None:
    assert client.get("/i/nothing").status_code == 404
    past.error = "no broker answers <b>"
    answer = client.get("/i/nothing")
    assert answer.status_code == 404
    assert "no broker answers &lt;b&gt;" in answer.text


def test_every_signal_has_a_runbook(client: TestClient) -> None:
    for signal in ("latency", "quality", "drift", "errors", "cost", "swap", "pipeline"):
        assert RUNBOOKS[signal].title in client.get(f"/runbook/{signal}").text
    assert client.get("/runbook/<b>").status_code == 404
