"""Events of the pipeline's operation: baselines, snapshots, controls, dead letters."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "BaselineActivation",
    "BaselineChunk",
    "BaselineKind",
    "BaselineManifest",
    "BaselineOrigin",
    "Control",
    "DeadLetter",
    "ExcludedTime",
    "Making",
    "Snapshot",
]

BaselineKind = Literal["drift", "rates"]
"""``drift``: codebook and bands of the inputs; ``rates``: bands of all other monitors."""


Making = Literal["built", "provisional", "accepted", "renewed"]
"""``built`` by a person; ``provisional``: by the monitor, from the first traffic, to be replaced
as it grows; ``accepted``: from the time since a change that a person declared normal; ``renewed``:
from the last clean time, in place of an older one."""


class ExcludedTime(msgspec.Struct, frozen=True, kw_only=True):
    """A time that a baseline leaves out.

    Attributes:
        start_ms: Its start, Unix milliseconds.
        end_ms: Its end, excluded.
        model: Only this model's traffic is left out; empty for all.
        reason: Why, for people.
    """

    start_ms: int
    end_ms: int
    model: str = ""
    reason: str = ""


class BaselineOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """How a baseline came to be.

    Attributes:
        how: The way that it was made.
        who: Name of the person, empty for the monitor itself.
        accepts: Alarms whose change it declares normal, by their ``alert_id``.
        since: Model -> since when its traffic is normal, Unix milliseconds, for models whose
            change was accepted; a baseline in its place uses nothing of before.
        monitors: Monitors whose references are of the time since; empty for all. Those of
            others are the ones of the baseline that it replaces.
        replaces: The baseline that was in force; empty without one.
        changes: How it differs from that one, a sentence each.
        anchor: The oldest baseline that changes add up from: the last one that a person decided
            on, or the first of full length; empty for itself.
        drift: How it differs from the anchor, a sentence each.
        excluded: The times that it leaves out.
    """

    how: Making = "built"
    who: str = ""
    accepts: tuple[str, ...] = ()
    since: dict[str, int] = {}
    monitors: tuple[str, ...] = ()
    replaces: str = ""
    changes: tuple[str, ...] = ()
    anchor: str = ""
    drift: tuple[str, ...] = ()
    excluded: tuple[ExcludedTime, ...] = ()


class BaselineManifest(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.baseline_manifest"
):
    """A baseline exists and is complete; its chunks were written before.

    Attributes:
        baseline_id: Its identity: a hash of its contents.
        kind: What it is a baseline of.
        fingerprint: Hash of what made it (embedder, backend, text preparation, code).
        created_ms: When it was built.
        parts: Number of chunks.
        sha256: Of the whole document.
        summary: Facts for people, such as ``events``, ``from``, ``to``, ``segments``.
        origin: How it came to be.
        dropped_ms: When its chunks were deleted, since a longer one had replaced it; None while
            it is kept.
    """

    baseline_id: str
    kind: BaselineKind
    fingerprint: str
    created_ms: int
    parts: int
    sha256: str
    summary: dict[str, str] = {}
    origin: BaselineOrigin = BaselineOrigin()
    dropped_ms: int | None = None
    schema_version: int = 1


class BaselineChunk(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.baseline_chunk"
):
    """One part of a baseline's document, numbered from 0."""

    baseline_id: str
    part: int
    payload: bytes
    schema_version: int = 1


class BaselineActivation(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag="tidegauge.baseline_activation",
):
    """From now on this baseline is the one in force for its kind.

    Attributes:
        baseline_id: Which one.
        kind: Its kind.
        time_ms: When it was put in force.
        note: Why, for people; alarms that end with it say so.
        provisional: Whether it is to be replaced as it grows.
    """

    baseline_id: str
    kind: BaselineKind
    time_ms: int
    note: str = ""
    provisional: bool = False
    schema_version: int = 1


class Snapshot(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.snapshot"
):
    """A worker's state of one partition, committed together with its offsets.

    Attributes:
        owner: ``group/topic-partition``.
        next_offset: The first record that the state has not seen.
        state: The processor's own plain, versioned data.
    """

    owner: str
    next_offset: int
    state: bytes
    schema_version: int = 1


class Control(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.control"):
    """A person's word to the monitor.

    Attributes:
        action: ``acknowledge`` says that somebody has the alarm, which goes on firing;
            ``close`` ends it and starts the named monitor afresh; ``silence`` mutes the monitor.
        monitor: Name of the monitor.
        segment: Key of the segment.
        time_ms: When it was said.
        until_ms: End of a silence; one that has passed ends the silence in force.
        who: Name of the person, as given.
        note: Why.
    """

    action: Literal["acknowledge", "close", "silence"]
    monitor: str
    segment: str
    time_ms: int
    until_ms: int | None = None
    who: str = ""
    note: str = ""
    schema_version: int = 1


class DeadLetter(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.dead_letter"
):
    """A record that could not be processed, kept whole as far as a record may be long.

    Attributes:
        group: The consumer group that gave it up.
        topic: Where it lay.
        partition: Its partition.
        offset: Its offset.
        time_ms: When it was given up.
        reason: Short code, such as ``malformed_json``.
        detail: What was wrong, for people.
        key: The record's key, if any.
        value: The record's bytes.
        headers: The record's headers.
        left_out_bytes: Bytes of value, key and headers beyond what a dead letter holds. The
            whole record stays where it lay until its time is over.
    """

    group: str
    topic: str
    partition: int
    offset: int
    time_ms: int
    reason: str
    detail: str
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    left_out_bytes: int = 0
    schema_version: int = 1
