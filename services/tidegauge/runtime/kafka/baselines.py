"""Baselines as documents in a compacted topic, in parts, and which of them are in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256

import msgspec

from tidegauge.reports.formatting import moment
from tidegauge.runtime import clock
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.erasing import write_tombstones
from tidegauge.runtime.kafka.errors import (
    BaselineCorruptError,
    BaselineDroppedError,
    UnknownBaselineError,
)
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, Event, decode
from tidegauge.schemas.operations import (
    BaselineActivation,
    BaselineChunk,
    BaselineKind,
    BaselineManifest,
    BaselineOrigin,
)
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.schemas.topics import BASELINES
from tidegauge.streaming.processor import Output

__all__ = ["PART_BYTES", "BaselineStore"]

PART_BYTES = 512 * 1024
_SOURCE = "tidegauge/baselines"


class BaselineStore:
    """Publishes, lists, loads and activates baselines.

    A baseline exists once its manifest, which is written after its parts, has been published.
    Its id is a hash of its contents, so publishing it again changes nothing.

    Args:
        settings: Connection to Kafka.
        now_ms: The clock, Unix milliseconds.
    """

    def __init__(self, settings: KafkaSettings, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._settings = settings
        self._now_ms = now_ms

    def publish(
        self,
        kind: BaselineKind,
        document: bytes,
        fingerprint: str,
        summary: Mapping[str, str],
        origin: BaselineOrigin | None = None,
    ) -> str:
        """Store a baseline; it is not in force until it is activated.

        Args:
            kind: Its kind.
            document: The baseline.
            fingerprint: Hash of what made it.
            summary: Facts for people.
            origin: How it came to be; built by a person if None.

        Returns:
            Its id.

        Raises:
            LogError: The broker does not answer, or did not accept the records.
        """
        digest = sha256(document).hexdigest()
        baseline_id = f"{kind}-{digest[:16]}"
        payloads = [
            document[start : start + PART_BYTES]
            for start in range(0, max(len(document), 1), PART_BYTES)
        ]
        manifest = BaselineManifest(
            baseline_id=baseline_id,
            kind=kind,
            fingerprint=fingerprint,
            created_ms=self._now_ms(),
            parts=len(payloads),
            sha256=digest,
            summary=dict(summary),
            origin=origin or BaselineOrigin(),
        )
        chunks = [
            self._output(
                f"{baseline_id}/{part}",
                BaselineChunk(baseline_id=baseline_id, part=part, payload=payload),
            )
            for part, payload in enumerate(payloads)
        ]
        with Publisher(self._settings) as publisher:
            publisher.publish(chunks)
            publisher.publish([self._output(baseline_id, manifest)])
        return baseline_id

    def list(self) -> list[BaselineManifest]:
        """Return every baseline, the oldest first.

        Raises:
            LogError: The broker does not answer, or there is no such topic.
        """
        found = [event for event in self._latest().values() if isinstance(event, BaselineManifest)]
        return sorted(found, key=lambda manifest: (manifest.created_ms, manifest.baseline_id))

    def load(self, baseline_id: str) -> bytes:
        """Return a baseline's document.

        Raises:
            UnknownBaselineError: There is none of this id.
            BaselineDroppedError: It is no longer kept.
            BaselineCorruptError: A part is missing, or the document's hash does not match.
            LogError: The broker does not answer, or there is no such topic.
        """
        latest = self._latest()
        manifest = _kept(latest, baseline_id)
        document = b""
        for part in range(manifest.parts):
            chunk = latest.get(f"{baseline_id}/{part}")
            if not isinstance(chunk, BaselineChunk):
                raise BaselineCorruptError(
                    f"part {part} of {manifest.parts} of baseline {baseline_id} is missing: "
                    "build it again"
                )
            document += chunk.payload
        digest = sha256(document).hexdigest()
        if digest != manifest.sha256:
            raise BaselineCorruptError(
                f"baseline {baseline_id} has SHA-256 {digest}, its manifest says "
                f"{manifest.sha256}: build it again"
            )
        return document

    def manifest(self, baseline_id: str) -> BaselineManifest:
        """Return what is known of a baseline.

        Raises:
            UnknownBaselineError: There is none of this id.
            LogError: The broker does not answer, or there is no such topic.
        """
        return _manifest(self._latest(), baseline_id)

    def activate(self, baseline_id: str, note: str = "") -> BaselineManifest:
        """Put a baseline in force for its kind.

        Args:
            baseline_id: Which one.
            note: Why, for people.

        Raises:
            UnknownBaselineError: There is none of this id.
            BaselineDroppedError: It is no longer kept.
            LogError: The broker does not answer, or did not accept the records.
        """
        manifest = _kept(self._latest(), baseline_id)
        activation = BaselineActivation(
            baseline_id=baseline_id,
            kind=manifest.kind,
            time_ms=self._now_ms(),
            note=note,
            provisional=manifest.origin.how == "provisional",
        )
        with Publisher(self._settings) as publisher:
            publisher.publish([self._output(f"active/{manifest.kind}", activation)])
        return manifest

    def drop(self, baseline_ids: Collection[str]) -> None:
        """Delete the contents of baselines; what is known of them stays.

        Raises:
            UnknownBaselineError: There is none of an id.
            LogError: The broker does not answer, or did not accept the records.
        """
        latest = self._latest()
        found = [_manifest(latest, baseline_id) for baseline_id in baseline_ids]
        dropped = [msgspec.structs.replace(one, dropped_ms=self._now_ms()) for one in found]
        with Publisher(self._settings) as publisher:
            publisher.publish(self._output(one.baseline_id, one) for one in dropped)
        write_tombstones(
            self._settings,
            (
                (RecordPlace(BASELINES.name, 0, 0), f"{one.baseline_id}/{part}".encode())
                for one in found
                for part in range(one.parts)
            ),
        )

    def active(self, kind: BaselineKind) -> str | None:
        """Return the id of the baseline in force for a kind, None if there is none.

        Raises:
            LogError: The broker does not answer, or there is no such topic.
        """
        found = self.activation(kind)
        return found.baseline_id if found else None

    def activation(self, kind: BaselineKind) -> BaselineActivation | None:
        """Return the latest activation of a kind, None if there is none.

        Raises:
            LogError: The broker does not answer, or there is no such topic.
        """
        found = self._latest().get(f"active/{kind}")
        return found if isinstance(found, BaselineActivation) else None

    def _latest(self) -> dict[str, Event]:
        latest: dict[str, Event] = {}
        for record in reader.read(self._settings, BASELINES):
            if record.is_tombstone:
                latest.pop((record.key or b"").decode(errors="replace"), None)
                continue
            try:
                event: Event = decode(
                    record.value, BaselineManifest, BaselineChunk, BaselineActivation
                )
            except DecodeError:
                continue  # a later release's event
            latest[(record.key or b"").decode(errors="replace")] = event
        return latest

    def _output(
        self, key: str, event: BaselineManifest | BaselineChunk | BaselineActivation
    ) -> Output:
        now_ms = self._now_ms()
        return Output(
            topic=BASELINES,
            key=key,
            event=event,
            source=_SOURCE,
            event_id=f"{key}@{now_ms}",
            time_ms=now_ms,
        )


def _kept(latest: Mapping[str, Event], baseline_id: str) -> BaselineManifest:
    found = _manifest(latest, baseline_id)
    if found.dropped_ms is not None:
        raise BaselineDroppedError(
            f"baseline {baseline_id} is no longer kept: a longer one replaced it, and its contents "
            f"were deleted at {moment(found.dropped_ms)}; `tidegauge baseline list` has the others"
        )
    return found


def _manifest(latest: Mapping[str, Event], baseline_id: str) -> BaselineManifest:
    found = latest.get(baseline_id)
    if isinstance(found, BaselineManifest):
        return found
    known = [key for key, event in latest.items() if isinstance(event, BaselineManifest)]
    raise UnknownBaselineError(
        f"there is no baseline {baseline_id!r}; known: {', '.join(sorted(known)) or 'none'}"
    )
