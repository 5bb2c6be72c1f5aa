"""The drift benchmark: our monitor and its peers on the same streams of the same vectors."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.cli.errors import PastRequestsError
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import Past
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.protocol import (
    CHANGES,
    Change,
    Shares,
    draw,
    first_alarm,
    matched_level,
    share_out,
)
from tidegauge.drift.sighting import EMBEDDED, hits_of, look
from tidegauge.engine.detector import judge, no_evidence, observe, place_bets

__all__ = ["Plan", "Texts", "read_texts", "run", "with_vectors"]

Vectors: TypeAlias = NDArray[np.float32]
Paths: TypeAlias = list[NDArray[np.float64]]
Say: TypeAlias = Callable[[str], None]

_REWORDED = 1_000
_NO_CHANGE = Change("none")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run.

    Attributes:
        runs: Streams for each change.
        quiet: Streams without a change.
        events: Length of a stream.
        block: Events of a block.
        false_alarm_events: Mean events to a false alarm that is promised.
        matched_events: Mean events to a false alarm at which peers are compared.
        baseline: Texts of the baseline.
        seed: Of every draw.
    """

    runs: int = 50
    quiet: int = 200
    events: int = 4_000
    block: int = 10
    false_alarm_events: float = 100_000.0
    matched_events: float = 2_000.0
    baseline: int = 15_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Texts:
    """A file's texts, and behind them some of them in other words."""

    texts: list[str]
    topics: list[str]
    reworded: NDArray[np.int64]


class _Line(msgspec.Struct):
    text: str
    topic: str


def read_texts(path: Path, seed: int) -> Texts:
    """Read a JSONL file of ``{"text": …, "topic": …}`` and reword some of its texts.

    Raises:
        PastRequestsError: It cannot be read, or a line is not as it must be.
    """
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
        read = [msgspec.json.decode(line, type=_Line) for line in lines]
    except OSError as error:
        raise PastRequestsError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise PastRequestsError(
            f'{path}: {error}; a line is {{"text": "…", "topic": "…"}}'
        ) from error
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(read), min(_REWORDED, len(read)), replace=False)
    texts = [one.text for one in read]
    return Texts(
        texts=texts + [_reword(texts[i], rng) for i in chosen],
        topics=[one.topic for one in read],
        reworded=np.arange(len(read), len(read) + len(chosen)),
    )


def _reword(text: str, rng: np.random.Generator) -> str:
    """Return a text as another person would type it: politer, hastier or louder."""
    manner = int(rng.integers(3))
    if manner == 0:
        return f"Hello, could you please help me with this: {text}? Thank you so much!"
    if manner == 1:
        return text.upper() + "!!"
    letters = list(text)
    for _ in range(max(1, len(letters) // 12)):
        i = int(rng.integers(max(1, len(letters) - 1)))
        letters[i : i + 2] = reversed(letters[i : i + 2])
    return "".join(letters)


def with_vectors(texts: Texts, embed: Callable[[list[str]], Vectors], folder: Path) -> Vectors:
    """Return the texts' vectors, from the folder if they were computed before."""
    digest = hashlib.sha256("\0".join(texts.texts).encode()).hexdigest()[:16]
    kept = folder / f"vectors-{digest}.npy"
    if kept.exists():
        return np.asarray(np.load(kept), np.float32)
    vectors = embed(texts.texts)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(kept, vectors.astype(np.float16))
    return vectors


def run(  # noqa: PLR0913 - the data, the plan and where peers are
    texts: Texts,
    vectors: Vectors,
    plan: Plan,
    *,
    out_of_scope: str,
    peers: Sequence[str],
    folder: Path,
    say: Say,
) -> list[dict[str, Any]]:
    """Run the protocol and return its rows.

    Args:
        texts: The file's.
        vectors: Of all its texts.
        plan: How much is run.
        out_of_scope: The topic whose texts belong to none.
        peers: Command that runs the peers on a folder of streams; empty for none.
        folder: Where streams and peers' results go.
        say: Tells a person one line.
    """
    rng = np.random.default_rng(plan.seed)
    shares = share_out(texts.topics, out_of_scope=out_of_scope, baseline=plan.baseline, rng=rng)
    say(f"building a baseline of {len(shares.baseline):,} texts")
    baseline = fit(
        [Past(texts.texts[i]) for i in shares.baseline],
        vectors[shares.baseline],
        embedder="benchmark",
        preparation=Preparation(),
        rng=rng,
    )
    changes = [
        change
        for change in (_NO_CHANGE, *CHANGES)
        if change.kind != "out_of_scope" or len(shares.out_of_scope)
    ]
    streams = {change.name: _streams(shares, change, texts, plan, rng) for change in changes}
    ours = _Ours(baseline, texts.texts, vectors, plan.block)
    say(f"running tidegauge on {sum(map(len, streams.values())):,} streams")
    found = {name: [ours.path(stream) for stream in drawn] for name, drawn in streams.items()}
    paths: dict[str, dict[str, Paths]] = {"tidegauge": found}
    paths |= _peers(peers, shares, streams, vectors, plan, folder, say)
    rows = _guaranteed(paths["tidegauge"], plan)
    rows.append(_row("cost beside embedding", "tidegauge", "us/event", [ours.microseconds]))
    for system, by_change in paths.items():
        rows += _matched(system, by_change, plan)
    return rows


def _streams(
    shares: Shares, change: Change, texts: Texts, plan: Plan, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    count = plan.quiet if change is _NO_CHANGE else plan.runs
    return [draw(shares, change, plan.events, rng, reworded=texts.reworded) for _ in range(count)]


class _Ours:
    """Our monitor on streams; each text is looked at once."""

    def __init__(
        self, baseline: DriftBaseline, texts: list[str], vectors: Vectors, block: int
    ) -> None:
        reference = baseline.references[""]
        column = {indicator.name: j for j, indicator in enumerate(reference.indicators)}
        began = time.process_time()
        sightings = look(baseline.lens, vectors)
        names = hits_of(baseline.lens, texts, sightings)
        self._looking = (time.process_time() - began) / len(texts)
        self._hits = np.zeros((len(texts), len(column)), np.int16)
        for row, found in enumerate(names):
            self._hits[row, [column[name] for name in found if name != EMBEDDED]] = 1
        self._cell = sightings.cell
        self._bets = place_bets(reference, adaptive=True)
        self._block = block
        self._seconds, self._events = 0.0, 0

    def path(self, stream: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the log statistic after each block, time counted in events."""
        bets = self._bets
        evidence, found = no_evidence(bets), []
        cells = 0 if bets.cells is None else len(bets.cells.labels)
        trials = np.full(self._hits.shape[1], self._block)
        began = time.process_time()
        for start in range(0, len(stream) - self._block + 1, self._block):
            rows = stream[start : start + self._block]
            evidence = observe(
                bets,
                evidence,
                self._hits[rows].sum(axis=0, dtype=np.int64),
                trials,
                duration_seconds=float(self._block),
                cells=np.bincount(self._cell[rows], minlength=cells),
            )
            found.append(judge(bets, evidence, log_threshold=0.0, most=0).log_statistic)
        self._seconds += time.process_time() - began
        self._events += len(stream)
        return np.array(found)

    @property
    def microseconds(self) -> float:
        """CPU time per event: looking, counting and judging."""
        return 1e6 * (self._looking + self._seconds / max(self._events, 1))


def _peers(  # noqa: PLR0913, PLR0917 - what peers are given
    command: Sequence[str],
    shares: Shares,
    streams: dict[str, list[NDArray[np.int64]]],
    vectors: Vectors,
    plan: Plan,
    folder: Path,
    say: Say,
) -> dict[str, dict[str, Paths]]:
    if not command:
        return {}
    given = folder / "streams.npz"
    arrays = {f"stream/{name}": np.stack(drawn) for name, drawn in streams.items()}
    arrays |= {"baseline": shares.baseline, "block": np.array(plan.block)}
    np.savez(given, allow_pickle=False, vectors=vectors, **arrays)
    say("running the peers")
    taken = folder / "peers.json"
    subprocess.run([*command, str(given), str(taken)], check=True)  # noqa: S603 - ours
    read = json.loads(taken.read_bytes())
    return {
        system: {name: [np.array(path) for path in found] for name, found in by_change.items()}
        for system, by_change in read.items()
    }


def _guaranteed(paths: dict[str, Paths], plan: Plan) -> list[dict[str, Any]]:
    level = float(np.log(plan.false_alarm_events))
    what = f"at a guaranteed false alarm in {plan.false_alarm_events:,.0f} events"
    rows = []
    for name, found in paths.items():
        delays = [first_alarm(path, level, plan.block) for path in found]
        if name == _NO_CHANGE.name:
            false = float(np.isfinite(delays).mean())
            rows.append(_row(f"false alarms, share of streams, {what}", "tidegauge", "", [false]))
        else:
            rows += _delay_rows(f"{name}, {what}", "tidegauge", delays)
    return rows


def _matched(system: str, paths: dict[str, Paths], plan: Plan) -> list[dict[str, Any]]:
    """Return the delays at the level where quiet streams alarm equally often."""
    level = matched_level(paths[_NO_CHANGE.name], block=plan.block, mean_events=plan.matched_events)
    what = f"at a measured false alarm in {plan.matched_events:,.0f} events"
    rows = []
    for name, found in paths.items():
        if name != _NO_CHANGE.name:
            delays = [first_alarm(path, level, plan.block) for path in found]
            rows += _delay_rows(f"{name}, {what}", system, delays)
    return rows


def _delay_rows(metric: str, system: str, delays: list[float]) -> list[dict[str, Any]]:
    missed = float(np.mean(np.isinf(delays)))
    return [
        _row(f"delay, {metric}", system, "events", delays),
        _row(f"missed share, {metric}", system, "", [missed]),
    ]


def _row(metric: str, system: str, unit: str, values: list[float]) -> dict[str, Any]:
    """Return one row; None stands for a delay beyond the stream's end."""
    ordered = sorted(values)

    def number(value: float) -> float | None:
        return None if np.isinf(value) else round(value, 4)

    return {
        "metric": metric,
        "system": system,
        "unit": unit,
        "median": number(ordered[(len(ordered) - 1) // 2]),
        "min": number(ordered[0]),
        "max": number(ordered[-1]),
        "n": len(values),
        "note": f"P90 {number(ordered[int(0.9 * (len(ordered) - 1))])}",
    }
