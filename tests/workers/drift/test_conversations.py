"""Conversations in the drift worker: what is counted as what, and what the monitor says of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.workers.drift.conftest import WordVectors

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.units import NotCounted, Unit, counted_turn
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.schemas import Event, encode, measures
from tidegauge.schemas.exchange import Message, RequestEvent
from tidegauge.schemas.findings import Alert, State, Verdict
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import REQUESTS, SKETCHES
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.merging import merge_sketches
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.window import SketchOrigin, Window, WindowKey
from tidegauge.usecases.references import drift_references
from tidegauge.workers.drift.extractor import NO_REFERENCE, DriftExtractor

SOURCE = Partition(REQUESTS.name, 0)
STAMP = SketchOrigin("drift", "drift/requests.v1-0", SOURCE, 10_000)
THINGS = ("card", "account", "bank", "limit", "payment")
NEWS = ("zebra", "quagga", "okapi", "gnu", "ibex")
A_WINDOW = 20


def conversation(rng: np.random.Generator, *, changed: bool = False) -> list[str]:
    """Draw the user's messages of a conversation; where it changes, those after the first."""
    first, other = rng.choice(THINGS, 2)
    said = [f"my {first} {other} number {rng.integers(10**4)}"]
    if changed and rng.random() < 0.4:
        first, other = rng.choice(NEWS, 2)
    return [*said, *(f"and the {first} {other} of {rng.integers(10**4)}" for _ in range(9))]


def baseline_of(rng: np.random.Generator, *, known: bool = True) -> DriftBaseline:
    past = [
        HistoricalRequest(text, conversation_id=f"{number}" if known else None, turn=turn)
        for number in range(1_000)
        for turn, text in enumerate(conversation(rng), 1)
        if turn in (1, counted_turn(f"{number}")) and (known or turn == 1)
    ]
    made = fit(
        past,
        WordVectors().embed([one.text for one in past]),
        embedder="words",
        preparation=Preparation(),
        rng=np.random.default_rng(1),
    )
    return DriftBaseline.from_bytes(made.to_bytes(), "drift-1")


@pytest.fixture(scope="module")
def baseline() -> DriftBaseline:
    return baseline_of(np.random.default_rng(7))


def extractor_of(baseline: DriftBaseline) -> DriftExtractor:
    made = DriftExtractor(WordVectors(), Preparation(), window_ms=10_000)
    made.use(baseline)
    return made


def events_of(ask: Any, rng: np.random.Generator, **fields: Any) -> list[RequestEvent]:  # noqa: ANN401 - a fixture; any field
    """Return the requests of one conversation."""
    name = f"c{rng.integers(2**62)}"
    return [
        ask(text, conversation_id=name, turn=turn, request_id=f"{name}/{turn}", **fields)
        for turn, text in enumerate(conversation(rng), 1)
    ]


def measured(extractor: DriftExtractor, *events: RequestEvent) -> list[Measurement]:
    origins = [Origin(STAMP.producer_id, SOURCE, offset) for offset in range(len(events))]
    return list(extractor.measure(list(zip(origins, events, strict=True))))


def sketch_of(found: list[Measurement], number: int = 0) -> Sketch:
    window = Window(0.01, 0)
    for offset, one in enumerate(found):
        window.add(one, offset, late=False)
    key = WindowKey(10_000 * number, request_segment(), "drift-1")
    return window.sketch(key, STAMP, sequence=2 * number + 1, looked_at=())


def request_segment() -> Any:  # noqa: ANN401 - of the fixture
    from tests.workers.drift.conftest import request_event  # noqa: PLC0415

    return request_event("x").segment


def test_each_conversation_counts_once_as_each_kind(baseline: DriftBaseline, ask: Any) -> None:  # noqa: ANN401 - a fixture
    rng = np.random.default_rng(0)
    events = [one for _ in range(30) for one in events_of(ask, rng)]
    found = measured(extractor_of(baseline), *events)
    sketch = sketch_of(found)
    assert sketch.hits[measures.EMBEDDED] == 30
    assert sketch.hits[measures.FOLLOWUPS + measures.EMBEDDED] == 30
    left_out = sum((Counter(one.progress) for one in found), Counter())
    assert left_out == {measures.skipped(NotCounted.LATER_TURN): 8 * 30}
    assert len(sketch.sample) == 60
    assert all(len(one.outputs) == 1 for one in found)


def test_what_is_no_unit_is_left_out_with_a_reason_and_embedded_all_the_same(
    baseline: DriftBaseline,
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    tool_loop = (
        Message(role="user", content="my card"),
        Message(role="assistant", tool_calls="[]"),
        Message(role="tool", content="{}"),
    )
    reasons = {
        NotCounted.REPEAT: ask("my card", turn=1, repeat_of="r0"),
        NotCounted.SAME_TURN: ask("", messages=tool_loop, turn=1, step=2),
        NotCounted.NO_CONVERSATION: ask("my card", turn=2),
        NotCounted.LATER_TURN: ask("my card", turn=99, conversation_id="c"),
    }
    found = measured(extractor_of(baseline), *reasons.values(), ask("my card"))
    for reason, one in zip(reasons, found[:-1], strict=True):
        assert one.progress == {measures.skipped(reason): 1}
        assert (one.hits, one.totals, one.values, one.exemplar) == ((), {}, {}, None)
        assert one.counted
        assert len(one.outputs) == 1
    assert found[-1].hits[0] == measures.EMBEDDED


@pytest.mark.parametrize("place", [{}, {"turn": 1}, {"turn": 1, "step": 3}, {"turn": 2}])
@pytest.mark.parametrize("shown", [1, 3])
def test_the_results_of_tools_count_to_no_topic(
    baseline: DriftBaseline,
    ask: Any,  # noqa: ANN401 - a fixture
    place: dict[str, int],
    shown: int,
) -> None:
    whole = (
        Message(role="user", content="my card"),
        Message(role="assistant", tool_calls="[]"),
        Message(role="tool", content="zebra quagga okapi"),
    )
    loop = ask("", messages=whole[-shown:], conversation_id="c", **place)
    (found,) = measured(extractor_of(baseline), loop)
    assert (found.hits, found.totals, found.values, found.exemplar) == ((), {}, {}, None)
    reason = "empty" if shown == 1 else NotCounted.SAME_TURN
    assert found.progress == {measures.skipped(reason): 1}


def test_the_order_and_the_batches_of_requests_change_nothing(
    baseline: DriftBaseline,
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    rng = np.random.default_rng(1)
    events = [one for _ in range(12) for one in events_of(ask, rng)]
    whole = sketch_of(measured(extractor_of(baseline), *events))
    shuffled = [events[i] for i in rng.permutation(len(events))]
    workers = [extractor_of(baseline) for _ in range(3)]
    parts = [
        sketch_of(measured(workers[number % 3], *shuffled[start : start + 7]))
        for number, start in enumerate(range(0, len(shuffled), 7))
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = merge_sketches(merged, msgspec.structs.replace(part, source=merged.source))
    assert merged.hits == whole.hits
    assert merged.totals == whole.totals


def test_openings_and_follow_ups_have_caps_of_their_own(ask: Any) -> None:  # noqa: ANN401 - a fixture
    rng = np.random.default_rng(2)
    capped = baseline_of(rng)
    object.__setattr__(capped, "caller_cap", 5)
    events = [one for _ in range(20) for one in events_of(ask, rng)]
    sketch = sketch_of(measured(extractor_of(capped), *events))
    assert sketch.hits[measures.EMBEDDED] == 5
    assert sketch.hits[measures.FOLLOWUPS + measures.EMBEDDED] == 5


@dataclass
class Watch:
    """A worker and the monitor behind it."""

    baseline: DriftBaseline
    said: list[Any] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start both."""
        self.extractor = extractor_of(self.baseline)
        self.monitor = MonitorProcessor(MonitorPlan(partitions={REQUESTS.name: 1}))
        self.monitor.use("drift", "drift-1", drift_references(self.baseline), 0)

    def window(self, number: int, events: list[RequestEvent]) -> None:
        """Let the worker count one window, and the monitor test it."""
        self.texts |= {event.request_id: event.messages[-1].content for event in events}
        end_ms = 10_000 * (number + 1)
        progress = Progress(
            kind="drift",
            producer_id=STAMP.producer_id,
            sequence=2 * number + 2,
            time_ms=end_ms,
            topic=SOURCE.topic,
            partition=0,
            next_offset=(number + 1) * 10_000,
            watermark_ms=end_ms,
            tallies={},
            totals={},
        )
        published: tuple[Event, ...] = (
            sketch_of(measured(self.extractor, *events), number),
            progress,
        )
        records = [
            Record(Partition(SKETCHES.name, 0), 2 * number + i, encode(event))
            for i, event in enumerate(published)
        ]
        outcome = self.monitor.process(records, end_ms)
        assert outcome.rejections == ()
        self.said += [output.event for output in outcome.outputs]

    def verdicts(self, monitor: str) -> list[Verdict]:
        """Return what a monitor has said so far."""
        return [one for one in self.said if isinstance(one, Verdict) and one.monitor == monitor]


def play(watch: Watch, ask: Any, windows: int, *, changed: bool, known: bool = True) -> None:  # noqa: ANN401 - a fixture
    """Let conversations begin in each window and send a message in each window after it."""
    rng = np.random.default_rng(3)
    open_ones: list[tuple[str, list[str]]] = []
    for number in range(windows):
        open_ones += [
            (f"c{rng.integers(2**62)}", conversation(rng, changed=changed)) for _ in range(A_WINDOW)
        ]
        events = []
        for name, left in open_ones:
            turn = 11 - len(left)
            events.append(
                ask(
                    left.pop(0),
                    conversation_id=name if known else None,
                    turn=turn,
                    request_id=f"{name}/{turn}",
                    customer=name,
                )
            )
        open_ones = [one for one in open_ones if one[1]]
        watch.window(number, events)


def test_conversations_without_a_change_raise_no_alarm(baseline: DriftBaseline, ask: Any) -> None:  # noqa: ANN401 - a fixture
    watch = Watch(baseline)
    play(watch, ask, 60, changed=False)
    for name in ("drift.topics", "drift.followups"):
        assert {one.state for one in watch.verdicts(name)} <= {State.LOW_DATA, State.OK}
        assert watch.verdicts(name)[-1].state == State.OK
    assert watch.verdicts("drift.followups")[-1].sentence.startswith("Follow-ups are as in")


def test_what_only_follow_ups_are_about_alarms_for_them(baseline: DriftBaseline, ask: Any) -> None:  # noqa: ANN401 - a fixture
    watch = Watch(baseline)
    play(watch, ask, 60, changed=True)
    assert watch.verdicts("drift.topics")[-1].state == State.OK
    (alert,) = [one for one in watch.said if isinstance(one, Alert)]
    assert alert.monitor == "drift.followups"
    verdict = alert.verdict
    assert verdict.sentence.startswith("Conversations go on with something else since")
    assert {one.indicator.split("/")[0] for one in verdict.effects} & {"novelty", "cluster"}
    shown = [exemplar for effect in verdict.effects for exemplar in effect.exemplars]
    assert any(word in watch.texts[exemplar.request_id] for exemplar in shown for word in NEWS)
    assert any(effect.callers is not None for effect in verdict.effects)


def test_follow_ups_that_a_baseline_does_not_know_are_not_tested(ask: Any) -> None:  # noqa: ANN401 - a fixture
    watch = Watch(baseline_of(np.random.default_rng(4), known=False))
    play(watch, ask, 12, changed=False)
    (verdict,) = watch.verdicts("drift.followups")
    assert verdict.state == State.NO_BASELINE
    assert "does not know the follow-ups" in verdict.sentence
    assert watch.verdicts("drift.topics")[-1].state == State.OK
    (one,) = [
        found
        for found in measured(watch.extractor, *events_of(ask, np.random.default_rng(5)))
        if found.hits[:1] == (measures.FOLLOWUPS + measures.EMBEDDED,)
    ]
    assert one.progress == {measures.skipped(NO_REFERENCE): 1}


def test_follow_ups_of_conversations_that_are_not_known_are_left_out(
    baseline: DriftBaseline,
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    watch = Watch(baseline)
    play(watch, ask, 12, changed=True, known=False)
    assert watch.verdicts("drift.followups") == []
    assert Unit.FOLLOWUP in baseline.units
