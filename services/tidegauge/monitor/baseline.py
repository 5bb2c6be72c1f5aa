"""Building a baseline of rates from the sketches in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rates import FINGERPRINT, RatesBaseline, build_rates_baseline
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.processor import Record

__all__ = ["build_rates", "sketches_between"]


def build_rates(
    settings: KafkaSettings,
    start_ms: int,
    end_ms: int,
    *,
    progress: Callable[[int], None] | None = None,
) -> str:
    """Build a baseline of rates from a stretch of time and store it; it is not activated.

    Args:
        settings: How to reach Kafka.
        start_ms: Start of the stretch in event time, Unix milliseconds.
        end_ms: Its end; windows that reach beyond it are left out.
        progress: Told how many records have been read, now and then.

    Returns:
        Its id.

    Raises:
        RatesBaselineError: The stretch is empty or has no responses.
        LogError: The broker does not answer, or there is no such topic.
    """
    if not start_ms < end_ms:
        raise RatesBaselineError(
            f"the stretch of time ends ({end_ms}) before it starts ({start_ms})"
        )
    records = reader.read(settings, SKETCHES, start_ms=start_ms)
    found = sketches_between(_counted(records, progress), start_ms, end_ms)
    baseline = build_rates_baseline(found)
    return _publish(settings, baseline)


def sketches_between(records: Iterable[Record], start_ms: int, end_ms: int) -> Iterator[Sketch]:
    """Yield the sketches of whole windows in a stretch of event time, each once.

    Args:
        records: Of ``sketches.v1``, in order within each partition.
        start_ms: Start of the stretch.
        end_ms: Its end.
    """
    last: dict[str, int] = {}
    for record in records:
        try:
            event: Sketch | Progress = decode(record.value, Sketch, Progress)
        except DecodeError:
            continue  # the monitor puts such a record aside and says so
        if event.sequence <= last.get(event.producer_id, 0):
            continue
        last[event.producer_id] = event.sequence
        if isinstance(event, Progress):
            continue
        if start_ms <= event.window_start_ms and event.window_start_ms + event.window_ms <= end_ms:
            yield event


def _counted(records: Iterable[Record], progress: Callable[[int], None] | None) -> Iterator[Record]:
    for number, record in enumerate(records, start=1):
        if progress is not None:
            progress(number)
        yield record


def _publish(settings: KafkaSettings, baseline: RatesBaseline) -> str:
    return BaselineStore(settings).publish(
        "rates", baseline.to_bytes(), FINGERPRINT, baseline.summary()
    )
