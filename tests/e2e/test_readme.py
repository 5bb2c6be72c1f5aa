"""The README's ten minutes on one's own service, command by command, until an alarm."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import pytest

from tidegauge.demo.prompts import Prompt, own_prompts, split
from tidegauge.demo.vllm_server import SERVED_NAMES
from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.processes.deployment import PORT_VARIABLES, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(1_500)]

README = Path(__file__).parents[2] / "README.md"
SECTION = "## Ten minutes on your own service"
WAIT_SECONDS = 240.0
AT_ONCE = 8
NORMAL, SHIFTED = 300, 900
"""Requests of each stretch of ordinary traffic, and at most after the topics have shifted."""

# Short windows make the test short, and so does a judge that is soon done with its golden set.
QUICK = {
    "TIDEGAUGE_WINDOW_SECONDS": "2",
    "TIDEGAUGE_LATENESS_SECONDS": "4",
    "TIDEGAUGE_CAPTURE_HEARTBEAT_SECONDS": "1",
    "TIDEGAUGE_JUDGE_GOLDEN_SET_QUESTIONS": "2",
    "TIDEGAUGE_JUDGE_RUBRIC_RETRY": "false",
    "HF_HUB_OFFLINE": "1",
}


def shown_lines() -> list[str]:
    """Return the lines of the section's shell blocks."""
    section = README.read_text().split(SECTION)[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line]


@dataclass
class Stranger:
    """Types what the README shows, in its order, and uses the addresses that it names."""

    folder: Path
    environment: dict[str, str]
    lines: list[str] = field(default_factory=shown_lines)

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
        return self.run_words(self.command(beginning), statuses)

    def build_in_a_hurry(self, kind: str) -> None:
        """Build a baseline of the hour that the README shows, then of what there is, as told."""
        words = self.command(f"tidegauge baseline build --kind {kind}")
        refused = self.run_words(words, {2})
        told = re.search(r"give --from (\S+) to use", refused)
        assert told, refused
        words[words.index("--from") + 1] = told[1]
        self.run_words(words, {0})

    def run_words(self, words: list[str], statuses: Collection[int]) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode in statuses, done.stdout
        return done.stdout

    def address(self, service: str) -> str:
        return f"http://127.0.0.1:{self.environment[PORT_VARIABLES[service]]}"

    def ask(
        self, key: str, prompts: Iterable[Prompt], enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Send prompts, some at once, until it is enough."""

        def send(prompt: Prompt) -> None:
            if not enough():
                client.chat.completions.create(
                    model=SERVED_NAMES[0],
                    messages=[{"role": "user", "content": prompt.text}],
                    max_tokens=1,
                )

        with (
            openai.OpenAI(base_url=f"{self.address('gateway')}/v1", api_key=key) as client,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            list(pool.map(send, prompts))

    def is_accounted_for(self, served: int) -> bool:
        found = httpx.get(f"{self.address('monitor')}/api/ledger").json()
        captured = sum(line["served"] for line in found["ledger"]["captures"])
        return captured >= served and bool(found["settled"])

    def drift_alarms(self) -> set[str]:
        alerts = httpx.get(f"{self.address('monitor')}/api/alerts").json()
        return {one["monitor"] for one in alerts if one["monitor"].startswith("drift.")}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def test_ten_minutes_end_in_an_alarm(vllm: str, apache_broker: Broker, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if "TIDEGAUGE" not in name}
    ports = {variable: str(free_port()) for variable in PORT_VARIABLES.values()}
    me = Stranger(tmp_path, {**kept, **QUICK, **ports})
    me.next_line("pip install 'tidegauge[all]'")
    me.export(
        {
            "KAFKA_BOOTSTRAP_SERVERS": apache_broker.bootstrap_servers,
            "TIDEGAUGE_UPSTREAM_URL": vllm,
            "TIDEGAUGE_JUDGE_URL": vllm,
            "TIDEGAUGE_JUDGE_MODEL": SERVED_NAMES[1],
        }
    )
    key = re.findall(r"\btg-\S+", me.run("tidegauge keys create"))[0]
    assert "BAD" not in me.run("tidegauge doctor", statuses=(0, 1))
    parts = split(own_prompts(), seed=7)
    with subprocess.Popen(
        me.command("tidegauge up"),
        cwd=me.folder,
        env=me.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        try:
            assert up.stdout is not None
            assert any(line.startswith("all is up") for line in up.stdout)
            me.ask(key, parts.familiar[:NORMAL])
            wait_for(lambda: me.is_accounted_for(NORMAL), "the requests are not accounted for")
            me.build_in_a_hurry("drift")
            me.ask(key, parts.familiar[NORMAL : 2 * NORMAL])
            wait_for(lambda: me.is_accounted_for(2 * NORMAL), "the requests are not accounted for")
            me.build_in_a_hurry("rates")
            assert "drift.topics" in me.run("tidegauge baseline show")
            assert me.drift_alarms() == set()
            me.ask(key, parts.strange[:SHIFTED], lambda: bool(me.drift_alarms()))
            wait_for(lambda: bool(me.drift_alarms()), "no alarm of drift")
            assert "drift.topics" in me.run("tidegauge alerts")
            assert me.lines == []
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(60) in {0, 130}
