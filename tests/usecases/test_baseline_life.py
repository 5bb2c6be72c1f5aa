"""The life of a baseline on a log: provisional, grown, accepted after a change, renewed."""

from __future__ import annotations

import time
from functools import partial

import msgspec
import pytest
from tests.usecases.log import WINDOW_MS, alarm, put_alarm, put_tested, put_windows

from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.errors import BaselineStoreError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment
from tidegauge.usecases.accept_change import accept_change, find_change
from tidegauge.usecases.baseline_settings import BaselineSettings
from tidegauge.usecases.compare_baselines import compare_baselines
from tidegauge.usecases.errors import AcceptanceError
from tidegauge.usecases.keep_baselines import keep_baselines, state_of_log
from tidegauge.usecases.latest_verdicts import latest_verdicts
from tidegauge.usecases.made_baselines import Kept
from tidegauge.usecases.make_baseline import BaselineMaker, Wish
from tidegauge.workers.drift.settings import DriftSettings

MINUTE = 60_000
A_MINUTE = MINUTE // WINDOW_MS
ILL, WELL = (Segment(model=name, version="1", route="/chat") for name in ("ill", "well"))
SETTINGS = BaselineSettings()


@pytest.fixture
def maker(kafka: KafkaSettings) -> BaselineMaker:
    return BaselineMaker(kafka, DriftSettings(), SETTINGS)


def keep(maker: BaselineMaker, kafka: KafkaSettings, now_ms: int) -> dict[str, Kept]:
    manifests = BaselineStore(kafka).list()
    state = partial(state_of_log, kafka, now_ms)
    kept = keep_baselines(maker, manifests, state, now_ms=now_ms, plan=SETTINGS.plan())
    return {one.kind: one for one in kept}


def test_the_life_of_a_baseline(  # noqa: PLR0915 - one life
    maker: BaselineMaker, kafka: KafkaSettings
) -> None:
    start = time.time_ns() // 1_000_000 // MINUTE * MINUTE - 240 * MINUTE
    store = BaselineStore(kafka)

    put_windows(kafka, ILL, start, 5 * A_MINUTE)
    short = keep(maker, kafka, start + 5 * MINUTE)["rates"]
    assert short.attempted
    assert "a baseline needs 10 min" in short.said
    assert store.active("rates") is None

    put_windows(kafka, ILL, start + 5 * MINUTE, 35 * A_MINUTE)
    put_windows(kafka, WELL, start, 40 * A_MINUTE)
    first = keep(maker, kafka, start + 40 * MINUTE)
    made = first["rates"].made
    assert made is not None
    assert (made.how, made.active) == ("provisional", True)
    assert "On 40 min of traffic: alarms are promised for" in made.promise
    assert "needs at least 100 texts" in first["drift"].said
    assert store.active("rates") == made.baseline_id
    waiting = keep(maker, kafka, start + 41 * MINUTE)["rates"]
    assert not waiting.attempted
    assert "covers 40 min of 14 days" in waiting.said

    onset = start + 40 * MINUTE
    put_windows(kafka, ILL, onset, 60 * A_MINUTE, latency_ms=600.0)
    put_windows(kafka, WELL, onset, 60 * A_MINUTE)
    firing = put_alarm(kafka, alarm("latency.total", ILL, onset, onset + MINUTE))
    stopped = keep(maker, kafka, start + 90 * MINUTE)["rates"]
    assert stopped.made is None
    assert f"tidegauge baseline accept {firing.incident}" in stopped.said

    change = find_change(kafka, firing.alert_id)
    with pytest.raises(AcceptanceError, match=r"latency\.total on ill/1"):
        accept_change(
            maker, change, who="Ada", note="", now_ms=onset + 2 * WINDOW_MS, plan=SETTINGS.plan()
        )
    assert store.active("rates") == made.baseline_id
    (accepted,) = accept_change(
        maker,
        change,
        who="Ada",
        note="a larger model",
        now_ms=start + 100 * MINUTE,
        plan=SETTINGS.plan(),
    )
    assert (accepted.how, accepted.active) == ("accepted", True)
    assert accepted.said.endswith("is the new normal, says Ada: a larger model")
    assert any("latency.total on ill" in said for said in accepted.changes)
    document = store.load(accepted.baseline_id)
    references = RatesBaseline.from_bytes(document, accepted.baseline_id).references
    latency, errors = references["latency.total"], references["errors.rate"]
    assert latency[ILL.key].baseline == accepted.baseline_id
    assert latency[ILL.key].trials[0] == 60 * A_MINUTE * 10
    assert latency[WELL.key].baseline == errors[ILL.key].baseline == made.baseline_id
    activation = store.activation("rates")
    assert activation is not None
    assert activation.note == accepted.said

    ended = msgspec.structs.replace(firing, status="resolved", time_ms=start + 101 * MINUTE)
    put_alarm(kafka, ended)
    put_windows(kafka, ILL, start + 100 * MINUTE, 60 * A_MINUTE, latency_ms=600.0)
    untested = keep(maker, kafka, start + 200 * MINUTE)["rates"]
    assert not untested.attempted
    assert "no evidence is known" in untested.said
    at = start + 200 * MINUTE - WINDOW_MS
    put_tested(kafka, "latency.total", ILL, accepted.baseline_id, at)
    firing_meanwhile = iter([(), (alarm("errors.rate", ILL, start, start),), ()])
    late = keep_baselines(
        maker,
        store.list(),
        lambda: (next(firing_meanwhile), latest_verdicts(kafka, at + WINDOW_MS)),
        now_ms=start + 200 * MINUTE,
        plan=SETTINGS.plan(),
    )
    assert late[0].made is None
    assert "an alarm fires (errors.rate)" in late[0].said
    assert store.active("rates") == accepted.baseline_id
    difference = compare_baselines(maker, kafka, made.baseline_id, accepted.baseline_id)
    grown = keep(maker, kafka, start + 200 * MINUTE)["rates"].made
    assert grown is not None
    assert (grown.how, grown.active) == ("accepted", True)
    assert not keep(maker, kafka, start + 201 * MINUTE)["rates"].attempted
    moved = {(one.monitor, one.segment) for one in difference.differences if one.large}
    assert moved == {("latency.total", key) for key in (ILL.key, "ill//%2Fchat/", "ill///")}
    assert all("3.0 times what it was" in said for said in difference.sentences)


def test_a_renewal_leaves_out_what_was_before_an_accepted_change(
    maker: BaselineMaker,
) -> None:
    now = time.time_ns() // 1_000_000
    draft = maker.draft("rates", Wish(how="renewed", start_ms=now - 300 * MINUTE, end_ms=now))
    before = [one for one in draft.origin.excluded if one.reason.startswith("before the change")]
    assert [one.model for one in before] == [ILL.model]
    assert draft.origin.anchor == draft.origin.replaces
    found = draft.references["latency.total"]
    assert found[ILL.key].trials[0] == 120 * A_MINUTE * 10, "without the 40 minutes before"


def test_a_renewal_that_cannot_be_compared_with_its_anchor_differs(
    maker: BaselineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns() // 1_000_000

    def gone(*_: object) -> bytes:
        raise BaselineStoreError("a part of it is missing")

    monkeypatch.setattr(BaselineStore, "load", gone)
    draft = maker.draft("rates", Wish(how="renewed", start_ms=now - 300 * MINUTE, end_ms=now))
    assert draft.differs
    assert draft.origin.drift == (
        f"cannot be compared with {draft.origin.anchor}: it cannot be read any more",
    )


def test_a_change_that_is_not_there_cannot_be_accepted(kafka: KafkaSettings) -> None:
    with pytest.raises(AcceptanceError, match="tidegauge alerts"):
        find_change(kafka, "nothing")
    ours = put_alarm(kafka, alarm("pipeline.vitals", ILL, 1, int(time.time() * 1000)))
    with pytest.raises(AcceptanceError, match="tidegauge close"):
        find_change(kafka, ours.alert_id)
