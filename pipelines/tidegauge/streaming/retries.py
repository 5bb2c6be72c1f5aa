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
    """Pauses between attempts, and the number of attempts.

    Attributes:
        first_seconds: Pause after the first failure; it doubles with each further one.
        most_seconds: Longest pause.
        attempts: Number of failures in a row, other than of an unavailable service, after
            which a batch is halved or a single record becomes a dead letter.
    """

    first_seconds: float = 0.2
    most_seconds: float = 15.0
    attempts: int = 3

    def pause_seconds(self, failures: int) -> float:
        """Return the pause after a number of failures in a row (1 or more), in seconds."""
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
    that causes the failure is alone in its batch; at once, if the error says that trying again
    does not help.

    Args:
        worker: Processes the records.
        records: Records, in order within each partition.
        now_ms: The clock, Unix milliseconds.
        wait: Waits for some seconds after an error; returns False to give up.
        retry_policy: Pauses and number of attempts.

    Returns:
        False if ``wait`` gave up; records processed before that stay processed.

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
            if error.final or lasting >= retry_policy.attempts:
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
