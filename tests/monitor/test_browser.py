"""A person at a real browser, before a monitor that has found something."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from prometheus_client import CollectorRegistry
from tests.monitor.browser import CHROMEDRIVER, CHROMIUM, Browser, browse, serve
from tests.monitoring.conftest import Harness, Traffic

from tidegauge.monitor.baseline_keeper import Acceptance, BaselineLife
from tidegauge.monitor.report_queue import ReportQueue as ReportDesk
from tidegauge.monitor.report_queue import ReportStore
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitor.web.baseline_pages import BaselinePages
from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.label_pages import LabelPages
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.monitor.web.request_pages import RequestPages
from tidegauge.monitor.web.segment_page import alarm_query, query
from tidegauge.monitor.web.topic_pages import TopicPages
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas import encode
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.findings import Verdict
from tidegauge.schemas.operations import BaselineManifest, Control
from tidegauge.schemas.topics import CONTROLS, RESPONSES, Topic
from tidegauge.streaming.processor import Output, Partition, Record
from tidegauge.usecases.compare_labels import LabelComparison
from tidegauge.usecases.errors import UnexplainedError
from tidegauge.usecases.explain import Explanation
from tidegauge.usecases.recent_exchanges import (
    ExchangeFilter,
    FoundExchanges,
    recent_exchanges,
)
from tidegauge.usecases.report import ReportMaker
from tidegauge.usecases.report_order import ReportOrder

WINDOWS = 30
LATENCY = "latency.total"
HOUR = 3_600_000
WORD = "pässword"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None, reason="chromium or chromedriver is not installed"
)


@dataclass
class Monitor:
    """The monitor's own processor, slowed traffic behind it, and its page before it.

    Controls go to the processor as the log would hand them to it.
    """

    folder: Path
    estimator: Estimator
    refresh_seconds: int = 15
    ordered: list[ReportOrder] = field(default_factory=list)
    acceptance: Acceptance | None = None
    in_force: str = "first"
    traffic: Traffic = field(default_factory=Traffic)
    harness: Harness = field(init=False)
    reports: ReportDesk = field(init=False)

    def __post_init__(self) -> None:
        self.harness = self.traffic.harness()
        document = build_rates_baseline(self.traffic.baseline_windows()).to_bytes()
        baseline = RatesBaseline.from_bytes(document, "rates-1")
        self.harness.monitor.use("rates", "rates-1", baseline.references, self.now_ms())
        self.harness.now_ms = self.traffic.start_of(WINDOWS)
        vitals = self.traffic.writers["vitals"]
        for window in range(WINDOWS):
            self.harness.give(
                self.traffic.vitals(window, 4, slower=3.0), vitals.progress(window + 1)
            )
        maker = ReportMaker(partial(exchanges, self.now_ms()), rows=100)

        def make(order: ReportOrder, path: Path) -> tuple[str, ...]:
            self.ordered.append(order)
            return maker.make(order, path)

        self.reports = ReportDesk(ReportStore(self.folder, keep=3), make, self.now_ms)

    def now_ms(self) -> int:
        return self.harness.now_ms

    def view(self) -> MonitorView:
        return self.harness.monitor.view()

    def ready(self) -> bool:
        return True

    def alive(self) -> bool:
        return True

    def publish(self, output: Output) -> None:
        self.harness.give(output.event, topic=output.topic)

    @property
    def alerts(self) -> list[str]:
        """What has become of the alarm, in order."""
        return [alert.status for alert in self.harness.alerts(LATENCY)]

    @property
    def controls(self) -> int:
        """Controls that the processor has been given."""
        return self.harness.offsets.get(CONTROLS.name, 0)

    def recent(self, wanted: ExchangeFilter, now_ms: int) -> FoundExchanges:
        def read(topic: Topic, start_ms: int) -> Iterator[Record]:
            yield from exchanges(self.now_ms(), topic, start_ms, now_ms)

        return recent_exchanges(read, wanted, now_ms=now_ms, most=5)

    def find(self, request_id: str) -> ResponseEvent | None:
        found = self.recent(ExchangeFilter(), self.now_ms()).exchanges
        return next((event for event in found if event.request_id == request_id), None)

    def judgments(self, _event: ResponseEvent) -> tuple[JudgmentEvent, ...]:
        return ()

    def life(self) -> BaselineLife:
        return BaselineLife(
            in_force={"rates": self.in_force, "drift": ""},
            next_steps={"rates": "It is renewed in a day."},
            baselines=(rates_baseline("second"), rates_baseline("first")),
            acceptance=self.acceptance,
        )

    def accept(self, name: str, who: str, note: str) -> None:
        self.acceptance = Acceptance(name, who, note, error="It has lasted for too short a time.")

    def activate(self, name: str) -> None:
        self.in_force = name

    def app(self, password: str = "") -> FastAPI:
        return create_app(
            Interface(
                watch=self,
                now_ms=self.now_ms,
                estimator=self.estimator,
                registry=CollectorRegistry(),
                false_alarm_days=30,
                refresh_seconds=self.refresh_seconds,
                host="127.0.0.1",
                password=password,
                past=lambda _: self.harness.alerts()[-1:],
                pages=(
                    ControlPages(self.view, self.publish, self.now_ms, 30),
                    TopicPages(self.view, unexplained, self.now_ms, 30),
                    ReportPages(self.reports, self.now_ms),
                    RequestPages(self, self.now_ms),
                    CostPages(lambda: None),
                    LabelPages(lambda *_: LabelComparison((), None, None), self.now_ms),
                    BaselinePages(self.life, self.accept, self.activate),
                ),
            )
        )


def rates_baseline(name: str) -> BaselineManifest:
    return BaselineManifest(
        baseline_id=name, kind="rates", fingerprint="f", created_ms=1, parts=1, sha256="0"
    )


def unexplained(_verdict: Verdict, _time_ms: int) -> Explanation:
    raise UnexplainedError("no drift baseline is in force")


def exchanges(now_ms: int, topic: Topic, start_ms: int, end_ms: int) -> Iterable[Record]:
    """A log of the last day, whose last hour is slow."""
    if topic is not RESPONSES:
        return
    rng = random.Random(4)  # noqa: S311 - made-up exchanges
    for offset in range(720):
        ago_ms = (720 - offset) * 120_000
        time_ms = now_ms - ago_ms
        event = ResponseEvent(
            request_id=f"r{offset}",
            producer_id="g",
            sequence=offset,
            time_ms=time_ms,
            segment=Traffic().version(1),
            customer="acme",
            status=200,
            latency_ms=rng.lognormvariate(6.5, 0.5) * (3 if ago_ms < HOUR else 1),
        )
        if start_ms <= time_ms < end_ms:
            yield Record(Partition(topic.name, 0), offset, encode(event))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browse(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    chromium.open("about:blank")
    chromium.complaints()
    chromium.hosts()
    return chromium


@pytest.fixture
def monitor(tmp_path: Path, estimator: Estimator) -> Monitor:
    found = Monitor(tmp_path / "reports", estimator)
    assert found.alerts == ["firing"]
    return found


@pytest.fixture(params=["127.0.0.1", "localhost"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def undisturbed(browser: Browser, host: str) -> Iterator[None]:
    """Promise that the console stays empty and that nobody but the monitor is asked."""
    yield
    assert browser.complaints() == []
    assert browser.hosts() == {host}


def incident(monitor: Monitor) -> str:
    return f"/i/{monitor.harness.alerts(LATENCY)[0].alert_id}"


def test_an_incident_is_acknowledged_and_closed(
    browser: Browser, monitor: Monitor, host: str
) -> None:
    with serve(monitor.app()) as port, undisturbed(browser, host):
        browser.open(f"http://{host}:{port}/")
        assert "1 incident" in browser.text
        browser.follow("answers are slower")
        browser.fill("Acknowledge", who="Ada", note="a slow upstream")
        browser.press("Acknowledge")
        assert "goes on firing, in your name" in browser.text
        assert "Ada has it" in browser.text
        browser.fill("Close and restart", who="Ada")
        browser.press("Close and restart")
        assert "None of its alarms fires any more" in browser.text
        browser.follow("Now")
        assert "1 incident" not in browser.text
    assert monitor.alerts == ["firing", "acknowledged", "resolved"]
    assert monitor.view().alerts == ()


def test_an_alarm_has_the_same_buttons(browser: Browser, monitor: Monitor) -> None:
    with serve(monitor.app()) as port:
        browser.open(f"http://127.0.0.1:{port}/alarm?{alarm(monitor)}")
        browser.press("Acknowledge")
        assert "goes on firing, in your name" in browser.text
        browser.press("Close and restart")
        assert "starts over within seconds" in browser.text
    assert monitor.alerts == ["firing", "acknowledged", "resolved"]


def test_an_incident_is_silenced_and_unsilenced(
    browser: Browser, monitor: Monitor, host: str
) -> None:
    with serve(monitor.app()) as port, undisturbed(browser, host):
        browser.open(f"http://{host}:{port}{incident(monitor)}")
        browser.fill("Silence", hours="1.5", who="Ada", note="load test")
        browser.press("Silence")
        assert "raises no alerts from now on" in browser.text
        (silence,) = monitor.view().silences
        assert (silence.monitor, silence.segment) == (LATENCY, monitor.traffic.version(1).key)
        assert (silence.who, silence.note) == ("Ada", "load test")
        assert silence.until_ms == monitor.now_ms() + 1.5 * HOUR
        browser.press("Unsilence")
        assert "raises alerts again" in browser.text
        assert monitor.view().silences == ()
        browser.press("Silence")
        browser.follow("Setup")
        browser.press("Unsilence")
        assert monitor.view().silences == ()
    assert monitor.alerts == ["firing"]


def test_every_link_leads_somewhere(browser: Browser, monitor: Monitor) -> None:
    with serve(monitor.app()) as port:
        home = f"http://127.0.0.1:{port}/"
        browser.open(home)
        seen, queue = {home}, [(home, link) for link in browser.links]
        while queue:
            page, link = queue.pop()
            address = link.partition("#")[0]
            if address in seen or not address.startswith(home):
                continue
            seen.add(address)
            if address.removeprefix(home).startswith(("api/", "metrics", "openapi")):
                assert browser.status(address) == 200, (page, link)
                continue
            assert browser.status(address) != 404, (page, link)
            browser.open(page)
            browser.click(link)
            assert "Not found" not in browser.text, (page, link)
            queue += [(address, found) for found in browser.links]
        # Without a drift baseline nothing can be broken down by topic.
        complaints = [text for text in browser.complaints() if "/alarm/topics" not in text]
        assert not complaints
    paths = {address.removeprefix(home.rstrip("/")).partition("?")[0] for address in seen}
    assert {"/topics", "/releases", "/requests", "/setup", "/pipeline", "/reports"} <= paths
    assert {incident(monitor), "/segment", "/alarm", "/runbook/latency"} <= paths


def test_a_page_renews_itself_and_keeps_what_is_open(browser: Browser, monitor: Monitor) -> None:
    monitor.refresh_seconds = 1
    with serve(monitor.app()) as port, undisturbed(browser, "127.0.0.1"):
        browser.open(f"http://127.0.0.1:{port}/topics")
        browser.open(f"http://127.0.0.1:{port}{incident(monitor)}")
        browser.follow_within("How this could be a false alarm")
        browser.fill("Acknowledge", who="Ad")
        control = Control(action="acknowledge", monitor=LATENCY, segment="*", time_ms=1, who="Bo")
        monitor.harness.give(control, topic=CONTROLS)
        browser.wait_for("Bo has it")
        assert "came by chance" in browser.text, "the details are still open"
        assert browser.value("Acknowledge", "who") == "Ad"


def test_what_is_replaced_stays_open_filled_in_and_focused(
    browser: Browser, monitor: Monitor
) -> None:
    monitor.refresh_seconds = 1
    with serve(monitor.app()) as port, undisturbed(browser, "127.0.0.1"):
        browser.open(f"http://127.0.0.1:{port}{incident(monitor)}")
        browser.wait_until_drawn(1)
        browser.follow_within("As a table")
        rows = browser.text.count("\n", browser.text.index("As a table"))
        browser.fill("Acknowledge", note="a slow")
        link = f"http://127.0.0.1:{port}/alarm?{alarm(monitor)}"
        browser.focus(link)
        window = WINDOWS + 300
        monitor.harness.now_ms = monitor.traffic.start_of(window)
        vitals = monitor.traffic.writers["vitals"]
        monitor.harness.give(
            monitor.traffic.vitals(window, 4, slower=3.0), vitals.progress(window + 1)
        )
        key = monitor.traffic.version(1).key
        silence = Control(action="silence", monitor=LATENCY, segment=key, time_ms=1)
        monitor.harness.give(silence, topic=CONTROLS)
        browser.wait_for("Unsilence")
        assert browser.value("Acknowledge", "note") == "a slow", "beside a new form"
        assert browser.focused == link
        assert browser.text.count("\n", browser.text.index("As a table")) > rows


def test_a_mistake_is_told_and_corrected(browser: Browser, monitor: Monitor) -> None:
    with serve(monitor.app()) as port:
        browser.open(f"http://127.0.0.1:{port}/alarm?{alarm(monitor)}")
        browser.fill("Silence", hours="a while")
        browser.press("Silence")
        assert "a silence lasts up to 168 hours: give a number" in browser.text
        assert monitor.controls == 0
        browser.fill("Silence", hours="2")
        browser.press("Silence")
        assert "Silenced until" in browser.text
    assert len(monitor.view().silences) == 1


def test_a_report_is_made_and_read(browser: Browser, monitor: Monitor, host: str) -> None:
    with serve(monitor.app()) as port, undisturbed(browser, host):
        browser.open(f"http://{host}:{port}/reports")
        browser.fill("Build the report", reference_from="-20h")
        browser.press("Build the report")
        browser.wait_for("No alarm fired in the current range.")
        assert "A report is being built" not in browser.text
        (report,) = monitor.reports.store.list()
        browser.click(f"http://{host}:{port}/reports/{report.report_id}")
        browser.wait_for("What the monitor says")
        assert "100 of 570 exchanges" in browser.text
        assert "30 of 30 exchanges" in browser.text
    now_ms = monitor.now_ms()
    assert report.reference == (now_ms - 20 * HOUR, now_ms - HOUR)
    assert report.current == (now_ms - HOUR, now_ms)


def test_an_incident_is_one_click_from_its_report(browser: Browser, monitor: Monitor) -> None:
    onset_ms = monitor.harness.alerts(LATENCY)[0].onset_ms
    with serve(monitor.app()) as port, undisturbed(browser, "127.0.0.1"):
        browser.open(f"http://127.0.0.1:{port}{incident(monitor)}")
        browser.press("Compare before and since in a report")
        assert "A report is being built" in browser.text or monitor.reports.job is not None
        monitor.reports.wait(60)
    assert monitor.ordered
    reference, current = monitor.ordered[0].reference, monitor.ordered[0].current
    assert reference.end_ms == current.start_ms == onset_ms
    assert current.end_ms == monitor.now_ms()


def test_a_password_is_asked_for_once(browser: Browser, monitor: Monitor) -> None:
    with serve(monitor.app(WORD)) as port, undisturbed(browser, "127.0.0.1"):
        browser.open(f"http://ada:{quote(WORD)}@127.0.0.1:{port}/alarm?{alarm(monitor)}")
        browser.press("Acknowledge")
        assert "goes on firing, in your name" in browser.text
        browser.press("Silence")
        assert "Silenced until" in browser.text
        browser.follow("Reports")
        browser.press("Build the report")
        browser.wait_for("No alarm fired in the current range.")
    assert monitor.alerts == ["firing", "acknowledged"]
    assert len(monitor.view().silences) == 1
    assert len(monitor.reports.store.list()) == 1


def test_charts_are_drawn_and_read_without_scripts(browser: Browser, monitor: Monitor) -> None:
    with serve(monitor.app()) as port, undisturbed(browser, "127.0.0.1"):
        address = f"http://127.0.0.1:{port}/segment?{query(monitor.traffic.version(1))}&range=15m"
        browser.open(address)
        browser.wait_until_drawn(4)
        browser.follow("6h")
        browser.wait_until_drawn(4)
        browser.open(f"http://127.0.0.1:{port}{incident(monitor)}")
        browser.wait_until_drawn(1)
        plain = urlopen(address).read().decode()
    assert plain.count("<polyline points=") >= 4
    assert "As a table" in plain


def test_requests_are_filtered(browser: Browser, monitor: Monitor) -> None:
    with serve(monitor.app()) as port, undisturbed(browser, "127.0.0.1"):
        browser.open(f"http://127.0.0.1:{port}/requests")
        browser.fill("Show", customer="globex")
        browser.press("Show")
        assert "None in the last hour" in browser.text
        browser.fill("Show", customer="acme")
        browser.press("Show")
        browser.follow("r719")
        assert "Measured" in browser.text


def test_a_change_is_declared_normal_and_a_baseline_put_in_force(
    browser: Browser, monitor: Monitor
) -> None:
    with serve(monitor.app()) as port, undisturbed(browser, "127.0.0.1"):
        browser.open(f"http://127.0.0.1:{port}{incident(monitor)}")
        browser.fill("This is the new normal", who="Ada", note="a new prompt")
        browser.press("This is the new normal")
        assert "Not accepted yet" in browser.text
        assert "It has lasted for too short a time." in browser.text
        browser.press("Put in force")
    assert monitor.acceptance is not None
    assert (monitor.acceptance.who, monitor.acceptance.note) == ("Ada", "a new prompt")
    assert incident(monitor).endswith(monitor.acceptance.incident)
    assert monitor.in_force == "second"


def test_no_page_has_a_form_that_is_not_tested_here(browser: Browser, monitor: Monitor) -> None:
    segment, wanted = query(monitor.traffic.version(1)), alarm(monitor)
    pages = ["/", f"/segment?{segment}", f"/alarm?{wanted}", incident(monitor), "/reports"]
    pages += ["/topics", "/releases", "/requests", "/setup", "/pipeline", "/baselines"]
    pages += ["/costs", "/labels", "/request/r719", "/runbook/latency"]
    with serve(monitor.app()) as port, undisturbed(browser, "127.0.0.1"):
        buttons = []
        for page in pages:
            browser.open(f"http://127.0.0.1:{port}{page}")
            buttons += browser.buttons
    actions = ["Acknowledge", "Silence", "Close and restart"]
    compare, normal = "Compare before and since in a report", "This is the new normal"
    forms = ["Build the report", "Show", "Put in force"]
    assert buttons == [*actions, compare, *actions, normal, *forms]


@pytest.mark.parametrize("page", ["open", "silent", "sandboxed"])
def test_another_sites_page_can_change_nothing(
    browser: Browser, monitor: Monitor, host: str, page: str
) -> None:
    with serve(monitor.app()) as port, serve(foreign(monitor, port)) as other:
        browser.open(f"http://{host}:{other}/{page}")
        if page == "sandboxed":
            browser.enter_frame()
        browser.press("Acknowledge")
        assert "this comes from another site's page" in browser.text
    assert monitor.controls == 0
    assert monitor.alerts == ["firing"]


def foreign(monitor: Monitor, port: int) -> FastAPI:
    """Return a site whose pages post what the monitor's own page would.

    The first says where it comes from; browsers send ``Origin: null`` for the others.
    """
    fields = {
        "action": "acknowledge",
        "monitor": LATENCY,
        "segment": monitor.traffic.version(1).key,
    }
    hidden = "".join(f"<input type=hidden name={name} value='{v}'>" for name, v in fields.items())
    form = (
        f"<form method=post action=http://127.0.0.1:{port}/controls>{hidden}"
        "<button>Acknowledge</button></form>"
    )
    pages = {
        "open": form,
        "silent": f"<meta name=referrer content=no-referrer>{form}",
        "sandboxed": f'<iframe sandbox="allow-forms allow-scripts" srcdoc="{form}"></iframe>',
    }
    app = FastAPI()

    @app.get("/{page}")
    def show(page: str) -> HTMLResponse:
        return HTMLResponse(f"<!doctype html>{pages[page]}")

    return app


def alarm(monitor: Monitor) -> str:
    return alarm_query(LATENCY, monitor.traffic.version(1))
