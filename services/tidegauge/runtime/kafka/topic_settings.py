"""The settings that topics need, compared with those that they have on the broker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kafka import codec

from tidegauge.schemas.topics import REQUESTS, RESPONSES, Topic

__all__ = [
    "TIMESTAMP_TYPE",
    "Difference",
    "differences",
    "missing_codecs",
    "readable_codecs",
    "settings_of",
]

_Settings: TypeAlias = Mapping[str, str]
_Wrong: TypeAlias = tuple[str, str, str]
"""A setting, our value, and what follows from theirs."""

TIMESTAMP_TYPE = "message.timestamp.type"

_BY_THE_BROKERS_CLOCK = (REQUESTS.name, RESPONSES.name)
"""Topics whose producers have clocks of their own: the broker sets their records' timestamps."""

_RECORD_BYTES = 1_048_588
"""Kafka's own default, within which every record of tidegauge stays."""

_FOREVER = "-1"

_DAY_MS = 86_400_000
_SEGMENT_MS = 600_000
_LAG = "max.compaction.lag.ms"
_REPLACED_MS = 3_600_000
"""Longest time that a compacted topic keeps what was replaced: an old state may hold a text."""

_LONGEST_TIMES: Mapping[str, str] = {
    "segment.ms": "texts are kept for longer, until their segment ends",
    "min.compaction.lag.ms": "what was erased or replaced stays for longer",
    _LAG: "what was erased or replaced stays for longer",
}
"""Settings -> what follows if they are longer than ours."""

_CODECS: Mapping[str, tuple[str, Callable[[], bool]]] = {
    "gzip": ("", codec.has_gzip),
    "snappy": ("python-snappy", codec.has_snappy),
    "lz4": ("lz4", codec.has_lz4),
    "zstd": ("zstandard", codec.has_zstd),
}
"""Compression -> package that reads it, and whether it is installed."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of a topic that differs from what its readers rely on.

    Attributes:
        topic: The topic.
        setting: The setting.
        ours: The value that tidegauge gives it.
        theirs: The value that it has.
        harm: What follows from it.
    """

    topic: str
    setting: str
    ours: str
    theirs: str
    harm: str

    def __str__(self) -> str:
        """Return it in one line."""
        return (
            f"{self.topic}: {self.setting} is {self.theirs}, tidegauge's is {self.ours}: "
            f"{self.harm}"
        )

    @property
    def remedy(self) -> str:
        """The command that mends it."""
        value = f"'[{self.ours}]'" if "," in self.ours else self.ours
        return (
            "kafka-configs.sh --bootstrap-server … --alter --entity-type topics "
            f"--entity-name {self.topic} --add-config {self.setting}={value}"
        )


def settings_of(topic: Topic, text_ms: int) -> dict[str, str]:
    """Return the settings with which a topic is created.

    Args:
        topic: The topic.
        text_ms: How long texts are kept, in milliseconds.
    """
    if topic.compacted:
        # Small segments, cleaned early: readers read such a topic from its beginning.
        return {
            "cleanup.policy": "compact",
            "segment.bytes": str(32 * 1024 * 1024),
            "segment.ms": str(10 * 60 * 1000),
            "min.cleanable.dirty.ratio": "0.2",
            _LAG: str(_REPLACED_MS),
        }
    kept_ms = text_ms if topic.holds_text else topic.retention_ms
    settings = {"cleanup.policy": "delete", "retention.ms": str(kept_ms)}
    if topic.holds_text:
        # Whole segments are deleted: short ones keep little beyond the time. Every record has a
        # key of its own, so compaction removes only what a tombstone erases; it runs once for
        # each segment, when the segment is as old as one.
        segment_ms = str(max(_SEGMENT_MS, min(_DAY_MS, text_ms // 7)))
        settings |= {
            "cleanup.policy": "compact,delete",
            "segment.ms": segment_ms,
            _LAG: segment_ms,
            "min.cleanable.dirty.ratio": "1",
        }
    if topic.name in _BY_THE_BROKERS_CLOCK:
        settings[TIMESTAMP_TYPE] = "LogAppendTime"
    return settings


def differences(topic: Topic, found: _Settings, text_ms: int) -> Iterator[Difference]:
    """Yield the settings of a topic on the broker that do harm.

    Args:
        topic: The topic.
        text_ms: How long texts are kept, in milliseconds.
        found: Its settings on the broker; those that are not there are not compared.
    """
    ours = settings_of(topic, text_ms)
    for setting, wanted, harm in (
        *_wrong_policy(topic, ours, found),
        *_wrong_retention(topic, ours, found),
        *_long_times(topic, ours, found),
        *_unusable_records(ours, found),
    ):
        yield Difference(topic.name, setting, wanted, found[setting], harm)


def _wrong_policy(topic: Topic, ours: _Settings, found: _Settings) -> Iterator[_Wrong]:
    policies = {policy.strip() for policy in found.get("cleanup.policy", "").split(",")} - {""}
    if policies and policies != set(ours["cleanup.policy"].split(",")):
        yield "cleanup.policy", ours["cleanup.policy"], _harm_of_policy(topic, policies)


def _wrong_retention(topic: Topic, ours: _Settings, found: _Settings) -> Iterator[_Wrong]:
    if topic.compacted:
        return
    kept = found.get("retention.ms", "")
    if kept and kept != _FOREVER and int(kept) < int(ours["retention.ms"]):
        harm = "records are gone before reports, baselines and late workers have read them"
        yield "retention.ms", ours["retention.ms"], harm
    elif kept and topic.holds_text and kept != ours["retention.ms"]:
        harm = "texts are kept for longer than TIDEGAUGE_KAFKA_TEXT_DAYS says"
        yield "retention.ms", ours["retention.ms"], harm
    if found.get("retention.bytes", _FOREVER) != _FOREVER:
        harm = "much traffic shortens the time for which records are kept"
        yield "retention.bytes", _FOREVER, harm


def _long_times(topic: Topic, ours: _Settings, found: _Settings) -> Iterator[_Wrong]:
    """Yield the settings by which texts, or what was replaced, stay longer than by ours."""
    harms = _LONGEST_TIMES if topic.holds_text else {_LAG: _LONGEST_TIMES[_LAG]}
    for setting, harm in harms.items() if topic.holds_text or topic.compacted else ():
        most = ours.get(setting, "0")
        if int(found.get(setting, most)) > int(most):
            yield setting, most, harm


def _unusable_records(ours: _Settings, found: _Settings) -> Iterator[_Wrong]:
    wanted = ours.get(TIMESTAMP_TYPE)
    if wanted and found.get(TIMESTAMP_TYPE, wanted) != wanted:
        harm = "times are the producers', and ranges of time miss what arrived late"
        yield TIMESTAMP_TYPE, wanted, harm
    if int(found.get("max.message.bytes", _RECORD_BYTES)) < _RECORD_BYTES:
        harm = "a state, a baseline or a long record is refused, and its worker stops"
        yield "max.message.bytes", str(_RECORD_BYTES), harm
    package, readable = _CODECS.get(found.get("compression.type", ""), ("", lambda: True))
    if not readable():
        yield "compression.type", "producer", f"not read here: pip install {package}"


def _harm_of_policy(topic: Topic, policies: Collection[str]) -> str:
    if "delete" not in policies:
        return (
            "texts are kept for ever"
            if topic.holds_text
            else "records are deleted that nobody has read yet"
        )
    if topic.holds_text:
        return "`tidegauge erase` cannot erase single requests"
    if topic.compacted:
        return "what is needed for good is deleted after a while"
    return "records are deleted that nobody has read yet"


def readable_codecs() -> list[str]:
    """Return the compressions that can be read here."""
    return [name for name, (_, readable) in _CODECS.items() if readable()]


def missing_codecs() -> dict[str, str]:
    """Return the compressions that cannot be read here, with the packages that read them."""
    return {name: package for name, (package, readable) in _CODECS.items() if not readable()}
