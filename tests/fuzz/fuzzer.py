"""Fuzzes whatever reads untrusted bytes: ``python -m tests.fuzz.fuzzer --seconds 3600``.

Inputs are seeds with some random changes. An input fails if an error comes out that the target
does not promise, if it takes more than 100 ms of processor time, or if the process grows by more
than 64 MiB. An input that fails is kept in ``tests/fuzz/kept/<target>/``, and the tests read it
ever after.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.targets import TARGETS, Target

__all__ = ["KEPT", "inputs", "main", "problem"]

KEPT: Final = Path(__file__).parent / "kept"
_MOST_SECONDS: Final = 0.1
_MOST_GROWTH_KIB: Final = 64 * 1024
_LONGEST: Final = 64 * 1024
_ROUND: Final = 500


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Yield inputs for ever, the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    while True:
        data = bytearray(chance.choice(target.seeds))
        for _ in range(chance.randint(1, 8)):
            _change(data, target.words, chance)
        yield bytes(data[:_LONGEST])


def _change(data: bytearray, words: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    end = min(len(data), start + chance.choice((0, 1, 4, 16, 64)))
    kind = chance.randrange(6)
    if kind == 0:
        data[start:end] = chance.choice(words)
    elif kind == 1:
        data[start:start] = chance.choice(words) * chance.choice((1, 2, 10, 1000))
    elif kind == 2:
        data[start:start] = data[start:end] * chance.choice((1, 3, 50))
    elif kind == 3:
        del data[start:end]
    elif data:
        place = min(start, len(data) - 1)
        data[place] = chance.randrange(256) if kind == 4 else data[place] ^ 1 << chance.randrange(8)


def problem(target: Target, data: bytes) -> str | None:
    """Return what is wrong with how a target reads an input; None if nothing is."""
    began = time.thread_time()
    try:
        target.read(data)
    except Exception as error:  # noqa: BLE001 - any is a finding
        return f"{type(error).__name__}: {error}"
    took = time.thread_time() - began
    if took > _MOST_SECONDS:
        took = min(took, _again(target, data))
    return f"{took * 1e3:.0f} ms of processor time" if took > _MOST_SECONDS else None


def _again(target: Target, data: bytes) -> float:
    """Return how long a second reading takes; the first may have had to import something."""
    began = time.thread_time()
    target.read(data)
    return time.thread_time() - began


def _memory_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _keep(name: str, data: bytes) -> Path:
    file = KEPT / name / hashlib.sha256(data).hexdigest()[:16]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz for a time; return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long, over all targets")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="of the random changes")
    chosen = parser.parse_args(arguments)
    names: list[str] = chosen.target or sorted(TARGETS)
    streams = {name: inputs(TARGETS[name], chosen.seed) for name in names}
    counts = dict.fromkeys(names, 0)
    found: dict[tuple[str, str], Path] = {}
    for name in names:  # what is imported and cached at first is no growth
        for data in itertools.islice(streams[name], _ROUND // 5):
            problem(TARGETS[name], data)
    memory = _memory_kib()
    deadline = time.monotonic() + chosen.seconds
    for name in itertools.cycle(names):
        if time.monotonic() >= deadline:
            break
        for data in itertools.islice(streams[name], _ROUND):
            counts[name] += 1
            what = problem(TARGETS[name], data)
            if what is None and _memory_kib() > memory + _MOST_GROWTH_KIB:
                what, memory = "the process grew by more than 64 MiB", _memory_kib()
            if what is not None and (name, what.partition(":")[0]) not in found:
                file = found[name, what.partition(":")[0]] = _keep(name, data)
                print(f"{name}: {what}: {file}", flush=True)  # noqa: T201
    total = sum(counts.values())
    print(f"{total:,} inputs of {len(names)} targets, seed {chosen.seed}: {len(found)} findings")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
