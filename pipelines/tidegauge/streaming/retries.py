"""What to do with records that a meter fails on: wait, or find the one that is to blame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidegauge.streaming.errors import ExtractionError
from tidegauge.streaming.processor import Record
from tidegauge.streaming.worker import Worker

__all__ = ["FAILED", "RetryPolicy", "persist"]

FAILED = "processing_failed"
"""Reason of a dead letter that a meter failed on every time, alone."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to wait.

    Attributes:
        first_seconds: Pause after the first failure; it doubles with each.
        most_seconds: Longest pause.
        attempts: Failures of a kind that waiting does not mend, before a batch is halved, or a
            single record is put aside.
    """

    first_seconds: float = 0.2
    most_seconds: float = 15.0
    attempts: int = 3

    def pause_seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row, from 1."""
        return min(self.first_seconds * 2.0 ** min(failures - 1, 30), self.most_seconds)


def persist(
    worker: Worker,
    records: Sequence[Record],
    *,
    now_ms: Callable[[], int],
    wait: Callable[[float, ExtractionError], bool],
    patience: RetryPolicy,
) -> bool:
    """Process records until each is processed or put aside.

    While what the meter needs is away, nothing is put aside, however long that takes. A batch
    that fails for another reason is halved until the record to blame stands alone.

    Args:
        worker: Processes them.
        records: In order within each partition.
        now_ms: The clock, Unix milliseconds.
        wait: Waits for so many seconds after an error; False to give up.
        patience: How often and how long.

    Returns:
        False where it was given up; what was processed before stays so.

    Raises:
        DeadLetterRateError: Too many were put aside.
    """
    batches = deque([tuple(records)])
    failures = lasting = 0
    while batches:
        batch = batches[0]
        try:
            worker.process(batch, now_ms())
        except ExtractionError as error:
            failures += 1
            lasting = 0 if error.passing else lasting + 1
            if lasting >= patience.attempts:
                failures = lasting = 0
                batches.popleft()
                if len(batch) == 1:
                    worker.reject(batch[0], FAILED, str(error), now_ms())
                else:
                    middle = len(batch) // 2
                    batches.extendleft((batch[middle:], batch[:middle]))
            elif not wait(patience.pause_seconds(failures), error):
                return False
        else:
            failures = lasting = 0
            batches.popleft()
    return True
