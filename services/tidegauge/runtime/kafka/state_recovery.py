"""What a worker takes over: the last state of each partition, once nothing hides it.

A transaction that was begun before a rebalance may still be open after it: its worker was
killed or sleeps in the middle of it. Until it ends, the broker tells neither the offsets in it
(KIP-447) nor any record behind it, so that a state which counts already may not be seen yet,
not even by the worker that wrote it. To go on from the one before would count events twice.
But states and offsets become true together, or the state first, and each offset says of which
generation its state is: where a state is as far and of that generation, it is the last one. (As
far is not enough: time alone makes states, and the broker tells a transaction's end to one topic
before another.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from kafka.errors import KafkaTimeoutError

from tidegauge.runtime.kafka.errors import HiddenStateError
from tidegauge.runtime.kafka.states import StateReader
from tidegauge.streaming.checkpoints import Checkpoint
from tidegauge.streaming.processor import Partition

__all__ = ["CommittedOffset", "StateRecovery"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """What the group knows of a partition.

    Attributes:
        offset: The first record that has not been processed.
        generation: Of the document that was committed with it; 0 where nobody said.
    """

    offset: int
    generation: int = 0


def _why_hidden(checkpoint: Checkpoint | None, committed: CommittedOffset | None) -> str | None:
    """Return what says that a state is not the last one, None where nothing does."""
    if committed is None:
        return None
    state = "is not there"
    if checkpoint is not None:
        far = checkpoint.next_offset >= committed.offset
        if far and checkpoint.generation >= committed.generation:
            return None
        state = f"{checkpoint.generation} is as of {checkpoint.next_offset}"
    offset = f"{committed.offset} with state {committed.generation}"
    return f"its state {state}, the group's offset is {offset}"


class StateRecovery:
    """Finds what the last owners of partitions left.

    Args:
        states: The group's states.
        wait_seconds: How long a transaction may hide a state.
    """

    def __init__(self, states: StateReader, wait_seconds: float) -> None:
        self._states = states
        self._wait_seconds = wait_seconds

    def checkpoints(
        self,
        owners: Mapping[Partition, str],
        committed: Callable[[Partition], CommittedOffset | None],
        pause: Callable[[], bool],
    ) -> dict[Partition, Checkpoint | None]:
        """Return each partition's last document, None where it never had one.

        Args:
            owners: The key of each partition's state.
            committed: Asks for the group's offset; while a transaction with it is open, for a
                moment only.
            pause: Waits a moment; false where there is no more use in waiting.

        Raises:
            HiddenStateError: A state stayed behind its offset, or waiting was given up.
            KafkaError: The broker does not answer.
            LogError: The same.
        """
        deadline = time.monotonic() + self._wait_seconds
        said = False
        while True:
            hidden = self._look(owners, committed)
            if not hidden:
                return {
                    partition: self._states.checkpoint(owner) for partition, owner in owners.items()
                }
            if not said:
                said = True
                _log.info("waiting for open transactions", partitions=sorted(map(str, hidden)))
            if not pause() or time.monotonic() > deadline:
                partition, why = next(iter(hidden.items()))
                raise HiddenStateError(str(partition), why)

    def _look(
        self,
        owners: Mapping[Partition, str],
        committed: Callable[[Partition], CommittedOffset | None],
    ) -> dict[Partition, str]:
        """Read offsets and then states; return why partitions cannot be taken over yet."""
        offsets: dict[Partition, CommittedOffset | None] = {}
        for partition in owners:
            try:
                offsets[partition] = committed(partition)
            except KafkaTimeoutError:
                return {partition: "the group's offset is not told"}
        self._states.refresh()
        found = {
            partition: _why_hidden(self._states.checkpoint(owner), offsets[partition])
            for partition, owner in owners.items()
        }
        return {partition: why for partition, why in found.items() if why is not None}
