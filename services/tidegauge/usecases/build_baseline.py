"""Building baselines: of drift from past requests, of rates from what workers have counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from tidegauge.adapters.sentence_transformers import open_embedder
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rates import FINGERPRINT, RatesBaseline, build_rates_baseline
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.exchange import Message, RequestEvent
from tidegauge.schemas.hashing import hash_64
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import REQUESTS, SKETCHES
from tidegauge.streaming.processor import Record
from tidegauge.usecases.errors import PastRequestsError
from tidegauge.workers.drift.extractor import CallerCap
from tidegauge.workers.drift.settings import DriftSettings

__all__ = [
    "FitChoices",
    "ReadRequests",
    "build_drift",
    "build_rates",
    "from_file",
    "from_log",
    "sketches_between",
]

Report = Callable[[str, int], None]
"""Told what is done at present, and how many requests more are embedded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitChoices:
    """What a drift baseline is fitted with.

    Attributes:
        seed: Of the codebook's draws.
        keep_text: Whether terms and examples of each cluster are kept, for people.
        caller_cap: Most requests of a caller in a window; 0 for no cap.
    """

    seed: int = 0
    keep_text: bool = True
    caller_cap: int = 50


@dataclass(slots=True)
class ReadRequests:
    """Past requests, and how many were left out for which reason."""

    past: list[HistoricalRequest] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, reason: str) -> None:
        """Count a request that is not used."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1

    def limit(self, most: int) -> None:
        """Keep at most so many requests, drawn by the hash of text and place."""
        if len(self.past) > most:
            ranked = sorted(
                range(len(self.past)), key=lambda i: hash_64(f"{i}/{self.past[i].text}")
            )
            self.left_out["over the limit"] = len(self.past) - most
            self.past = [self.past[i] for i in sorted(ranked[:most])]


class _Line(msgspec.Struct):
    text: str
    time_ms: int | None = None


def from_file(path: Path, preparation: Preparation) -> ReadRequests:
    """Read a JSONL file: a line each, ``{"text": …}`` with ``time_ms`` if it is known.

    Raises:
        PastRequestsError: The file cannot be read, or a line is not as it must be.
    """
    found = ReadRequests()
    decoder = msgspec.json.Decoder(_Line)
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    one = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise PastRequestsError(
                        f'{path}, line {number}: {error}; a line is {{"text": "…"}}'
                    ) from error
                asked = (Message(role=_role(preparation), content=one.text),)
                text = prepare(asked, preparation).text
                if text:
                    found.past.append(HistoricalRequest(text, time_ms=one.time_ms))
                else:
                    found.leave_out("empty")
    except OSError as error:
        raise PastRequestsError(f"cannot read the prompts {path}: {error.strerror}") from error
    return found


def _role(preparation: Preparation) -> str:
    return "system" if preparation.selection == "system" else "user"


def from_log(  # noqa: PLR0913 - a stretch of the log, and what to take of it
    settings: KafkaSettings,
    preparation: Preparation,
    *,
    start_ms: int,
    end_ms: int,
    segment: str | None,
    caller_cap: int,
    window_ms: int,
) -> ReadRequests:
    """Read a stretch of ``requests.v1``.

    Args:
        settings: How to reach Kafka.
        preparation: How texts are made.
        start_ms: Start of the stretch in event time.
        end_ms: Its end, excluded.
        segment: Only this segment's, by its key; all if None.
        caller_cap: Most events of one caller in a window of a segment; 0 for all.
        window_ms: Length of a window.

    Raises:
        LogError: The broker does not answer, or there is no such topic.
    """
    found, callers = ReadRequests(), CallerCap(window_ms)
    last: dict[tuple[int, str], int] = {}
    for record in reader.read(settings, REQUESTS, start_ms=start_ms):
        try:
            event = decode(record.value, RequestEvent)
        except DecodeError:
            found.leave_out("undecodable")
            continue
        producer = (record.partition.index, event.producer_id)
        if event.sequence <= last.get(producer, 0):
            continue
        last[producer] = event.sequence
        if not start_ms <= event.time_ms < end_ms or event.shadow:
            continue
        if segment is not None and event.segment.key != segment:
            continue
        text = prepare(event.messages, preparation).text if event.capture != "none" else None
        if not text:
            found.leave_out("not captured" if text is None else "empty")
        elif callers.admits(
            record.partition, event.segment, event.customer, event.time_ms, most=caller_cap
        ):
            found.past.append(HistoricalRequest(text, event.segment, event.time_ms))
        else:
            found.leave_out("over the caller's cap")
    return found


def build_drift(
    found: ReadRequests, settings: DriftSettings, choices: FitChoices, report: Report
) -> DriftBaseline:
    """Embed past requests and fit a baseline of drift; it is not stored.

    Args:
        found: The requests; those without a finite vector are counted as left out.
        settings: Of the embedder and of how texts are made.
        choices: What it is fitted with.
        report: Told of the progress.

    Raises:
        TidegaugeError: The embedder cannot be opened, or the requests are too few.
    """
    report("loading the embedder", 0)
    embedder = open_embedder(
        settings.model,
        backend=settings.backend,
        most_tokens=settings.most_tokens,
        threads=settings.threads,
    )
    vectors = embedder.embed(
        [one.text for one in found.past],
        progress=lambda count: report("embedding", count),
    )
    usable = [bool(np.isfinite(vector).all()) for vector in vectors]
    for _ in range(usable.count(False)):
        found.leave_out("no vector")
    return fit(
        [one for one, fine in zip(found.past, usable, strict=True) if fine],
        vectors[np.array(usable, np.bool_)],
        embedder=embedder.fingerprint,
        preparation=settings.preparation(),
        rng=np.random.default_rng(choices.seed),
        keep_exemplars=choices.keep_text,
        caller_cap=choices.caller_cap,
        progress=lambda what: report(what, 0),
    )


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
            continue  # the monitor reports such a record as a dead letter
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
