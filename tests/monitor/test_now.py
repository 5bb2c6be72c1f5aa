"""The first page: what needs somebody, and nothing that does not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import msgspec
import pytest
from tests.monitor.made_up import MINUTE, NOW, ROUTE, segment

from tidegauge.monitor.web.now import Now, now
from tidegauge.monitor.web.pipeline_page import pipeline_page
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitoring.view import MonitorView, SilenceInForce
from tidegauge.schemas.findings import State
from tidegauge.schemas.segments import Segment

Pages = Callable[[MonitorView], Now]


@pytest.fixture
def present(now_ms: int) -> Pages:
    return lambda view: now(view, now_ms=now_ms)


def html_of(page: Now) -> str:
    return Renderer(15).render("now.html", {"page": page}, live=True)


def words(html: str) -> list[str]:
    """Return the words that a reader sees."""
    visible = re.sub(r"<(style|noscript|title).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", " ", visible).split()


def test_the_loudest_incident_is_the_first_thing_that_one_reads(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    shown = present(make_view())
    assert (shown.headline.tone, shown.headline.title) == ("critical", "2 incidents, 1 critical")
    first, second = shown.incidents
    assert first.title == "support-chat: answers are worse"
    assert (first.now, first.normal) == (
        "Fluency below the baseline's P10: 61% now",
        "up to 16.5% is normal",
    )
    assert second.since == "19 min"
    assert [quote.text for quote in second.quotes] == [
        "How do I report a lost card while travelling abroad?",
        "my card was swallowed by the machine, what now",
    ]


def test_a_busy_night_fits_on_one_screen(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    assert len(words(html_of(present(make_view())))) <= 400


def test_what_cannot_alarm_is_said_not_hidden(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    said = " ".join(present(make_view()).headline.sentences)
    assert "1 without a baseline" in said
    assert "1 without recent data" in said
    assert "2 with a judge that is not qualified" in said


def test_alarming_segments_come_first_then_the_busiest(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    shown = present(make_view())
    assert [row.name.details[0] for row in shown.rows] == ["v2", "v1", "2026-01"]
    states = [cell.standing and cell.standing.word for cell in shown.rows[0].cells]
    assert states == ["ok", "critical", "warn", "ok", "ok"]


def test_a_silenced_incident_is_shown_and_not_counted(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = make_view()
    silence = SilenceInForce(
        monitor="*", segment="*", until_ms=NOW + 60 * MINUTE, who="ada", note="load test"
    )
    shown = present(msgspec.structs.replace(view, silences=(silence,)))
    assert {line.silenced_until_ms for line in shown.incidents} == {NOW + 60 * MINUTE}
    assert shown.headline.title == "No alarm, 2 silenced or minor"
    assert shown.headline.tone != "ok"
    assert "silenced until 2023-11-14 23:13 UTC" in " ".join(words(html_of(shown)))


def test_an_alarm_whose_traffic_has_stopped_says_so(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = make_view()
    quiet = tuple(
        msgspec.structs.replace(item, last_ms=NOW - 30 * MINUTE)
        if item.segment == segment("v2")
        else item
        for item in view.segments
    )
    worse, asked = present(msgspec.structs.replace(view, segments=quiet)).incidents
    assert (worse.stopped, asked.stopped) == ("30 min", "")
    assert "no traffic for 30 min" in html_of(
        present(msgspec.structs.replace(view, segments=quiet))
    )


def test_who_has_an_incident_is_said(make_view: Callable[[], MonitorView], present: Pages) -> None:
    view = make_view()
    had = tuple(
        msgspec.structs.replace(alarm, status="acknowledged", owner="Ada <b>")
        for alarm in view.alerts
    )
    html = html_of(present(msgspec.structs.replace(view, alerts=had)))
    assert "<bdi>Ada &lt;b&gt;</bdi> has it" in html


def test_without_alarms_it_says_how_many_monitors_test(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = make_view()
    quiet = msgspec.structs.replace(
        view,
        alerts=(),
        verdicts=tuple(msgspec.structs.replace(v, state=State.OK) for v in view.verdicts),
    )
    headline = present(quiet).headline
    assert (headline.tone, headline.title) == ("ok", "No alarm")
    assert headline.sentences == ("16 of 16 monitors are testing and find no significant change.",)


def test_when_nothing_tests_it_does_not_say_that_all_is_well(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = make_view()
    blind = msgspec.structs.replace(
        view,
        alerts=(),
        verdicts=tuple(msgspec.structs.replace(v, state=State.NO_BASELINE) for v in view.verdicts),
    )
    headline = present(blind).headline
    assert (headline.tone, headline.title) == ("quiet", "No alarm is possible")
    assert "nothing can alarm" in headline.sentences[0]


def test_where_most_monitors_cannot_test_it_is_not_green(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = make_view()
    verdicts = tuple(
        msgspec.structs.replace(v, state=State.OK if number < 3 else State.NO_BASELINE)
        for number, v in enumerate(view.verdicts)
    )
    headline = present(msgspec.structs.replace(view, alerts=(), verdicts=verdicts)).headline
    assert (headline.tone, headline.title) == ("quiet", "No alarm, but little is tested")
    assert headline.sentences[0].startswith("3 of 16 monitors are testing")


def test_missing_events_trouble_an_otherwise_quiet_page(
    make_view: Callable[..., MonitorView], present: Pages
) -> None:
    quiet = msgspec.structs.replace(make_view(missing=3), alerts=())
    shown = present(quiet)
    assert (shown.headline.tone, shown.light.tone) == ("warn", "warn")
    assert any("does not balance" in sentence for sentence in shown.light.sentences)


def test_a_worker_with_work_before_it_and_an_old_watermark_is_late(
    make_view: Callable[[], MonitorView], now_ms: int
) -> None:
    view = make_view()
    slow = msgspec.structs.replace(view.progress[0], watermark_ms=view.time_ms - 600_000)
    shown = pipeline_page(
        msgspec.structs.replace(view, progress=(slow, *view.progress[1:])), now_ms
    )
    assert shown.workers[0].late
    assert shown.workers[0].progress is slow
    assert any("drift worker is 10 min behind" in line for line in shown.light.sentences)


def test_without_traffic_an_old_watermark_makes_nobody_late(
    make_view: Callable[[], MonitorView], now_ms: int
) -> None:
    view = make_view()
    done = tuple(
        msgspec.structs.replace(line, processed=line.captured - line.dead_lettered)
        for line in view.ledger.deliveries
    )
    idle = msgspec.structs.replace(
        view,
        ledger=msgspec.structs.replace(view.ledger, deliveries=done),
        progress=tuple(
            msgspec.structs.replace(line, watermark_ms=view.time_ms - 600_000)
            for line in view.progress
        ),
    )
    assert not any(line.late for line in pipeline_page(idle, now_ms).workers)


def test_a_monitor_that_stands_still_is_no_healthy_pipeline(
    make_view: Callable[[], MonitorView],
) -> None:
    shown = now(make_view(), now_ms=NOW + 10 * MINUTE)
    assert shown.light.tone == "warn"
    assert "no progress for 10 min" in " ".join(shown.light.sentences)


def test_times_ahead_of_the_clock_are_no_healthy_pipeline(
    make_view: Callable[[], MonitorView],
) -> None:
    shown = now(make_view(), now_ms=NOW - 60 * MINUTE)
    assert (shown.light.tone, shown.light.word) == ("warn", "in doubt")
    assert shown.light.sentences == (
        "What is reported lies 1 h ahead of this clock: set the clocks right.",
    )


def test_a_view_of_nothing_is_a_page_too(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = msgspec.structs.replace(
        make_view(),
        segments=(),
        verdicts=(),
        history=(),
        alerts=(),
        progress=(),
        version_comparisons=(),
        baselines=(),
        silences=(),
    )
    shown = present(view)
    assert shown.headline.title == "Nothing measured yet"
    assert shown.light.word == "not heard yet"
    assert "Nothing measured yet" in html_of(shown)


def test_of_many_incidents_the_loudest_are_listed_and_all_are_counted(
    make_view: Callable[[], MonitorView], now_ms: int
) -> None:
    view = make_view()
    alarm = view.alerts[0]
    many = tuple(
        msgspec.structs.replace(
            alarm,
            alert_id=f"a{number}",
            segment=Segment(model=f"assistant-{number:03}"),
            verdict=msgspec.structs.replace(
                alarm.verdict, segment=Segment(model=f"assistant-{number:03}")
            ),
            severity="critical" if number % 10 == 0 else "warn",
        )
        for number in range(500)
    )
    silence = SilenceInForce(
        monitor="*", segment="assistant-000*", until_ms=None, who="ada", note=""
    )
    crowded = msgspec.structs.replace(view, alerts=many, silences=(silence,))
    shown = now(crowded, now_ms=now_ms)
    assert shown.headline.title == "499 incidents, 49 critical; 1 silenced or minor"
    assert (len(shown.incidents), shown.further) == (20, 480)
    assert {line.incident.severity for line in shown.incidents} == {"critical"}
    assert len(html_of(shown).encode()) < 100_000
    assert '<a href="/?incidents=all">480 more incidents</a>' in html_of(shown)
    every = now(crowded, now_ms=now_ms, every_incident=True)
    assert (len(every.incidents), every.further) == (500, 0)
    assert every.incidents[-1].silenced
    assert every.incidents[-1].silenced_until_ms is None


def test_two_hundred_segments_are_a_page_in_time(
    make_view: Callable[[], MonitorView], now_ms: int
) -> None:
    view = make_view()
    model = view.segments[0]
    many = tuple(
        msgspec.structs.replace(
            model, segment=Segment(model=f"assistant-{number:03}", version="2026-01", route=ROUTE)
        )
        for number in range(200)
    )
    verdicts = tuple(
        msgspec.structs.replace(verdict, segment=item.segment)
        for item in many
        for verdict in view.verdicts[2:7]
    )
    crowded = msgspec.structs.replace(view, segments=many, verdicts=verdicts, alerts=())
    renderer = Renderer(15)
    spent = []
    for _ in range(5):
        start = time.process_time()
        html = renderer.render("now.html", {"page": now(crowded, now_ms=now_ms)}, live=True)
        spent.append(time.process_time() - start)
    assert html.count('<th scope="row"><a') == 200
    assert len(html.encode()) < 150_000
    assert min(spent) < 0.5, "a page of 200 segments should take less than 0.1 s"
