"""Texts embedded per second on one core, beside the library itself and the machine's limit.

Every installed backend embeds the same texts through the drift worker's batching, in the
windows that the worker reads, against ``SentenceTransformer.encode`` given everything at once,
and given 32 texts at a time as they arrive. Beside each run the matrix products of the model's
own shapes are timed alone: that is the limit. Operations are counted from the model's
configuration and each text's real tokens, so padding earns nothing. Rounds are interleaved, on
one core, and times are processor times. Writes ``build/bench/embed.json``.

    TIDEGAUGE_BENCH_TEXTS  JSONL of {"text": …}; otherwise CLINC150 where TIDEGAUGE_DATA_DIR
                           has it, otherwise the demonstration's prompts
    QUICK=1                ends within 50 seconds
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from embed_limit import MOST_TOKENS, Limit, Model
from tables import Table
from tidegauge.adapters.sentence_transformers import (
    BACKENDS,
    DEFAULT_MODEL,
    BackendError,
    Embedder,
    locate,
    open_embedder,
)
from tidegauge.demo.prompts import own_prompts
from tidegauge.runtime.kafka.settings import KafkaSettings

OUT = Path("build/bench/embed.json")
QUICK = os.environ.get("QUICK") == "1"
ROUNDS: Final = 2 if QUICK else 5
TEXTS: Final = 64 if QUICK else 500
WINDOW: Final = KafkaSettings.model_fields["batch_records"].default
ARRIVAL: Final = 32
LIMIT_SECONDS: Final = 0.1 if QUICK else 0.25
ANOTHER: Final = 2 / 3
MOST_MESSAGES: Final = 16
THIN_TEXTS: Final = 20 if QUICK else 100
THIN_RATE: Final = 100
GATHER_SECONDS: Final = 0.05
ENCODE = f"sentence-transformers {version('sentence-transformers')}, encode"
ARRIVING = f"sentence-transformers {version('sentence-transformers')}, encode as they arrive"

Run = Callable[[Sequence[str]], object]


def main() -> int:
    """Run the benchmark and write its result; return the exit status."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        print("run it by `make bench-embed`: libraries must be told of one thread at their start")
        return 2
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    source, texts = read_texts()
    embedders = open_all()
    model = open_library()
    table, limit = Table(), Limit(model, LIMIT_SECONDS)
    systems: dict[str, Run] = {ENCODE: model.encode, ARRIVING: in_parts(model.encode, ARRIVAL)}
    systems |= {name: in_parts(one.embed, WINDOW) for name, one in embedders.items()}
    draw = random.Random(1)  # noqa: S311 - a draw, no secret
    workloads = {
        "texts as they are": draw.sample(texts, min(TEXTS, len(texts))),
        "conversations": conversations(texts, draw),
    }
    for name, some in workloads.items():
        tokens = [len(row) for row in model.tokens(some)]
        note = f"{name}: {len(some)} from {source}"
        for percent in (50, 95):
            table.add("tokens", f"percentile {percent}", "", np.percentile(tokens, percent), note)
        compare(embedders, some, note, table)
        for run in systems.values():
            run(some[:64])
        for number in range(ROUNDS):
            print(f"{name}, round {number + 1}/{ROUNDS}", flush=True)
            measure(systems, some, note, model=model, limit=limit, table=table)
    thin(embedders, workloads["texts as they are"], table)
    write(table, core)
    return 0


def open_all() -> dict[str, Embedder]:
    """Open every backend that this machine has, by the name of its system."""
    embedders = {}
    for backend, variant in BACKENDS.items():
        try:
            embedder = open_embedder(backend=backend, most_tokens=MOST_TOKENS)
        except BackendError as error:
            print(f"without {backend}: {error}")
            continue
        library = variant.modules[0]
        embedders[f"tidegauge {backend} ({library} {version(library)})"] = embedder
    return embedders


def open_library() -> Model:
    """Open the model by the library alone."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds

    loaded: Any = SentenceTransformer(locate(DEFAULT_MODEL), device="cpu")
    loaded.max_seq_length = MOST_TOKENS
    config = loaded[0].auto_model.config
    return Model(loaded, config.hidden_size, config.intermediate_size, config.num_hidden_layers)


def measure(  # noqa: PLR0913 - what a round needs
    systems: dict[str, Run],
    texts: Sequence[str],
    note: str,
    *,
    model: Model,
    limit: Limit,
    table: Table,
) -> None:
    """Run one round of every system, the limit beside each."""
    operations = model.operations(texts)
    seconds: dict[str, float] = {}
    before = limit.measure()
    for name, run in systems.items():
        began = time.process_time()
        run(texts)
        seconds[name] = time.process_time() - began
        after = limit.measure()
        most = (before + after) / 2
        before = after
        table.add("throughput", name, "texts/s", len(texts) / seconds[name], note)
        table.add("share_of_limit", name, "ratio", operations / seconds[name] / most, note)
        table.add("matrix_product_limit", limit.system, "GFLOP/s", most / 1e9, note)
    for name, spent in seconds.items():
        table.add("times_encode", name, "ratio", seconds[ENCODE] / spent, note)
        table.add("times_arrival_batches", name, "ratio", seconds[ARRIVING] / spent, note)


def compare(embedders: dict[str, Embedder], texts: Sequence[str], note: str, table: Table) -> None:
    """Compare every backend's vectors with torch's, and with its own in other batches."""
    exact = next(one for name, one in embedders.items() if name.startswith("tidegauge torch"))
    expected = exact.embed(texts)
    for name, embedder in embedders.items():
        found = embedder.embed(texts)
        cosines = (found * expected).sum(axis=1)
        table.add("cosine_mean", name, "", cosines.mean(), note)
        table.add("cosine_least", name, "", cosines.min(), note)
        some = texts[:THIN_TEXTS]
        alone = np.concatenate([embedder.embed([text]) for text in some])
        same = (alone * found[: len(some)]).sum(axis=1)
        table.add("cosine_alone_to_together_least", name, "", same.min(), note)


def thin(embedders: dict[str, Embedder], texts: Sequence[str], table: Table) -> None:
    """Measure what waiting saves where requests come one by one."""
    some, together = texts[:THIN_TEXTS], round(THIN_RATE * GATHER_SECONDS)
    note = f"{THIN_RATE} requests/s: {together} come within {GATHER_SECONDS * 1e3:.0f} ms"
    for _ in range(ROUNDS):
        for name, embedder in embedders.items():
            spent = []
            for size in (1, together):
                run = in_parts(embedder.embed, size)
                began = time.process_time()
                run(some)
                spent.append(time.process_time() - began)
            table.add("times_one_by_one", name, "ratio", spent[0] / spent[1], note)


def in_parts(run: Run, size: int) -> Run:
    """Return what hands texts on in their order, so many at a time."""

    def parts(texts: Sequence[str]) -> None:
        for start in range(0, len(texts), size):
            run(texts[start : start + size])

    return parts


def conversations(texts: Sequence[str], draw: random.Random) -> list[str]:
    """Return whole conversations, as TIDEGAUGE_DRIFT_SELECTION=conversation embeds them.

    Each message is followed by another with a chance of 2/3, so the mean is three; none has
    more than sixteen.
    """
    made = []
    for _ in range(TEXTS):
        messages = 1
        while messages < MOST_MESSAGES and draw.random() < ANOTHER:
            messages += 1
        made.append("\n".join(draw.choices(texts, k=messages)))
    return made


def read_texts() -> tuple[str, list[str]]:
    """Return different texts, and where they are from."""
    given = os.environ.get("TIDEGAUGE_BENCH_TEXTS")
    folder = os.environ.get("TIDEGAUGE_DATA_DIR")
    path = Path(given) if given else Path(folder, "clinc150/queries.jsonl") if folder else None
    if path is None or not (given or path.exists()):
        return "the demonstration", list(dict.fromkeys(one.text for one in own_prompts()))
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = dict.fromkeys(json.loads(line)["text"] for line in lines if line.strip())
    return path.parent.name if not given else path.name, list(texts)


def write(table: Table, core: int) -> None:
    """Write the result and show it."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    result = {
        "machine": {
            "cores": os.cpu_count(),
            "core": core,
            "processor": model,
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "command": "make bench-embed" + (" QUICK=1" if QUICK else ""),
        "rows": table.rows(),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    for row in result["rows"]:
        print("{metric:31}{median:>10} {min:>10} {max:>10} {unit:8} {system}; {note}".format(**row))
    print(f"written to {OUT}")


if __name__ == "__main__":
    sys.exit(main())
