"""A drift baseline: how requests are projected, and which rates are normal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.errors import PolyaUrnError
from tidegauge.detection.reference import Reference
from tidegauge.drift.errors import BaselineDocumentError
from tidegauge.drift.novelty import ReferencePoints
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.units import Unit
from tidegauge.drift.vectors import Reduction
from tidegauge.schemas import measures

__all__ = [
    "METHOD",
    "BinEdges",
    "Cluster",
    "DriftBaseline",
    "Projection",
    "UnitBaseline",
    "fingerprint",
]

Vectors: TypeAlias = NDArray[np.float32]
Hashes: TypeAlias = NDArray[np.uint64]

METHOD = "drift/8"
"""Changes when the same texts and vectors would give a different baseline."""

_FORM = 6


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of the baseline, described for people.

    Attributes:
        title: Its terms in one line.
        terms: The terms that set it apart, the strongest first.
        exemplars: Ids of the requests nearest to its centre, as far as they are known.
    """

    title: str
    terms: tuple[str, ...]
    exemplars: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Projection:
    """Everything that turns a vector into indicators, for one kind of unit.

    Attributes:
        unit: What the counted requests are units of.
        reduction: Map from the d dimensions of an embedding to the D of everything below.
        points: Reference points for the novelty, and the K centroids.
        levels: Novelty above which each novelty indicator holds, ascending, shape (L,).
        level_names: Names of the levels, such as ``0.95``.
        lows: Coordinate below which a leading direction's low tail lies, shape (P,).
        highs: Coordinate above which its high tail lies, shape (P,).
        divisions: Centroids of M divisions of the space, each finer than the clusters, unit
            vectors, shape (M, F, D).
        languages: Language codes with an indicator of their own; all others are ``other``.
        frequent: Hashes of the frequent texts, for which novelty is not tested, sorted, shape
            (R,); see ``drift.novelty``.
        language: The only language whose units are counted; empty for all of them.
    """

    unit: Unit
    reduction: Reduction
    points: ReferencePoints
    levels: Vectors
    level_names: tuple[str, ...]
    lows: Vectors
    highs: Vectors
    divisions: Vectors
    languages: tuple[str, ...]
    frequent: Hashes
    language: str = ""

    @property
    def prefix(self) -> str:
        """Return the prefix of the names that a sketch counts them under."""
        if self.language:
            return measures.in_language(self.language)
        return measures.FOLLOWUPS if self.unit is Unit.FOLLOWUP else ""

    @property
    def centroids(self) -> Vectors:
        """Return the centroids, unit vectors of shape (K, D)."""
        return self.points.centroids


@dataclass(frozen=True, slots=True)
class BinEdges:
    """Where the cells of one segment begin, fitted to its requests; see ``drift.partition``.

    Attributes:
        topics: Edges of the cells of each division, shape (M, F-1).
        levels: Edges of the cells of novelty, ascending, shape (L,).
    """

    topics: Vectors
    levels: Vectors


@dataclass(frozen=True, slots=True)
class UnitBaseline:
    """What is normal for one kind of unit.

    Attributes:
        projection: How vectors become indicators.
        clusters: The topics, K of them.
        references: Segment key -> bands; the key ``""`` is for all traffic.
        bin_edges: Segment key -> bin edges of that reference.
        unseen_topic_rates: Indicator -> its rate among requests on an unseen topic, estimated
            by leaving out each cluster in turn; for the detection power.
    """

    projection: Projection
    clusters: tuple[Cluster, ...]
    references: dict[str, Reference]
    bin_edges: dict[str, BinEdges]
    unseen_topic_rates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DriftBaseline:
    """The requests that are declared normal, as projection, topics and bands; immutable.

    Attributes:
        baseline_id: Id of the baseline; empty until it is published.
        embedder: Fingerprint of the embedder that made the vectors.
        preparation: How requests became texts.
        openings: What is normal for openings; every request's topic is told by theirs.
        followups: What is normal for follow-ups; None if they are not tested.
        no_followups: Why they are not tested, for people; empty if they are.
        languages: Language -> what is normal for the openings in it, which have a monitor of
            their own; see ``drift.languages``.
        pooled: Language -> why its openings are tested only with all others, for people.
        facts: Numbers for people: ``events``, ``texts``, ``from_ms``, ``to_ms`` ….
        caller_cap: Most events of one caller that a window counts; 0 for all.
    """

    embedder: str
    preparation: Preparation
    openings: UnitBaseline
    followups: UnitBaseline | None = None
    no_followups: str = ""
    languages: dict[str, UnitBaseline] = field(default_factory=dict)
    pooled: dict[str, str] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)
    caller_cap: int = 0
    baseline_id: str = ""

    @property
    def fingerprint(self) -> str:
        """Return the hash of the embedder, the preparation and the method."""
        return fingerprint(self.embedder, self.preparation)

    @property
    def units(self) -> dict[Unit, UnitBaseline]:
        """Return what is normal for each kind of unit that is tested."""
        found = {Unit.OPENING: self.openings}
        return found if self.followups is None else found | {Unit.FOLLOWUP: self.followups}

    def to_bytes(self) -> bytes:
        """Encode the baseline as a document, which does not contain the id."""
        return msgspec.msgpack.encode(
            _Document(
                form=_FORM,
                method=METHOD,
                embedder=self.embedder,
                preparation=self.preparation,
                units={unit: _unit_document(found) for unit, found in self.units.items()},
                no_followups=self.no_followups,
                languages={
                    language: _language_document(found)
                    for language, found in self.languages.items()
                },
                pooled=self.pooled,
                facts=self.facts,
                caller_cap=self.caller_cap,
            )
        )

    @classmethod
    def from_bytes(cls, document: bytes, baseline_id: str = "") -> DriftBaseline:
        """Decode a document, and set the baseline's id in its references.

        Args:
            document: What ``to_bytes`` returned.
            baseline_id: Id of the baseline in the store.

        Raises:
            BaselineDocumentError: The document is not a drift baseline of this version.
        """
        try:
            header = msgspec.msgpack.decode(document, type=_Header)
            if (header.form, header.method) != (_FORM, METHOD):
                raise BaselineDocumentError(
                    f"drift baseline {baseline_id} was made by {header.method} in form "
                    f"{header.form}, this version reads {METHOD} in form {_FORM}: build it again"
                )
            read = msgspec.msgpack.decode(document, type=_Document)
            units = {
                unit: _unit_baseline(unit, found, baseline_id) for unit, found in read.units.items()
            }
            openings = units[Unit.OPENING]
        except (msgspec.DecodeError, PolyaUrnError, ValueError, TypeError, KeyError) as error:
            raise BaselineDocumentError(
                f"baseline {baseline_id} is no drift baseline ({error}): build it again"
            ) from error
        return cls(
            embedder=read.embedder,
            preparation=read.preparation,
            openings=openings,
            followups=units.get(Unit.FOLLOWUP),
            no_followups=read.no_followups,
            languages={
                language: _language_baseline(openings, language, found, baseline_id)
                for language, found in read.languages.items()
            },
            pooled=read.pooled,
            facts=read.facts,
            caller_cap=read.caller_cap,
            baseline_id=baseline_id,
        )

    def summary(self) -> dict[str, str]:
        """Return facts for people, for the baseline's manifest."""
        facts = {name: str(number) for name, number in sorted(self.facts.items())}
        return facts | {
            "clusters": str(len(self.openings.clusters)),
            "segments": str(len(self.openings.references)),
            "season": self.openings.references[""].season,
            "embedder": self.embedder,
            **({"follow-ups": f"not tested: {self.no_followups}"} if self.no_followups else {}),
            **({"languages": ", ".join(self.languages)} if self.languages else {}),
            **{f"language {language}": why for language, why in self.pooled.items()},
        }


def fingerprint(embedder: str, preparation: Preparation) -> str:
    """Return the hash of a baseline's method, embedder and preparation: 16 hexadecimal digits."""
    parts = msgspec.json.encode([METHOD, embedder, preparation])
    return hashlib.sha256(parts).hexdigest()[:16]


class _Array(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    shape: tuple[int, ...]
    data: bytes


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    form: int
    method: str


class _UnitDocument(msgspec.Struct, frozen=True, kw_only=True):
    mean: _Array
    axes: _Array
    centroids: _Array
    points: _Array
    point_starts: _Array
    point_spread: _Array
    clusters: tuple[Cluster, ...]
    levels: _Array
    level_names: tuple[str, ...]
    lows: _Array
    highs: _Array
    divisions: _Array
    languages: tuple[str, ...]
    frequent: bytes
    references: dict[str, Reference]
    bin_edges: dict[str, tuple[_Array, _Array]]
    unseen_topic_rates: dict[str, float]


class _LanguageDocument(msgspec.Struct, frozen=True, kw_only=True):
    references: dict[str, Reference]
    bin_edges: dict[str, tuple[_Array, _Array]]
    unseen_topic_rates: dict[str, float]


class _Document(_Header, frozen=True, kw_only=True):
    embedder: str
    preparation: Preparation
    units: dict[Unit, _UnitDocument]
    no_followups: str
    languages: dict[str, _LanguageDocument]
    pooled: dict[str, str]
    facts: dict[str, int]
    caller_cap: int


def _unit_document(found: UnitBaseline) -> _UnitDocument:
    projection = found.projection
    return _UnitDocument(
        mean=_written(projection.reduction.mean),
        axes=_written(projection.reduction.axes),
        centroids=_written(projection.centroids),
        points=_written(projection.points.vectors, "<f2"),
        point_starts=_written(projection.points.starts, "<i8"),
        point_spread=_written(projection.points.spread),
        clusters=found.clusters,
        levels=_written(projection.levels),
        level_names=projection.level_names,
        lows=_written(projection.lows),
        highs=_written(projection.highs),
        divisions=_written(projection.divisions),
        languages=projection.languages,
        frequent=projection.frequent.astype("<u8").tobytes(),
        references=_identified(found.references, ""),
        bin_edges=_written_edges(found),
        unseen_topic_rates=found.unseen_topic_rates,
    )


def _language_document(found: UnitBaseline) -> _LanguageDocument:
    return _LanguageDocument(
        references=_identified(found.references, ""),
        bin_edges=_written_edges(found),
        unseen_topic_rates=found.unseen_topic_rates,
    )


def _language_baseline(
    openings: UnitBaseline, language: str, read: _LanguageDocument, baseline_id: str
) -> UnitBaseline:
    """Return what is normal in a language, which is projected as all openings are."""
    return UnitBaseline(
        projection=replace(openings.projection, language=language),
        clusters=openings.clusters,
        references=_identified(read.references, baseline_id),
        bin_edges=_read_edges(read.bin_edges),
        unseen_topic_rates=read.unseen_topic_rates,
    )


def _unit_baseline(unit: Unit, read: _UnitDocument, baseline_id: str) -> UnitBaseline:
    points = ReferencePoints(
        vectors=_read(read.points),
        centroids=_read(read.centroids),
        starts=np.frombuffer(read.point_starts.data, "<i8").astype(np.int64),
        spread=_read(read.point_spread),
    )
    return UnitBaseline(
        projection=Projection(
            unit=unit,
            reduction=Reduction(mean=_read(read.mean), axes=_read(read.axes)),
            points=points,
            levels=_read(read.levels),
            level_names=read.level_names,
            lows=_read(read.lows),
            highs=_read(read.highs),
            divisions=_read(read.divisions),
            languages=read.languages,
            frequent=np.frombuffer(read.frequent, "<u8").astype(np.uint64),
        ),
        clusters=read.clusters,
        references=_identified(read.references, baseline_id),
        bin_edges=_read_edges(read.bin_edges),
        unseen_topic_rates=read.unseen_topic_rates,
    )


def _written_edges(found: UnitBaseline) -> dict[str, tuple[_Array, _Array]]:
    return {
        key: (_written(edges.topics), _written(edges.levels))
        for key, edges in found.bin_edges.items()
    }


def _read_edges(read: dict[str, tuple[_Array, _Array]]) -> dict[str, BinEdges]:
    return {key: BinEdges(_read(topics), _read(levels)) for key, (topics, levels) in read.items()}


def _written(array: Vectors | NDArray[np.int64], kind: str = "<f4") -> _Array:
    return _Array(kind, array.shape, array.astype(kind).tobytes())


def _read(array: _Array) -> Vectors:
    return np.frombuffer(array.data, array.kind).reshape(array.shape).astype(np.float32)


def _identified(references: dict[str, Reference], baseline_id: str) -> dict[str, Reference]:
    return {
        key: msgspec.structs.replace(reference, baseline=baseline_id)
        for key, reference in references.items()
    }
