"""Judging on a vLLM server: as fast as vLLM itself, and how much the server's clients notice.

The judge's rubric grades golden answers through the worker's own pool, and vLLM's own benchmark
asks the same server for one token with prompts as long, of which as much is shared: rounds are
interleaved. Then clients chat with the server, without judging and beside it. Writes
``build/bench/judge.json``, and ends with status 1 where a bar is missed.

    JUDGE_URL   a vLLM server, its model under the name of JUDGE_MODEL and its tokenizer in the
                folder JUDGE_TOKENIZER; otherwise the demonstration's model is served on this CPU
    QUICK=1     ends within five minutes
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
import numpy as np

from tables import Table
from tidegauge.adapters.vllm import VllmClient
from tidegauge.demo.vllm_environment import ensure_environment, python_of
from tidegauge.demo.vllm_server import SERVED_NAMES, VllmServer, ensure_model
from tidegauge.quality import golden_set, rubric
from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.specifications import RubricSpec
from tidegauge.runtime.processes.deployment import free_port
from tidegauge.workers.judge.judge_files import make_judge, specification
from tidegauge.workers.judge.judge_pool import JudgePool, Question
from tidegauge.workers.judge.settings import JudgeSettings

OUT = Path("build/bench/judge.json")
QUICK = os.environ.get("QUICK") == "1"
ROUNDS: Final = 2 if QUICK else 5
ANSWERS: Final = 24 if QUICK else 120
AT_ONCE: Final = 4
SERVING_SECONDS: Final = 15.0 if QUICK else 60.0
CLIENTS: Final = 2
RUBRIC: Final = "helpfulness"
BENCH: Final = (
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
    "parser = FlexibleArgumentParser()\n"
    "add_cli_args(parser)\n"
    "main(parser.parse_args())\n"
)
"""``vllm bench serve`` without its command line, which wants a package named vllm."""
LEAST_THROUGHPUT, LEAST_HITS = 0.9, 0.6
_HITS = re.compile(r"^vllm:prefix_cache_hits_total(?:\{[^}]*\})? ([0-9.eE+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A vLLM server, and the interpreter that has its benchmark."""

    url: str
    model: str
    tokenizer: str
    python: Path


@dataclass(frozen=True)
class Lengths:
    """Tokens of the judge's prompts: shared by all, and the mean of the rest."""

    shared: int
    rest: int


def main() -> int:
    """Run the benchmark, write its result, and return the exit status."""
    table = Table()
    with serving() as server:
        settings = JudgeSettings(
            url=server.url, model=server.model, rubric_retry=False, concurrency=AT_ONCE
        )
        lengths = asyncio.run(measured_lengths(server, settings))
        for number in range(ROUNDS):
            print(f"round {number + 1}/{ROUNDS}", flush=True)
            if number % 2:
                direct(server, lengths, number, table)
            judging(server, settings, lengths, number, table)
            if not number % 2:
                direct(server, lengths, number, table)
        for judged in (False, True):
            serve(server, settings, judged=judged, table=table)
    return write(table, server, lengths)


@contextmanager
def serving() -> Iterator[Server]:
    """Yield the server that is named, or one that is started here."""
    environment = ensure_environment(print)
    python = python_of(environment)
    if url := os.environ.get("JUDGE_URL"):
        model = os.environ["JUDGE_MODEL"]
        yield Server(url, model, os.environ["JUDGE_TOKENIZER"], python)
        return
    folder = ensure_model(print)
    with VllmServer(folder, free_port(), environment=environment) as started:
        yield Server(started.url, SERVED_NAMES[1], str(folder), python)


def questions(number: int) -> list[Question]:
    """Return a round's questions: golden answers that no other round has seen."""
    every = [each for each in golden_set.built_in() if each.exchange.answer.strip()]
    found = []
    for place in range(ANSWERS):
        exchange = every[(number * ANSWERS + place) % len(every)].exchange
        marked = f"({number}-{place}) {exchange.answer}"
        found.append(Question(RUBRIC, replace(exchange, answer=marked, reference=None)))
    return found


@contextmanager
def pool_of(server: Server, settings: JudgeSettings) -> Iterator[JudgePool]:
    """Yield the worker's pool with one rubric, and without a qualification run."""
    client = VllmClient(server.url, connections=2 * AT_ONCE + 1)
    spec = specification(RUBRIC, settings)
    pool = JudgePool(
        lambda client: {RUBRIC: make_judge(client, spec)}, client, stages=[()], limit=AT_ONCE
    )
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


def judging(
    server: Server, settings: JudgeSettings, lengths: Lengths, number: int, table: Table
) -> None:
    """Judge a round's answers."""
    asked = questions(number)
    with pool_of(server, settings) as pool:
        pool.ask(asked[:1], deadline_seconds=60)
        before = asyncio.run(prefix_hits(server))
        began = time.monotonic()
        results = pool.ask(asked[1:], deadline_seconds=600)
        seconds = time.monotonic() - began
        hits = asyncio.run(prefix_hits(server)) - before
    judged = sum(isinstance(each, Score) for each in results)
    if judged < len(results):
        raise SystemExit(f"{len(results) - judged} of {len(results)} answers were not judged")
    table.add("throughput", "judge worker", "1/s", judged / seconds)
    table.add("prefix_hits", "judge worker", "share", hits / (lengths.shared * judged))


def direct(server: Server, lengths: Lengths, number: int, table: Table) -> None:
    """Let vLLM's own benchmark ask for as many tokens after prompts as long."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(str(server.python), "-c", BENCH),
            *("--backend", "openai", "--endpoint", "/v1/completions"),
            *("--base-url", server.url, "--model", server.model, "--tokenizer", server.tokenizer),
            *("--dataset-name", "random", "--random-prefix-len", str(lengths.shared)),
            *("--random-input-len", str(lengths.rest), "--random-output-len", "1"),
            *("--num-prompts", str(ANSWERS - 1), "--max-concurrency", str(AT_ONCE)),
            *("--num-warmups", "1", "--logprobs", "20", "--seed", str(number)),
            *("--disable-tqdm", "--save-result", "--result-dir", folder),
            *("--result-filename", "result.json"),
        ]
        environ = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        environ.pop("PYTHONPATH", None)
        done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            command, env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"vLLM's benchmark failed:\n{done.stderr[-3000:]}")
        result = json.loads(Path(folder, "result.json").read_bytes())
    table.add("throughput", "vllm bench serve", "1/s", result["request_throughput"])


def serve(server: Server, settings: JudgeSettings, *, judged: bool, table: Table) -> None:
    """Measure what the server's clients wait, with judging or without."""
    system = "with judging" if judged else "without judging"
    print(f"serving {system}", flush=True)
    if not judged:
        waits = asyncio.run(chat(server, SERVING_SECONDS))
    else:
        with pool_of(server, settings) as pool:
            asked = [each for number in range(90, 99) for each in questions(number)]
            waits = asyncio.run(_chat_beside(server, pool, asked))
    for percent in (50, 99):
        table.add(f"latency_p{percent}", system, "ms", float(np.percentile(waits, percent)))
    table.add("served", system, "requests", len(waits))


async def _chat_beside(server: Server, pool: JudgePool, asked: Sequence[Question]) -> list[float]:
    judging = asyncio.create_task(
        asyncio.to_thread(pool.ask, asked, deadline_seconds=SERVING_SECONDS)
    )
    waits = await chat(server, SERVING_SECONDS)
    await judging
    return waits


async def chat(server: Server, seconds: float) -> list[float]:
    """Chat for a time; return what each answer took, in milliseconds."""
    until = time.monotonic() + seconds
    waits: list[float] = []

    async def client(number: int) -> None:
        turn = 0
        while time.monotonic() < until:
            turn += 1
            text = f"{golden_set.TEXTS[(number * 50 + turn) % len(golden_set.TEXTS)].prompt}"
            body = {
                "model": server.model,
                "messages": [{"role": "user", "content": f"{text} ({number}-{turn}-{seconds})"}],
                "max_tokens": 8,
                "temperature": 0,
            }
            began = time.monotonic()
            async with session.post(f"{server.url}/v1/chat/completions", json=body) as reply:
                reply.raise_for_status()
                await reply.read()
            waits.append(1000 * (time.monotonic() - began))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*map(client, range(CLIENTS)))
    return waits


async def prefix_hits(server: Server) -> float:
    """Return the tokens that the server's prefix cache has held so far."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/metrics") as reply,
    ):
        return sum(map(float, _HITS.findall(await reply.text())))


async def measured_lengths(server: Server, settings: JudgeSettings) -> Lengths:
    """Return the lengths of the judge's prompts, by the server's tokenizer."""
    spec = specification(RUBRIC, settings)
    if not isinstance(spec, RubricSpec):
        raise TypeError(RUBRIC)
    rows: list[list[int]] = []
    async with aiohttp.ClientSession() as session:
        for question in questions(0):
            messages = rubric.request(spec, question.exchange)
            body = {
                "model": server.model,
                "messages": [{"role": each.role, "content": each.content} for each in messages],
                "add_generation_prompt": False,
                "continue_final_message": True,
            }
            async with session.post(f"{server.url}/tokenize", json=body) as reply:
                reply.raise_for_status()
                rows.append((await reply.json())["tokens"])
    shared = next(
        place for place in range(min(map(len, rows))) if len({row[place] for row in rows}) > 1
    )
    return Lengths(shared, round(float(np.mean([len(row) - shared for row in rows]))))


def write(table: Table, server: Server, lengths: Lengths) -> int:
    """Write the result and show it; return the exit status."""
    rows = table.rows()
    found = {(row["metric"], row["system"]): row["median"] for row in rows}
    speeds = [
        table.readings["throughput", system, "1/s", ""]
        for system in ("judge worker", "vllm bench serve")
    ]
    throughput = float(np.median([ours / theirs for ours, theirs in zip(*speeds, strict=True)]))
    hits = found["prefix_hits", "judge worker"]
    bars = [
        {
            "name": "throughput against vLLM's own benchmark",
            "limit": LEAST_THROUGHPUT,
            "found": round(throughput, 3),
            "met": throughput >= LEAST_THROUGHPUT,
        },
        {
            "name": "prefix hits among the shared tokens",
            "limit": LEAST_HITS,
            "found": round(hits, 3),
            "met": hits >= LEAST_HITS,
        },
    ]
    result = {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load": os.getloadavg()[0],
        },
        "command": "make bench-judge" + (" QUICK=1" if QUICK else ""),
        "model": server.model,
        "answers": ANSWERS,
        "at_once": AT_ONCE,
        "shared_tokens": lengths.shared,
        "other_tokens": lengths.rest,
        "rows": rows,
        "bars": bars,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    for row in rows:
        print("{metric:14}{median:>10} {min:>10} {max:>10} {unit:9} {system}".format(**row))
    for bar in bars:
        print(
            "{} {name}: {found}, limit {limit}".format("met   " if bar["met"] else "MISSED", **bar)
        )
    print(f"written to {OUT}")
    return 0 if all(bar["met"] for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
