"""Compares two stored baselines of one kind."""

from __future__ import annotations

import msgspec

from tidegauge.monitoring.baseline_difference import (
    ReferenceShift,
    compare_references,
    difference_sentences,
)
from tidegauge.monitoring.baseline_life import span_of
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.operations import BaselineKind, BaselineManifest
from tidegauge.usecases.errors import PastRequestsError
from tidegauge.usecases.make_baseline import BaselineMaker

__all__ = ["BaselineDifference", "compare_baselines"]


class BaselineDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How two baselines differ.

    Attributes:
        kind: Their kind.
        older: Id of one.
        newer: Id of the other.
        sentences: The differences that are as large as an alarm would need, in words.
        differences: Of rates: what moved most of each monitor on each segment, the largest first.
    """

    kind: BaselineKind
    older: str
    newer: str
    sentences: tuple[str, ...]
    differences: tuple[ReferenceShift, ...] = ()


def compare_baselines(
    maker: BaselineMaker, kafka: KafkaSettings, older: str, newer: str
) -> BaselineDifference:
    """Return how two baselines differ.

    Those of rates are compared by what they hold. Of two drift baselines, the newer one's requests
    are read again from the log and counted by the older one's topics, unless the difference was
    noted when the newer one was built.

    Args:
        maker: Reads and embeds requests.
        kafka: How to reach Kafka.
        older: Id of one.
        newer: Id of the other.

    Raises:
        PastRequestsError: They are of two kinds, or the newer one's requests have no times.
        TidegaugeError: One is unknown, cannot be read, or the log holds its time no longer.
    """
    store = BaselineStore(kafka)
    before, after = store.manifest(older), store.manifest(newer)
    if before.kind != after.kind:
        raise PastRequestsError(
            f"{older} is of {before.kind} and {newer} of {after.kind}: compare two of one kind"
        )
    if before.kind == "rates":
        one, two = (RatesBaseline.from_bytes(store.load(name), name) for name in (older, newer))
        found = compare_references(one.references, two.references)
        return BaselineDifference(
            kind="rates",
            older=older,
            newer=newer,
            sentences=difference_sentences(found),
            differences=found,
        )
    said = _noted(after, older)
    if said is None:
        span = span_of(after)
        if span is None:
            raise PastRequestsError(
                f"the requests of {newer} are from a file without times: they cannot be read again"
            )
        said = maker.moved_since(older, span)
    return BaselineDifference(kind="drift", older=older, newer=newer, sentences=said)


def _noted(after: BaselineManifest, older: str) -> tuple[str, ...] | None:
    origin = after.origin
    if older == origin.replaces:
        return origin.changes
    return origin.drift if older == origin.anchor else None
