"""Retries of records that an extractor fails on: wait, or find the record that causes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidegauge.streaming.errors import ExtractionError
from tidegauge.streaming.processor import Record
from tidegauge.streaming.worker import Worker

__all__ = ["FAILED", "RetryPolicy", "process_with_retries"]

FAILED = "processing_failed"
"""Reason of a dead letter: the extractor failed on the record alone in every attempt."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to wait.

    Attributes:
        first_seconds: Pause after the first failure; it doubles with each.
        most_seconds: Longest pause.
        attempts: Failures in a row that waiting does not mend, after which a batch is halved, or
            a single record becomes a dead letter.
    """

    first_seconds: float = 0.2
    most_seconds: float = 15.0
    attempts: int = 3

    def pause_seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row, from 1."""
        return min(self.first_seconds * 2.0 ** min(failures - 1, 30), self.most_seconds)


def process_with_retries(
    worker: Worker,
    records: Sequence[Record],
    *,
    now_ms: Callable[[], int],
    wait: Callable[[float, ExtractionError], bool],
    retry_policy: RetryPolicy,
) -> bool:
    """Process records until each is processed or written as a dead letter.

    While a service that the extractor needs is unavailable, no record becomes a dead letter,
    however long that takes. A batch that fails for another reason is halved until the record
    that causes it stands alone.

    Args:
        worker: Processes them.
        records: In order within each partition.
        now_ms: The clock, Unix milliseconds.
        wait: Waits for some seconds after an error; returns False to give up.
        retry_policy: How often and how long to wait.

    Returns:
        False where ``wait`` gave up; records processed before stay processed.

    Raises:
        DeadLetterRateError: Too many records became dead letters.
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
            if lasting >= retry_policy.attempts:
                failures = lasting = 0
                batches.popleft()
                if len(batch) == 1:
                    worker.reject(batch[0], FAILED, str(error), now_ms())
                else:
                    middle = len(batch) // 2
                    batches.extendleft((batch[middle:], batch[:middle]))
            elif not wait(retry_policy.pause_seconds(failures), error):
                return False
        else:
            failures = lasting = 0
            batches.popleft()
    return True
