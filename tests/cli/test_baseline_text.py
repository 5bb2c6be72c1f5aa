from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from rich.console import Console
from tests.workers.drift.conftest import WordVectors

from tidegauge.cli.baseline_text import listed_lines, rise_lines, show_drift
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.units import counted_turn
from tidegauge.monitoring.rate_power import NoticedRise
from tidegauge.schemas.operations import BaselineManifest, BaselineOrigin
from tidegauge.usecases.topic_power import noticed_topics


def baseline_of(past: Sequence[HistoricalRequest]) -> DriftBaseline:
    return fit(
        past,
        WordVectors().embed([one.text for one in past]),
        embedder="words",
        preparation=Preparation(),
        rng=np.random.default_rng(1),
    )


def test_a_baseline_is_listed_by_its_whole_id() -> None:
    manifests = [
        BaselineManifest(
            baseline_id=f"rates-{name * 16}",
            kind="rates",
            fingerprint="",
            created_ms=1_700_000_000_000,
            parts=1,
            sha256="",
            summary={"events": "120,345"},
            origin=BaselineOrigin(how="provisional"),
            dropped_ms=dropped_ms,
        )
        for name, dropped_ms in (("a", 1_700_000_900_000), ("b", None), ("c", None))
    ]
    dropped, in_force, other = listed_lines(manifests, ["rates-bbbbbbbbbbbbbbbb", None])
    assert dropped.startswith("rates-aaaaaaaaaaaaaaaa: provisional at ")
    assert dropped.endswith(", 120,345 events, no longer kept")
    assert in_force.endswith(" events, in force")
    assert other.endswith(" events")


def openings(count: int) -> list[HistoricalRequest]:
    things = ("card", "account", "bank", "limit", "payment")
    return [
        HistoricalRequest(f"my {things[i % 5]} number {i}", conversation_id=f"c{i}")
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def conversations() -> DriftBaseline:
    followups = [
        HistoricalRequest(f"and {one.text}?", conversation_id=name, turn=counted_turn(name))
        for one in openings(600)
        if (name := one.conversation_id) is not None
    ]
    return baseline_of([*openings(600), *followups])


def shown(baseline: DriftBaseline) -> str:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as found:
        show_drift(console, baseline)
    return found.get()


def delays(baseline: DriftBaseline) -> list[float]:
    return [one.events for one in noticed_topics(baseline) if one.monitor == "drift.topics"]


def test_what_both_monitors_can_notice_is_told(conversations: DriftBaseline) -> None:
    text = shown(conversations)
    assert "600 openings of conversations, 600 follow-ups" in text
    assert "not tested" not in text
    for counted in ("openings", "follow-ups"):
        assert re.search(rf"a new topic of 20% of the {counted} would be noticed after", text)
    assert "openings by topic" in text
    assert "follow-ups by topic" in text
    topics = noticed_topics(conversations)
    assert {one.monitor for one in topics} == {"drift.topics", "drift.followups"}
    assert [one.share for one in topics] == [0.05, 0.1, 0.2] * 2
    assert sorted(delays(conversations), reverse=True) == delays(conversations)


def test_openings_alone_have_the_whole_budget_of_drift(conversations: DriftBaseline) -> None:
    alone = DriftBaseline(
        embedder=conversations.embedder,
        preparation=conversations.preparation,
        openings=conversations.openings,
        no_followups="there are none",
        facts=conversations.facts,
    )
    assert {one.monitor for one in noticed_topics(alone)} == {"drift.topics"}
    assert delays(alone)[-1] < delays(conversations)[-1]
    assert "follow-ups are not tested: there are none" in shown(alone)


def test_how_soon_a_rise_is_noticed_is_told_without_control_codes() -> None:
    rise = NoticedRise(
        monitor="errors.rate",
        segment="m///",
        indicator="failed/x",
        title="answers that failed the check '\x1b[31mx'",
        usual=0.01,
        risen=0.03,
        events=1_234.0,
        seconds=600.0,
        false_alarm_days=30.0,
    )
    (line,) = rise_lines([rise])
    assert line.startswith("power      m: a rise of answers that failed the check ' [31mx' from 1%")
    assert "within about 1,200 answers (10 min of the baseline's traffic)" in line
