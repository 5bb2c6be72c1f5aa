from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidegauge.adapters.evidently import UNFINISHED, Preface
from tidegauge.monitor.errors import BusyError, MonitorError, UnknownReportError
from tidegauge.monitor.report_queue import Report, ReportQueue, ReportStore
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.reports.rows import Tables
from tidegauge.schemas import Segment, cloud_event_headers, encode
from tidegauge.schemas.evaluations import EmbeddingEvent
from tidegauge.schemas.exchange import Heartbeat, Message, ResponseEvent
from tidegauge.schemas.topics import EMBEDDINGS, HEARTBEATS, RESPONSES, Topic
from tidegauge.streaming.processor import Partition, Record
from tidegauge.usecases.errors import TimeRangeError
from tidegauge.usecases.recent_exchanges import ExchangeFilter
from tidegauge.usecases.report import ReportMaker, sampled, spoken_language
from tidegauge.usecases.report_order import ReportOrder
from tidegauge.usecases.time_range import TimeRange, parse_moment, parse_range

HOUR = 3_600_000
BEFORE, AFTER = TimeRange(0, HOUR), TimeRange(HOUR, 2 * HOUR)
SEGMENT = Segment(model="chat", version="v1")


def response(number: int, time_ms: int) -> ResponseEvent:
    return ResponseEvent(
        request_id=f"r{number}",
        producer_id="g",
        sequence=number,
        time_ms=time_ms,
        segment=SEGMENT,
        customer="acme",
        status=200,
        latency_ms=float(number % 7),
        messages=(
            Message(role="user", content="wo ist mein Paket und wie lange dauert es"),
            Message(role="assistant", content="Where is it?"),
        ),
    )


def read(topic: Topic, start_ms: int, end_ms: int) -> Iterable[Record]:
    """A log whose timestamps are a minute later than its events."""
    events: list[tuple[Topic, int, bytes]] = [
        *((RESPONSES, t, encode(response(t, t))) for t in range(0, 2 * HOUR, 60_000)),
        (RESPONSES, 5, b"{no event"),
        (
            EMBEDDINGS,
            HOUR,
            encode(
                EmbeddingEvent(
                    request_id=f"r{HOUR}",
                    producer_id="d",
                    sequence=1,
                    time_ms=HOUR,
                    segment=SEGMENT,
                    baseline="b",
                    embedder="e",
                    cluster=3,
                    novelty=0.5,
                )
            ),
        ),
    ]
    for offset, (where, time_ms, value) in enumerate(events):
        if where is topic and start_ms <= time_ms + 60_000 < end_ms:
            yield Record(Partition(topic.name, 0), offset, value)


@dataclass
class NotingRenderer:
    """Writes titles only, and notes what it was to write and whether it was warmed in time."""

    written: list[tuple[Tables, Preface]] = field(default_factory=list)
    warmed: bool = False
    warmed_before_reading: bool = True

    def warm(self) -> None:
        self.warmed = True

    def render(self, compared: Tables, preface: Preface, path: Path) -> None:
        self.written.append((compared, preface))
        path.write_text(preface.title)

    def read(self, topic: Topic, start_ms: int, end_ms: int) -> Iterable[Record]:
        self.warmed_before_reading &= self.warmed
        return read(topic, start_ms, end_ms)


def test_a_range_is_one_of_event_time_whenever_the_events_arrived() -> None:
    found = sampled(read, AFTER, rows=1_000, titles={3: "parcels"})
    assert (found.seen, len(found.rows), found.unreadable) == (60, 60, 0)
    assert sampled(read, BEFORE, rows=10).unreadable == 1
    clusters = {row["cluster"] for row in found.rows if "cluster" in row}
    assert clusters == {"3 parcels"}
    assert {row["language"] for row in found.rows} == {"de"}


def test_what_was_erased_is_no_unreadable_record() -> None:
    def read_with_tombstones(topic: Topic, start_ms: int, end_ms: int) -> Iterable[Record]:
        yield from read(topic, start_ms, end_ms)
        yield Record(Partition(topic.name, 0), 10_000, b"", key=b"r-1")

    found = sampled(read_with_tombstones, AFTER, rows=10)
    assert (found.seen, found.unreadable) == (60, 0)


def shipped_late(hours: int) -> Callable[[Topic, int, int], Iterable[Record]]:
    """Return a log to which the exchanges of the first half hour came hours later."""

    def read_late(topic: Topic, start_ms: int, end_ms: int) -> Iterable[Record]:
        if topic is not RESPONSES:
            return
        for number, time_ms in enumerate(range(0, 8 * HOUR, 60_000)):
            arrived_ms = time_ms + (hours * HOUR if time_ms < HOUR // 2 else 1_000)
            if start_ms <= arrived_ms < end_ms:
                headers = cloud_event_headers(
                    event_id="1", kind=ResponseEvent, source="g", time_ms=time_ms
                )
                yield Record(
                    Partition(topic.name, 0),
                    number,
                    encode(response(number + 1, time_ms + 1)),
                    headers=tuple(headers),
                    timestamp_ms=arrived_ms,
                )

    return read_late


def test_exchanges_that_are_shipped_hours_late_are_in_the_report_of_their_hour() -> None:
    found = sampled(shipped_late(2), BEFORE, rows=1_000)
    assert (found.seen, found.late) == (60, 30)
    assert sampled(shipped_late(2), AFTER, rows=1_000).seen == 60


@pytest.mark.parametrize("waiting", [0, 7])
def test_a_report_says_what_has_not_reached_the_log(tmp_path: Path, waiting: int) -> None:
    beats = [
        Heartbeat(
            producer_id="g",
            time_ms=time_ms,
            served=100,
            captured={RESPONSES.name: 100},
            dropped={},
            shipped={RESPONSES.name: shipped},
        )
        for time_ms, shipped in ((HOUR, 50), (2 * HOUR, 100 - waiting))
    ]

    def read_with_heartbeats(topic: Topic, start_ms: int, end_ms: int) -> Iterable[Record]:
        if topic is HEARTBEATS:
            for offset, beat in enumerate(beats):
                yield Record(Partition(topic.name, 0), offset, encode(beat))
        else:
            yield from read(topic, start_ms, end_ms)

    maker = ReportMaker(read_with_heartbeats, rows=60, renderer=NotingRenderer())
    facts = maker.make(ReportOrder(BEFORE, AFTER), tmp_path / "r.html")
    incomplete = [fact for fact in facts if fact.startswith("Incomplete: 7 exchanges")]
    assert len(incomplete) == bool(waiting)


def test_the_language_is_the_users_and_only_where_text_was_captured() -> None:
    messages = response(1, 1).messages
    assert spoken_language(messages, "full") == "de"
    assert spoken_language(messages, "none") is None
    assert spoken_language((), "full") is None


def test_a_report_says_what_was_compared(tmp_path: Path) -> None:
    order = ReportOrder(BEFORE, AFTER, model="chat")
    costs = {BEFORE: ("Cost: $1.",), AFTER: ("Cost: $2.",)}
    noting = NotingRenderer()
    maker = ReportMaker(noting.read, rows=60, renderer=noting, costs=costs.__getitem__)
    facts = maker.make(order, tmp_path / "r.html")
    assert {"Reference: Cost: $1.", "Current: Cost: $2."} <= set(facts)
    assert facts[0] == "Compared: model chat."
    assert "60 of 60 exchanges, 1 records unreadable" in facts[1]
    assert "60 of 60 exchanges." in facts[2]
    assert any(fact.startswith("No map of the requests") for fact in facts)
    assert noting.warmed_before_reading
    ((compared, preface),) = noting.written
    assert preface.verdicts == ("No alarm fired in the current range.",)
    assert preface.facts[1].startswith("Reference: 1970-01-01 00:00:00 UTC to")
    assert preface.figure == ""
    assert compared.rows == (60, 60)
    assert [len(cells) for cells in (*compared.reference, *compared.current)] == [60, 60]
    assert [column.name for column in compared.columns] == ["latency_ms"]
    assert {"prompt_characters", "version", "language"} <= set(compared.constant)
    assert {"cluster", "novelty"} <= set(compared.left_out)


def test_only_the_exchanges_that_were_asked_for_are_compared() -> None:
    assert sampled(read, AFTER, rows=9, wanted=ExchangeFilter(version="v1")).seen == 60
    assert sampled(read, AFTER, rows=9, wanted=ExchangeFilter(version="v2")).seen == 0


def make(_order: ReportOrder, path: Path) -> tuple[str, ...]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<h1>report</h1>")
    return ("a fact <b>",)


def stored(store: ReportStore, created_ms: int, *, daily: bool = False) -> Report:
    report_id, path = store.new_path(created_ms)
    make(ReportOrder(BEFORE, AFTER), path)
    report = Report(
        report_id=report_id,
        created_ms=created_ms,
        reference=(0, HOUR),
        current=(HOUR, 2 * HOUR),
        facts=(),
        daily=daily,
    )
    return store.add(report)


def test_a_store_keeps_the_newest(tmp_path: Path) -> None:
    store = ReportStore(tmp_path / "reports", keep=2)
    assert store.list() == ()
    first, *rest = [stored(store, 1_000 * number) for number in range(1, 4)]
    assert [item.report_id for item in store.list()] == [r.report_id for r in reversed(rest)]
    assert rest[0].size == len("<h1>report</h1>")
    with pytest.raises(UnknownReportError):
        store.page(first.report_id)


def test_daily_reports_do_not_displace_those_that_people_ordered(tmp_path: Path) -> None:
    store = ReportStore(tmp_path, keep=1, keep_daily=2)
    ordered = stored(store, 1_000)
    daily = [stored(store, 1_000 * number, daily=True) for number in range(2, 6)]
    assert {item.report_id for item in store.list()} == {
        ordered.report_id,
        *(item.report_id for item in daily[-2:]),
    }


@pytest.mark.parametrize(
    "report_id", ["../../etc/passwd", "20260101T000000-00000000", "", "x" * 500]
)
def test_no_id_leads_out_of_the_store(tmp_path: Path, report_id: str) -> None:
    with pytest.raises(UnknownReportError):
        ReportStore(tmp_path, keep=2).page(report_id)


def test_what_is_not_ours_in_the_store_is_no_report(tmp_path: Path) -> None:
    store = ReportStore(tmp_path, keep=9)
    stored(store, 1)
    (tmp_path / "20260101T000000-00000000.json").write_text("{")
    (tmp_path / "20260101T000000-00000000.html").write_text("")
    (tmp_path / "notes.json").write_text("{}")
    assert len(store.list()) == 1


def test_one_report_at_a_time(tmp_path: Path) -> None:
    go = threading.Event()

    def slow(order: ReportOrder, path: Path) -> tuple[str, ...]:
        go.wait(30)
        return make(order, path)

    queue = ReportQueue(ReportStore(tmp_path, 5), slow, lambda: 1)
    queue.submit(ReportOrder(BEFORE, AFTER))
    with pytest.raises(BusyError):
        queue.submit(ReportOrder(BEFORE, AFTER))
    go.set()
    queue.wait(30)
    assert not queue.busy
    assert len(queue.store.list()) == 1


def test_a_report_that_fails_says_why_and_the_next_may_be_ordered(tmp_path: Path) -> None:
    def fails(_order: ReportOrder, _path: Path) -> tuple[str, ...]:
        raise MonitorError("nothing to compare")

    queue = ReportQueue(ReportStore(tmp_path, 5), fails, lambda: 1)
    for _ in range(2):
        queue.submit(ReportOrder(BEFORE, AFTER))
        queue.wait(30)
        assert queue.job is not None
        assert queue.job.error == "nothing to compare"
        assert not queue.busy


@pytest.fixture
def queue(tmp_path: Path) -> ReportQueue:
    return ReportQueue(ReportStore(tmp_path, 5), make, lambda: 10 * HOUR)


@pytest.fixture
def client(queue: ReportQueue) -> TestClient:
    app = FastAPI()
    ReportPages(queue, lambda: 10 * HOUR).mount(app, Renderer(15))
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


ORDER = {
    "reference_from": "-2h",
    "reference_to": "-1h",
    "from": "-1h",
    "to": "now",
    "model": "chat",
}


def test_a_job_leads_to_a_report_in_a_sandbox(client: TestClient, queue: ReportQueue) -> None:
    answer = client.post("/reports", data=ORDER)
    assert (answer.status_code, answer.headers["location"]) == (303, "/reports")
    queue.wait(30)
    listed = client.get("/reports").text
    assert "a fact &lt;b&gt;" in listed
    assert "model chat" in listed
    (report,) = client.get("/api/reports").json()["reports"]
    assert report["current"] == [9 * HOUR, 10 * HOUR]
    page = client.get(f"/reports/{report['report_id']}")
    assert page.text == "<h1>report</h1>"
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"from": "<script>"}, 422, "&#39;&lt;script&gt;&#39; is no time"),
        ({"from": "now"}, 422, "is empty"),
        ({"to": ""}, 422, "is no time"),
        ({"to": "x" * 5_000}, 413, "too long"),
    ],
)
def test_an_order_that_cannot_be_read_says_what_is_wrong(
    client: TestClient, queue: ReportQueue, change: dict[str, str], status: int, said: str
) -> None:
    answer = client.post("/reports", data={**ORDER, **change})
    assert answer.status_code == status
    assert said in answer.text
    assert queue.job is None


def test_the_form_keeps_what_a_link_or_a_refused_order_wrote_into_it(client: TestClient) -> None:
    assert 'name="route" value="/a&#34;b"' in client.get('/reports?route=/a"b').text
    refused = client.post("/reports", data={**ORDER, "from": "soon"}).text
    assert 'name="from" value="soon"' in refused
    assert 'name="model" value="chat"' in refused


def test_there_is_no_report_of_another_name(client: TestClient) -> None:
    assert client.get("/reports/20260101T000000-00000000").status_code == 404
    assert client.get("/reports/..%2F..%2Fetc%2Fpasswd").status_code == 404


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", 10 * HOUR),
        (" -90m ", 10 * HOUR - 90 * 60_000),
        ("-2d", 10 * HOUR - 48 * HOUR),
        ("1970-01-01", 0),
        ("1970-01-01T02:00+01:00", HOUR),
        ("1970-01-01T01:00:00Z", HOUR),
    ],
)
def test_moments(text: str, moment: int) -> None:
    assert parse_moment(text, 10 * HOUR) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "5m", "-9999999h", "2026-13-01", "NaN"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(TimeRangeError, match="is no time"):
        parse_moment(text, 0)


def test_a_range_has_its_start_before_its_end() -> None:
    assert parse_range("-1h", "now", 2 * HOUR) == TimeRange(HOUR, 2 * HOUR)
    with pytest.raises(TimeRangeError, match="is empty"):
        parse_range("now", "-1h", 2 * HOUR)


def test_reports_are_deleted_when_they_are_as_old_as_texts_become(tmp_path: Path) -> None:
    store = ReportStore(tmp_path, keep=5)
    old, new = (stored(store, created_ms) for created_ms in (1_000_000_000, 1_000_100_000))
    for report, seconds in ((old, 1_000_000), (new, 1_000_100)):
        os.utime(store.page(report.report_id), (seconds, seconds))
    unfinished = store.new_path(1_000_000_000)[1]
    unfinished.write_text("…")
    os.utime(unfinished, (1_000_000, 1_000_000))
    stored(store, 1_000_000_000)  # a copy, whose files are new
    deleted_meanwhile = store.new_path(1_000_000_000)[1]
    deleted_meanwhile.symlink_to(tmp_path / "gone")
    killed = tmp_path / f"{UNFINISHED}x"
    killed.mkdir()
    (killed / "report.html").write_text("…")
    os.utime(killed, (1_000_000, 1_000_000))
    assert {unfinished.name, killed.name} <= set(store.unfinished())
    store.expire(1_000_050_000)
    assert store.list() == (new,)
    assert not unfinished.exists()
    assert not killed.exists()
    store.expire(1_000_200_000)
    assert list(tmp_path.iterdir()) == [deleted_meanwhile]
