"""A state is taken over when nothing newer can be hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import create_autospec

import pytest
from structlog.testing import capture_logs

from tidegauge.runtime.kafka.errors import HiddenStateError
from tidegauge.runtime.kafka.state_recovery import CommittedOffset, StateRecovery
from tidegauge.runtime.kafka.states import StateReader
from tidegauge.streaming.checkpoints import Checkpoint
from tidegauge.streaming.processor import Partition

PARTITION = Partition("requests.v1", 2)
OWNERS = {PARTITION: "drift/requests.v1-2"}


def checkpoint(generation: int, next_offset: int = 40) -> Checkpoint:
    return Checkpoint(
        owner=OWNERS[PARTITION], generation=generation, next_offset=next_offset, state=b""
    )


def reader(*seen: Checkpoint | None) -> StateRecovery:
    """Return a reader that sees one state after the other, the last one for good."""
    states: Any = create_autospec(StateReader, instance=True)
    states.checkpoint.side_effect = [*seen, *[seen[-1]] * 9]
    return StateRecovery(states, wait_seconds=60)


def pauses(most: int) -> tuple[list[None], Callable[[], bool]]:
    taken: list[None] = []

    def pause() -> bool:
        taken.append(None)
        return len(taken) <= most

    return taken, pause


@pytest.mark.parametrize(
    ("hidden", "last"),
    [
        (checkpoint(6), checkpoint(7)),  # a state that time alone has made
        (checkpoint(6, next_offset=30), checkpoint(7)),
        (None, checkpoint(7)),
    ],
)
def test_an_older_state_than_the_offset_belongs_to_is_not_taken(
    hidden: Checkpoint | None, last: Checkpoint
) -> None:
    taken, pause = pauses(3)
    found = reader(hidden, last).checkpoints(OWNERS, lambda _: CommittedOffset(40, 7), pause)
    assert found == {PARTITION: last}
    assert len(taken) == 1


def test_a_state_that_stays_hidden_is_said_and_not_gone_on_from() -> None:
    _, pause = pauses(2)
    with pytest.raises(HiddenStateError, match=r"state 6 is as of 40, .* 40 with state 7"):
        reader(checkpoint(6)).checkpoints(OWNERS, lambda _: CommittedOffset(40, 7), pause)


@pytest.mark.parametrize(
    ("committed", "told"), [(CommittedOffset(5), 1), (CommittedOffset(5, 6), 0)]
)
def test_an_offset_that_may_have_been_set_back_by_hand_is_told(
    committed: CommittedOffset, told: int
) -> None:
    _, pause = pauses(0)
    with capture_logs() as logs:
        found = reader(checkpoint(6)).checkpoints(OWNERS, lambda _: committed, pause)
    assert found == {PARTITION: checkpoint(6)}
    said = [line for line in logs if "lies before its state" in line["event"]]
    assert [(line["offset"], line["state"]) for line in said] == [(5, 40)] * told


@pytest.mark.parametrize("committed", [None, CommittedOffset(40), CommittedOffset(38, 5)])
def test_what_nothing_is_known_to_follow_is_taken_at_once(
    committed: CommittedOffset | None,
) -> None:
    taken, pause = pauses(0)
    found = reader(checkpoint(6)).checkpoints(OWNERS, lambda _: committed, pause)
    assert found == {PARTITION: checkpoint(6)}
    assert not taken
