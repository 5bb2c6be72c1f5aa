from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from tidegauge.monitor.web.page import Page, PageLimits, page
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas.findings import State
from tidegauge.schemas.segments import Segment

Pages = Callable[[MonitorView], Page]


@pytest.fixture
def present(estimator: Estimator, now_ms: int) -> Pages:
    return lambda view: page(view, now_ms=now_ms, false_alarm_days=30, estimator=estimator)


def test_the_loudest_alarm_is_the_first_thing_that_one_reads(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    shown = present(make_view())
    assert (shown.headline.tone, shown.headline.title) == ("critical", "2 alarms")
    first, second = shown.alarms
    assert first.sentence.startswith("Answers are worse: 61%")
    assert first.since == "alarming since 22:02:20 UTC, 11 min ago"
    assert second.card.since == "since about 21:54:20 UTC, 19 min ago"


def test_a_drift_card_says_who_sends_the_strange_requests(
    make_view: Callable[..., MonitorView], present: Pages
) -> None:
    shown = present(make_view())
    html = Renderer(15).page(shown)
    leading = shown.alarms[1].card.leading
    assert leading is not None
    assert leading.indicator == "cluster/17"
    assert "shares of the 40 that show it among 200 sampled requests" in html
    assert "Most of them come from acme, and of the other requests a smaller part" in html
    # The effects that follow have their callers in one line.
    assert "Sent by <bdi>acme</bdi> 95%, <bdi>globex</bdi> 2.5%, all others 2.5%" in html
    unknown = Renderer(15).page(present(make_view(who=())))
    assert "sampled requests" not in unknown


def test_requests_that_are_not_tested_for_drift_are_counted_by_reason(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = make_view()
    assert "do not count" not in Renderer(15).page(present(view))
    drift = [one for one in view.progress if one.kind == "drift"]
    others = [one for one in view.progress if one.kind != "drift"]
    totals = [{"skipped/later_turn": 4_000}, {"skipped/later_turn": 300, "skipped/repeat": 7}]
    told = [
        msgspec.structs.replace(drift[0], partition=number, totals={**given, "truncated": 3})
        for number, given in enumerate(totals)
    ]
    shown = present(msgspec.structs.replace(view, progress=(*others, *told)))
    assert shown.not_tested == {"later_turn": 4_300, "repeat": 7}
    assert "that do not count: 4,300 (later turn), 7 (repeat)." in Renderer(15).page(shown)


def test_what_cannot_alarm_is_said_not_hidden(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    said = present(make_view()).headline.sentences
    assert "1 of 16 monitors have no baseline." in said
    assert "1 of 16 monitors have no recent data." in said
    assert "2 of 16 monitors use a judge that is not qualified." in said


def test_alarming_segments_come_first_then_the_busiest(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    shown = present(make_view())
    assert [item.segment.version for item in shown.segments] == ["v1", "v2", "2026-01"]
    signals = {key: item and item.word for key, item in shown.segments[1].signals.items()}
    assert signals == {
        "latency": "ok",
        "quality": "critical",
        "drift": "warn",
        "errors": "ok",
        "cost": "ok",
    }


def test_an_unqualified_judge_is_marked_and_does_not_lead(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    first = present(make_view()).segments[0]
    rubric = next(judge for judge in first.judged if judge.name == "rubric")
    assert rubric.qualified is False
    assert rubric.invalid == 31
    assert first.leading is not None
    assert first.leading.name == "likelihood"
    assert first.leading.share == pytest.approx(120 / 400)


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


def test_changes_are_the_newest_first_and_a_first_word_is_none(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    shown = present(make_view()).changes
    assert [line.change.monitor for line in shown] == ["quality.likelihood", "drift.topics"]
    assert all(line.before is not None for line in shown)


def test_missing_events_trouble_an_otherwise_quiet_page(
    make_view: Callable[..., MonitorView], present: Pages
) -> None:
    quiet = msgspec.structs.replace(make_view(missing=3), alerts=())
    headline = present(quiet).headline
    assert headline.tone == "warn"
    assert any("does not balance" in sentence for sentence in headline.sentences)


def test_a_worker_with_work_before_it_and_an_old_watermark_is_late(
    make_view: Callable[[], MonitorView], present: Pages
) -> None:
    view = make_view()
    slow = msgspec.structs.replace(view.progress[0], watermark_ms=view.time_ms - 600_000)
    shown = present(msgspec.structs.replace(view, progress=(slow, *view.progress[1:])))
    assert shown.workers[0].late
    assert shown.workers[0].progress is slow
    assert any("drift worker is 10 min behind" in line for line in shown.headline.sentences)


def test_without_traffic_an_old_watermark_makes_nobody_late(
    make_view: Callable[[], MonitorView], present: Pages
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
    assert not any(line.late for line in present(idle).workers)


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
    assert "Nothing measured yet" in Renderer(15).page(shown)


def test_two_hundred_segments_are_a_page_in_time(
    make_view: Callable[[], MonitorView], estimator: Estimator, now_ms: int
) -> None:
    view = make_view()
    model = view.segments[0]
    many = tuple(
        msgspec.structs.replace(
            model, segment=Segment(model=f"m{number:03}", version="v1", route="/chat")
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
    for _ in range(3):
        start = time.process_time()
        shown = page(
            crowded, now_ms=now_ms, false_alarm_days=30, estimator=estimator, limits=PageLimits()
        )
        html = renderer.page(shown)
        spent.append(time.process_time() - start)
    assert html.count('role="rowheader"') == 200
    assert "192 more segments" in html
    assert min(spent) < 1.5, "a page of 200 segments should take some 0.3 s"
