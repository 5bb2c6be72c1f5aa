"""Conversations that stay on their topic, as units and request by request."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.drift.conftest import Build, Vectors, World

from drift_ours import Ours, watch
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.units import Unit

WINDOW = 10
STAYS = 0.8
"""Part of a request's noise that is its conversation's own."""


@dataclass
class Requests:
    """Requests of many conversations, in the order in which they are sent."""

    past: list[HistoricalRequest]
    vectors: Vectors

    def of(self, unit: Unit) -> Requests:
        """Return the units of one kind."""
        rows = [row for row, one in enumerate(self.past) if one.unit is unit]
        return Requests([self.past[row] for row in rows], self.vectors[rows])

    def single(self) -> Requests:
        """Return the same requests, of which no conversation is known."""
        bare = [replace(one, conversation_id=None, turn=1) for one in self.past]
        return Requests(bare, self.vectors)


def talk(
    world: World, count: int, topics: NDArray[np.int64] | range, later: list[int] | None = None
) -> Requests:
    """Draw conversations of 5 to 20 turns, which are under way at the same time.

    Args:
        world: The topics.
        count: Number of conversations.
        topics: What they may begin with.
        later: What some of them go on with from the second turn on; None to stay on the topic.
    """
    names = [f"c{world.rng.integers(2**62)}" for _ in range(count)]
    lengths = world.rng.integers(5, 21, count)
    owner = np.repeat(np.arange(count), lengths)
    turn = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    begins = np.sort(world.rng.random(count))
    order = np.argsort(begins[owner] + 0.01 * turn * world.rng.random(len(owner)), kind="stable")
    topic = world.rng.choice(np.array(topics), count)[owner]
    if later is not None:
        moved = (turn > 1) & (world.rng.random(count) < 0.2)[owner]
        topic = np.where(moved, world.rng.choice(later, count)[owner], topic)
    size = world.centres.shape[1]
    noise = world.rng.normal(size=(2, len(owner), size))
    noise[0] = noise[0, :count][owner]
    noise = np.sqrt(STAYS) * noise[0] + np.sqrt(1 - STAYS) * noise[1]
    vectors = world.centres[topic] + world.spread * noise / np.sqrt(size)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    past = [
        HistoricalRequest(
            f"{names[owner[row]]} turn {turn[row]} of topic {topic[row]}",
            conversation_id=names[owner[row]],
            turn=int(turn[row]),
        )
        for row in order
    ]
    return Requests(past, vectors[order].astype(np.float32))


def baseline_of(build: Build, requests: Requests) -> DriftBaseline:
    return build([one.text for one in requests.past], requests.vectors, requests=requests.past)


def peak(baseline: DriftBaseline, requests: Requests, unit: Unit, budget: float = 0.01) -> float:
    """Return by how much the log statistic exceeds that of a false alarm in 1/budget streams."""
    found = requests.of(unit)
    watched = watch(baseline, [one.text for one in found.past], found.vectors, unit)
    events = len(found.past) // WINDOW * WINDOW
    return float(Ours(watched, WINDOW).path(np.arange(events)).max() - np.log(events / budget))


def test_conversations_that_stay_on_a_topic_raise_no_alarm(world: World, build: Build) -> None:
    for _ in range(3):
        baseline = baseline_of(build, talk(world, 500, range(8)))
        stream = talk(world, 1_500, range(8))
        assert peak(baseline, stream, Unit.OPENING) < 0
        assert peak(baseline, stream, Unit.FOLLOWUP) < 0


def test_their_requests_as_units_would(world: World, build: Build) -> None:
    found = []
    for _ in range(3):
        baseline = baseline_of(build, talk(world, 150, range(8)).single())
        found.append(peak(baseline, talk(world, 150, range(8)).single(), Unit.OPENING))
    assert min(found) > 0


def test_a_topic_that_only_comes_up_later_is_found_in_follow_ups(
    world: World, build: Build
) -> None:
    baseline = baseline_of(build, talk(world, 600, range(6)))
    stream = talk(world, 800, range(6), later=[6, 7])
    assert peak(baseline, stream, Unit.OPENING) < 0
    assert peak(baseline, stream, Unit.FOLLOWUP) > 0


@pytest.mark.parametrize("known", [True, False])
def test_the_followups_of_single_requests_are_not_tested_and_it_is_said_why(
    world: World, build: Build, *, known: bool
) -> None:
    texts, vectors = world.ask(400, range(6))
    past = [
        HistoricalRequest(text, conversation_id=f"c{i}" if known else None)
        for i, text in enumerate(texts)
    ]
    baseline = build(texts, vectors, requests=past)
    assert baseline.followups is None
    assert "no past request is known to be a follow-up" in baseline.summary()["follow-ups"]
    assert set(baseline.units) == {Unit.OPENING}


def test_too_few_followups_are_not_tested(world: World, build: Build) -> None:
    requests = talk(world, 150, range(6))
    texts, vectors = world.ask(200, range(6))
    both = Requests(
        [*requests.past, *map(HistoricalRequest, texts)],
        np.concatenate([requests.vectors, vectors]),
    )
    baseline = baseline_of(build, both)
    assert baseline.followups is None
    assert "150 conversations have a follow-up that counts, and 200" in baseline.no_followups
    read = DriftBaseline.from_bytes(baseline.to_bytes())
    assert (read.followups, read.no_followups) == (None, baseline.no_followups)


def test_no_conversation_is_on_both_sides_or_near_itself(world: World, build: Build) -> None:
    """Copies of one conversation's texts are as strange as they are without it."""
    requests = talk(world, 400, range(6))
    baseline = baseline_of(build, requests)
    assert baseline.facts["openings"] == baseline.facts["followups"] == 400
    assert baseline.facts["events"] == 800
    for unit, known in baseline.units.items():
        trials = dict(
            zip(
                [one.name for one in known.references[""].indicators],
                known.references[""].trials,
                strict=True,
            )
        )
        assert trials["novelty/above_0.5"] == 400
        assert abs(trials["cluster/0"] - 400 * 2 / 3) < 40
        assert known.projection.unit is unit
    openings, followups = baseline.units.values()
    assert openings.references[""].trials[0] == followups.references[""].trials[0]


def test_a_conversations_own_texts_do_not_make_it_usual(world: World, build: Build) -> None:
    """Half of what distinguishes a request is its conversation's own."""
    requests = talk(world, 600, range(6))
    fresh = talk(world, 600, range(6))
    baseline = baseline_of(build, requests)
    for unit, known in baseline.units.items():
        found = fresh.of(unit)
        watched = watch(baseline, [one.text for one in found.past], found.vectors, unit)
        rates = watched.hits.mean(axis=0)
        for j, indicator in enumerate(known.references[""].indicators):
            if indicator.family == "novelty":
                assert known.references[""].low[j] <= rates[j] <= known.references[""].high[j]


def test_the_document_keeps_both_kinds(world: World, build: Build) -> None:
    baseline = baseline_of(build, talk(world, 300, range(6)))
    read = DriftBaseline.from_bytes(baseline.to_bytes(), "drift-1")
    assert read.to_bytes() == baseline.to_bytes()
    assert read.followups is not None
    assert read.followups.references[""].baseline == "drift-1"
    labels = {
        unit: {label for urn in known.references[""].polya_urns for label in urn.labels}
        for unit, known in read.units.items()
    }
    assert labels[Unit.OPENING].isdisjoint(labels[Unit.FOLLOWUP])
    names = {
        unit: {one.counter.name for one in known.references[""].indicators}  # type: ignore[union-attr]
        for unit, known in read.units.items()
    }
    assert names[Unit.OPENING].isdisjoint(names[Unit.FOLLOWUP])


@pytest.mark.stats
@pytest.mark.timeout(900)
def test_hundreds_of_streams_of_conversations_keep_the_promise(world: World, build: Build) -> None:
    """The baseline is drawn anew each time."""
    baselines, streams = 60, 4
    peaks: dict[Unit, list[float]] = {unit: [] for unit in Unit}
    for _ in range(baselines):
        baseline = baseline_of(build, talk(world, 300, range(6)))
        for _ in range(streams):
            stream = talk(world, 500, range(6))
            for unit in Unit:
                peaks[unit].append(peak(baseline, stream, unit, budget=1))
    for found in peaks.values():
        for budget in (0.03, 0.1, 0.3):
            share = np.mean(np.array(found) >= -np.log(budget))
            allowed = budget + 0.05  # the bands may miss a rate
            assert share <= allowed + 3 * np.sqrt(allowed * (1 - allowed) / baselines)
