"""The README's ten minutes on one's own service until an alarm, and then every other command."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.stranger import Stranger, as_told
from tests.packaging.test_documents import shown_commands

from tidegauge.demo.prompts import own_prompts, split
from tidegauge.demo.vllm_server import SERVED_NAMES
from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.processes.deployment import PORT_VARIABLES, free_port
from tidegauge.runtime.processes.keeper import REFUSED

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.timeout(1_500)]

JUDGES = Path(__file__).parents[2] / "docs" / "JUDGES.md"
WAIT_SECONDS = 240.0
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

RUNS_ALREADY = {"gateway", "worker", "monitor", "up", "doctor"}
NEEDS_A_DATA_SET = {"bench"}
ENDS_WITH = {
    "baseline accept": {0, REFUSED},  # an alarm of a moment ago may be too young
    "explain": {0, REFUSED},  # it takes quality, latency, errors and cost apart, if they alarm
    "judge qualify": {0, 1},
    "report --from": {0, REFUSED},  # the log may hold nothing of the two hours before
    "bill --from 2026": {0, REFUSED},  # a month of which the log may hold nothing
}
"""Beginning of a command -> its exit statuses, where 0 is not the only right one."""


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
            run_what_documents_show(me)
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(60) in {0, 130}


def run_what_documents_show(me: Stranger) -> None:
    """Run every command that a document shows, and that has not run by now."""
    (alarm, *_) = (one for one in me.alerts() if one["monitor"] == "drift.topics")
    listed = json.loads(me.typed(tidegauge("baseline list --json")).stdout)
    in_place_of = {
        "latency.total": "drift.topics",
        "5f0c2a9b41d07e36": alarm["incident"],
        "BASELINE_ID": next(
            one["baseline_id"] for one in listed if one["kind"] == "drift" and one["active"]
        ),
        "REQUEST_ID": me.request_id,
    }
    write_files(me)
    faults = []
    for line in shown_commands():
        shown = line.removeprefix("tidegauge ")
        if shown.split()[0] in RUNS_ALREADY | NEEDS_A_DATA_SET or "--activate" in shown:
            continue
        for example, real in in_place_of.items():
            shown = shown.replace(example, real)
        words = tidegauge(shown)
        done = me.typed(words)
        if done.returncode == REFUSED and "give --from" in done.stdout:
            done = me.typed(as_told(words, done.stdout))
        right = [found for start, found in ENDS_WITH.items() if shown.startswith(start)] or [{0}]
        if done.returncode not in right[0] or "Traceback" in done.stdout:
            faults.append(f"{shown}: status {done.returncode}\n{done.stdout}")
    assert not faults, "\n".join(faults)


def tidegauge(line: str) -> list[str]:
    return [sys.executable, "-m", "tidegauge.cli.main", *shlex.split(line)]


def write_files(me: Stranger) -> None:
    """Write the files that the commands name."""
    (rubric, *_) = re.findall(
        r"^```yaml\n(name: .*?)^```", JUDGES.read_text(), re.DOTALL | re.MULTILINE
    )
    exchange = {"question": "How tall is it?", "context": "It is 5 m tall.", "answer": "5 m."}
    models = {"models": {SERVED_NAMES[0]: {"upstreams": [{"url": me.upstream}]}}}
    for name, text in {
        "my-rubric.yaml": rubric,
        "exchanges.jsonl": json.dumps(exchange),
        "labels.csv": f"request_id,score\n{me.request_id},1\n",
        "models.yaml": json.dumps(models),
    }.items():
        (me.folder / name).write_text(text)
