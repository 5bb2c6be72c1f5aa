"""Somebody who types what the documents show, and knows nothing else."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai

from tidegauge.demo.prompts import Prompt
from tidegauge.demo.vllm_server import SERVED_NAMES
from tidegauge.runtime.processes.deployment import PORT_VARIABLES
from tidegauge.runtime.processes.keeper import REFUSED

README = Path(__file__).parents[2] / "README.md"
SECTION = "## Ten minutes on your own service"
AT_ONCE = 8


def shown_lines() -> list[str]:
    """Return the lines of the section's shell blocks."""
    section = README.read_text().split(SECTION)[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line]


def as_told(words: list[str], refusal: str) -> list[str]:
    """Return a command with the start that the log holds, as its refusal says."""
    told = re.search(r"give --from (\S+) to use", refusal)
    assert told, refusal
    start = words.index("--from") + 1
    return [*words[:start], told[1], *words[start + 1 :]]


@dataclass
class Stranger:
    """Types what the README shows, in its order, and uses the addresses that it names."""

    folder: Path
    environment: dict[str, str]
    lines: list[str] = field(default_factory=shown_lines)
    request_id: str = ""

    def next_line(self, beginning: str) -> list[str]:
        """Return the words of the next line that the README shows."""
        line = self.lines.pop(0)
        assert line.startswith(beginning), f"the README shows {line}, not {beginning}"
        return shlex.split(line, comments=True)

    def export(self, parts: dict[str, str]) -> None:
        """Set what the README exports, with this machine's parts in place of its examples."""
        while self.lines[0].startswith("export "):
            _, pair = self.next_line("export ")
            name, _, value = pair.partition("=")
            self.environment[name] = parts.pop(name, value)
        assert not parts, "the README exports other variables"

    def command(self, beginning: str) -> list[str]:
        _, *arguments = self.next_line(beginning)
        return [sys.executable, "-m", "tidegauge.cli.main", *arguments]

    def run(self, beginning: str, *, statuses: Collection[int] = (0,)) -> str:
        done = self.typed(self.command(beginning))
        assert done.returncode in statuses, done.stdout
        return done.stdout

    def build_in_a_hurry(self, kind: str) -> None:
        """Build a baseline of the hour that the README shows, then of what there is, as told."""
        words = self.command(f"tidegauge baseline build --kind {kind}")
        done = self.typed(words)
        assert done.returncode == REFUSED, done.stdout
        done = self.typed(as_told(words, done.stdout))
        assert done.returncode == 0, done.stdout

    def typed(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    @property
    def upstream(self) -> str:
        return self.environment["TIDEGAUGE_UPSTREAM_URL"]

    def address(self, service: str) -> str:
        return f"http://127.0.0.1:{self.environment[PORT_VARIABLES[service]]}"

    def ask(
        self, key: str, prompts: Iterable[Prompt], enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Send prompts, some at once, until it is enough."""

        def send(prompt: Prompt) -> None:
            if not enough():
                answer = client.chat.completions.with_raw_response.create(
                    model=SERVED_NAMES[0],
                    messages=[{"role": "user", "content": prompt.text}],
                    max_tokens=1,
                )
                self.request_id = answer.headers["x-request-id"]

        with (
            openai.OpenAI(base_url=f"{self.address('gateway')}/v1", api_key=key) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            list(pool.map(send, prompts))

    def is_accounted_for(self, served: int) -> bool:
        found = httpx.get(f"{self.address('monitor')}/api/ledger").json()
        captured = sum(line["served"] for line in found["ledger"]["captures"])
        return captured >= served and bool(found["settled"])

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.address('monitor')}/api/alerts").json()
        return found

    def drift_alarms(self) -> set[str]:
        return {one["monitor"] for one in self.alerts() if one["monitor"].startswith("drift.")}
