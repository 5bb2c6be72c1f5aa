"""State recovery: finding the last checkpoint of each partition, once nothing hides it.

A transaction that was begun before a rebalance may still be open after it, because its worker
was killed or is suspended. Until the transaction ends, the broker shows neither its offsets
(KIP-447) nor any record after its start, so that a committed checkpoint may be invisible, even
to the worker that wrote it. Continuing from an earlier checkpoint would count events twice.
A checkpoint is committed with its offset or before it, and each committed offset carries the
generation of its checkpoint: a checkpoint that has reached both the offset and the generation is
the last one. (The offset alone is not enough: ticks write checkpoints without reading records,
and the end of a transaction becomes visible in one topic before another.)
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
    """The group's committed offset of a partition.

    Attributes:
        offset: The first record that has not been processed.
        generation: Generation of the checkpoint committed with it; 0 if unknown.
    """

    offset: int
    generation: int = 0


def _why_hidden(checkpoint: Checkpoint | None, committed: CommittedOffset | None) -> str | None:
    """Return why a checkpoint is not the last one, None if it is."""
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


def _tell_if_set_back(
    partition: Partition, checkpoint: Checkpoint | None, committed: CommittedOffset | None
) -> None:
    """Log an offset that may have been set back by hand, which has no effect."""
    if committed is None or committed.generation or checkpoint is None:
        return  # our own commits have a generation, where the broker keeps it
    if committed.offset < checkpoint.next_offset:
        _log.warning(
            "the group's offset lies before its state, which is gone on from: if somebody set it "
            "back to read again, start the group under another name, or replay the time",
            partition=str(partition),
            offset=committed.offset,
            state=checkpoint.next_offset,
        )


class StateRecovery:
    """Finds the last checkpoints that earlier owners of partitions wrote.

    Args:
        states: Reads the group's checkpoints.
        wait_seconds: Longest time that a transaction may hide a checkpoint.
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
        """Return each partition's last checkpoint, None where it never had one.

        Args:
            owners: The key of each partition's state.
            committed: Returns the group's committed offset; times out after a short time while
                an open transaction hides it.
            pause: Waits a moment; returns False to give up.

        Raises:
            HiddenStateError: A checkpoint stayed behind its offset, or ``pause`` returned False.
            KafkaError: The broker does not answer.
            LogError: The same.
        """
        deadline = time.monotonic() + self._wait_seconds
        logged = False
        while True:
            hidden = self._look(owners, committed)
            if not hidden:
                return {
                    partition: self._states.checkpoint(owner) for partition, owner in owners.items()
                }
            if not logged:
                logged = True
                _log.info("waiting for open transactions", partitions=sorted(map(str, hidden)))
            if not pause() or time.monotonic() > deadline:
                partition, why = next(iter(hidden.items()))
                raise HiddenStateError(str(partition), why)

    def _look(
        self,
        owners: Mapping[Partition, str],
        committed: Callable[[Partition], CommittedOffset | None],
    ) -> dict[Partition, str]:
        """Read offsets and then checkpoints; return why partitions cannot be taken over yet."""
        offsets: dict[Partition, CommittedOffset | None] = {}
        for partition in owners:
            try:
                offsets[partition] = committed(partition)
            except KafkaTimeoutError:
                return {partition: "an open transaction hides the group's offset"}
        self._states.refresh()
        states = {partition: self._states.checkpoint(owner) for partition, owner in owners.items()}
        for partition, state in states.items():
            _tell_if_set_back(partition, state, offsets[partition])
        found = {
            partition: _why_hidden(state, offsets[partition]) for partition, state in states.items()
        }
        return {partition: why for partition, why in found.items() if why is not None}
