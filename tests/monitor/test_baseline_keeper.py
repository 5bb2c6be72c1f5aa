"""The monitor has baselines built when they are due, and shows what they wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidegauge.monitor.baseline_keeper import BaselineKeeper, run_command
from tidegauge.monitor.errors import BusyError
from tidegauge.monitor.web.baseline_pages import BaselinePages
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitoring.baseline_life import LifePlan
from tidegauge.monitoring.view import MonitorView
from tidegauge.runtime.kafka.errors import LogUnavailableError
from tidegauge.schemas.operations import BaselineKind, BaselineManifest, BaselineOrigin
from tidegauge.usecases.made_baselines import Kept, MadeBaseline

NOW = 1_700_000_000_000
HOUR = 3_600_000

MADE = MadeBaseline(
    kind="rates",
    baseline_id="rates-1",
    how="provisional",
    active=True,
    said="provisional, from the traffic so far",
    promise="On 2 h of traffic: alarms are promised for errors.rate.",
    changes=(),
    drift=(),
    excluded=(),
)


class Deployment:
    """A list of baselines and a command line that builds one of rates."""

    def __init__(self, view: MonitorView) -> None:
        segments = [msgspec.structs.replace(one, first_ms=NOW - HOUR) for one in view.segments]
        self.shown: MonitorView | None = msgspec.structs.replace(
            view, alerts=(), verdicts=(), baselines=(), segments=tuple(segments)
        )
        self.alarming = view.alerts
        self.now_ms = NOW
        self.in_force: dict[BaselineKind, str] = {}
        self.manifests: list[BaselineManifest] = []
        self.commands: list[tuple[str, ...]] = []
        self.answer: tuple[int, str, str] | None = None
        self.away = False
        self.keeper = BaselineKeeper(
            self, lambda: self.shown, LifePlan(), lambda: self.now_ms, look_seconds=1, run=self.run
        )

    def list(self) -> list[BaselineManifest]:
        if self.away:
            raise LogUnavailableError("127.0.0.1:1", "away")
        return self.manifests

    def active(self, kind: BaselineKind) -> str | None:
        return self.in_force.get(kind)

    def run(self, arguments: Sequence[str], stop: threading.Event) -> tuple[int, str, str]:
        assert not stop.is_set()
        self.commands.append(tuple(arguments))
        if self.answer is not None:
            return self.answer
        if arguments[1] == "accept":
            return 0, msgspec.json.encode((MADE,)).decode(), ""
        self.in_force["rates"] = "rates-1"
        self.manifests = [
            BaselineManifest(
                baseline_id="rates-1",
                kind="rates",
                fingerprint="f",
                created_ms=NOW,
                parts=1,
                sha256="",
                summary={
                    "promise": MADE.promise,
                    "power": "a rise would be noticed within about 420 answers",
                    "from_ms": str(NOW - 2 * HOUR),
                    "to_ms": str(NOW),
                },
                origin=BaselineOrigin(how="provisional"),
            )
        ]
        kept = (
            Kept(kind="rates", said=MADE.said, made=MADE, attempted=True),
            Kept(kind="drift", said="150 texts, 200 are needed", attempted=True),
        )
        return 0, msgspec.json.encode(kept).decode(), ""

    def client(self) -> TestClient:
        app = FastAPI()
        keeper = self.keeper
        BaselinePages(keeper.life, keeper.accept, lambda _: None).mount(app, Renderer(0))
        return TestClient(app, follow_redirects=False)


@pytest.fixture
def deployment(make_view: Callable[[], MonitorView]) -> Deployment:
    return Deployment(make_view())


def test_the_first_traffic_makes_a_provisional_baseline(deployment: Deployment) -> None:
    deployment.keeper.look()
    assert deployment.commands == [("baseline", "keep", "--json")]
    deployment.now_ms += 1_000
    deployment.keeper.look()
    assert len(deployment.commands) == 1, "drift is still due, and waits a minute"
    page = deployment.client().get("/baselines").text
    assert MADE.promise in page
    assert "within about 420 answers" in page
    assert "in force" in page
    assert "covers 2 h of 14 days" in page
    found = deployment.client().get("/api/baselines").json()
    assert found["in_force"] == {"rates": "rates-1", "drift": ""}
    assert "200 are needed" in found["next_steps"]["drift"]


def test_attempts_that_come_to_nothing_are_made_ever_less_often(deployment: Deployment) -> None:
    deployment.answer = (2, "", "tidegauge: no responses in this range of time\n")
    for minute in range(60):
        deployment.now_ms = NOW + minute * 60_000
        deployment.keeper.look()
    assert 5 <= len(deployment.commands) <= 10
    assert deployment.keeper.life().next_steps["rates"] == "no responses in this range of time"


def test_the_first_minutes_are_waited_for(deployment: Deployment) -> None:
    view = deployment.shown
    assert view is not None
    young = [msgspec.structs.replace(one, first_ms=NOW - 60_000) for one in view.segments]
    deployment.shown = msgspec.structs.replace(view, segments=tuple(young))
    deployment.keeper.look()
    assert deployment.commands == []
    assert "needs 10 min of traffic" in deployment.keeper.life().next_steps["drift"]


def test_nothing_is_built_without_traffic_or_while_the_broker_is_away(
    deployment: Deployment,
) -> None:
    view = deployment.shown
    assert view is not None
    deployment.shown = msgspec.structs.replace(view, segments=())
    deployment.keeper.look()
    deployment.shown, deployment.away = None, True
    deployment.keeper.look()
    deployment.shown = view
    deployment.keeper._read_for = None
    deployment.keeper.look()
    assert deployment.commands == []


def test_an_alarm_stops_growth_and_is_accepted_from_the_page(deployment: Deployment) -> None:
    deployment.keeper.look()
    deployment.now_ms = NOW + 3 * HOUR
    (rates,) = deployment.manifests
    drift = msgspec.structs.replace(
        rates, baseline_id="drift-1", kind="drift", origin=BaselineOrigin()
    )
    deployment.manifests, deployment.in_force["drift"] = [rates, drift], "drift-1"
    view = deployment.shown
    assert view is not None
    deployment.shown = msgspec.structs.replace(view, alerts=deployment.alarming)
    before = len(deployment.commands)
    deployment.keeper.look()
    assert "an alarm fires" in deployment.keeper.life().next_steps["rates"]
    client = deployment.client()
    assert client.post("/baselines/accept", data={}).status_code == 422
    form = {"incident": "abc", "who": "Ada\x00", "note": "larger model"}
    accepted = client.post("/baselines/accept", data=form)
    assert (accepted.status_code, accepted.headers["location"]) == (303, "/baselines")
    with pytest.raises(BusyError):
        deployment.keeper.accept("another", "", "")
    assert client.post("/baselines/accept", data=form).status_code == 409
    deployment.keeper.look()
    words = deployment.commands[before]
    assert words[:3] == ("baseline", "accept", "--json")
    assert words[-2:] == ("--", "abc")
    assert "Accepted as the new normal" in client.get("/baselines").text


def test_what_cannot_be_accepted_yet_is_said(deployment: Deployment) -> None:
    deployment.answer = (2, "", "tidegauge: On the 20 s since 10:00: try again from 11:00 on\n")
    deployment.keeper.accept("abc", "", "")
    deployment.keeper.look()
    assert "try again from 11:00" in deployment.client().get("/baselines").text


def test_a_command_that_gives_no_result_is_told_and_the_next_one_is_run(
    deployment: Deployment,
) -> None:
    deployment.answer = (0, "a library's warning", "")
    deployment.keeper.accept("abc", "", "")
    deployment.keeper.look()
    failed = deployment.keeper.life().acceptance
    assert failed is not None
    assert "`tidegauge baseline accept` gave no result" in (failed.error or "")

    def no_memory(_: Sequence[str], __: threading.Event) -> tuple[int, str, str]:
        raise OSError(12, "Cannot allocate memory")

    deployment.keeper._run = no_memory
    deployment.now_ms += HOUR
    deployment.keeper.look()
    assert "Cannot allocate memory" in deployment.keeper.life().next_steps["rates"]
    assert not deployment.keeper.life().building
    deployment.keeper._run, deployment.answer = deployment.run, None
    deployment.now_ms += HOUR
    deployment.keeper.look()
    assert deployment.in_force == {"rates": "rates-1"}


def test_a_command_of_ours_is_run() -> None:
    status, output, _ = run_command(["baseline", "--help"], threading.Event())
    assert status == 0
    assert "accept" in output
