"""The whole demo as a user runs it, and the files that it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import msgspec
import pytest

from tidegauge.demo.facts import Summary
from tidegauge.runtime.processes.process_tree import descendants

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1_500)]

OUT_OF_SCOPE = "oos"


class Vllm(Protocol):
    def stop(self) -> None: ...


def _real_prompts(data: Path, folder: Path) -> Path:
    """Turn CLINC150's queries into a file of prompts, each intent a topic."""
    path = folder / "prompts.jsonl"
    lines = (data / "clinc150" / "queries.jsonl").read_text().splitlines()
    queries = [json.loads(line) for line in lines]
    path.write_text(
        "".join(
            json.dumps({"text": query["text"], "topic": query["intent"]}) + "\n"
            for query in queries
            if query["intent"] != OUT_OF_SCOPE
        )
    )
    return path


def test_drift_and_quality_are_alarmed_when_they_should_be(
    shared_vllm: Vllm, tmp_path: Path
) -> None:
    shared_vllm.stop()  # the demonstration starts its own, and two are too many for two cores
    arguments = ["demo", "--exit", "--folder", str(tmp_path / "demo")]
    data = os.environ.get("TIDEGAUGE_DATA_DIR")
    if data:
        arguments += ["--prompts", str(_real_prompts(Path(data), tmp_path))]
    before = set(descendants(os.getpid()))

    done = subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", *arguments], check=False, timeout=1_400
    )

    summary = msgspec.json.decode((tmp_path / "demo" / "summary.json").read_bytes(), type=Summary)
    broken = [promise for promise in summary.promises if not promise.kept]
    assert not broken
    assert summary.all_kept
    assert done.returncode == 0
    assert set(descendants(os.getpid())) <= before
    _check_numbers(summary)
    _check_explanations(summary)


def _check_numbers(summary: Summary) -> None:
    vitals = summary.vitals
    turns = summary.milestones
    assert turns.watching_ms < turns.shift_ms < turns.new_version_ms < turns.end_ms
    assert vitals.requests == summary.ledger.served == summary.ledger.captured > 250
    assert vitals.service_failures == 0
    assert set(summary.vitals_by_version) == {"v1", "v2"}
    latency, first = vitals.latency_ms, vitals.time_to_first_token_ms
    assert latency.p50 is not None
    assert latency.p95 is not None
    assert latency.p99 is not None
    assert first.p50 is not None
    assert 0 < first.p50 < latency.p50 <= latency.p95 <= latency.p99
    assert vitals.median_response_characters is not None
    assert vitals.median_response_characters > 20
    # Some of the planned requests have a wrong key or ask for a model that is not there.
    assert vitals.errors_by_kind.keys() == {"unauthorized", "unknown_model"}
    assert vitals.usd is not None
    assert vitals.requests_per_usd is not None
    assert {line.name for line in vitals.customers} >= {"acme", "globex", "initech"}
    assert sum(line.usd for line in vitals.customers) == pytest.approx(vitals.usd, rel=1e-3)
    assert summary.ledger.balanced
    assert summary.ledger.in_flight == 0
    assert summary.ledger.processed["vitals"] == summary.ledger.served
    assert summary.ledger.processed["quality"] == summary.ledger.served
    # What was refused at the door was never a request.
    assert 0 < summary.ledger.processed["drift"] < summary.ledger.served


def _check_explanations(summary: Summary) -> None:
    drift = summary.drift[0]
    assert drift.state in {"warn", "critical"}
    assert drift.evidence[0].examples
    alarmed = {found.monitor for found in summary.quality if found.state in {"warn", "critical"}}
    assert "quality.hallucination" in alarmed
    assert any(monitor.startswith("quality.likelihood") for monitor in alarmed)
    outcomes = {
        comparison.outcome
        for versions in summary.version_comparisons
        for comparison in versions.metrics
        if comparison.metric.startswith("quality.likelihood")
    }
    # The versions followed each other within minutes: nothing tells them from the time of day.
    assert outcomes <= {"undecided", "worse"}
    assert outcomes
    judges = {(facts.judge, facts.qualified) for facts in summary.judges}
    assert ("helpfulness", False) in judges
    assert any(judge == "likelihood" and qualified for judge, qualified in judges)
    before, after = summary.hallucination
    assert (before.version, after.version) == ("v1", "v2")
    assert before.rate is not None
    assert after.rate is not None
    assert after.rate > 2 * before.rate
    assert summary.report_file is not None
    assert "Plotly" in Path(summary.report_file).read_text(errors="replace")
    assert summary.seconds_to_first_verdict is not None
