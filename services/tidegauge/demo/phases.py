"""The demo's phases: normal traffic, quiet traffic, shifted topics, a worse model version."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain

from tidegauge.demo.promises import Milestones, Watched, alarm_times_ms
from tidegauge.demo.prompts import Prompt
from tidegauge.demo.scenario import READY_SECONDS, Scenario
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.formatting import duration
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.processes.deployment import JUDGE_WORKER
from tidegauge.schemas.operations import BaselineKind

__all__ = ["run_phases", "settle"]

_NORMAL_REQUESTS = 160
_QUIET_REQUESTS = 60
_MOST_REQUESTS_TO_ALARM = 400
_LINGER_SECONDS = 40.0
_SETTLE_SECONDS = 300.0
_QUALIFICATION_SECONDS = 600.0


def run_phases(scenario: Scenario) -> Milestones:
    """Run every phase and return when each began.

    Raises:
        DemoError: A service ended, or a phase did not reach its end in time.
    """
    familiar, strange = scenario.parts.familiar, scenario.parts.strange
    _wait_for_baseline(scenario, "drift")

    normal_ms = now_ms()
    scenario.watch.send("normal traffic", scenario.asks(familiar, _NORMAL_REQUESTS, phase=1))
    scenario.say("the judge worker qualifies its judges on the golden set")
    scenario.supervisor.wait_ready(JUDGE_WORKER, seconds=_QUALIFICATION_SECONDS)
    settle(scenario)
    scenario.say("building the baseline of rates from that traffic")
    scenario.run(
        "baseline",
        "build",
        "--kind",
        "rates",
        "--activate",
        *("--from", str(normal_ms)),
        *("--to", str(now_ms())),
    )
    _wait_for_baseline(scenario, "rates")

    watching_ms = now_ms()
    scenario.say("all monitors are live; more of the same traffic must stay quiet")
    quiet = scenario.asks(familiar[_NORMAL_REQUESTS:] or familiar, _QUIET_REQUESTS, phase=2)
    scenario.watch.send("quiet traffic", quiet)

    shift_ms = now_ms()
    scenario.say("the topics shift: " + ", ".join(scenario.parts.held_out))
    _send_until_alarm(scenario, "shifted traffic", ("drift",), strange, since_ms=shift_ms, phase=3)

    new_version_ms = now_ms()
    scenario.say("a worse version replaces the model (temperature 1.6 in place of 0.2)")
    scenario.application.deploy_worse_version(scenario.gateway)
    _send_until_alarm(
        scenario,
        "traffic to v2",
        ("quality", "hallucination"),
        tuple(chain.from_iterable(zip(strange, familiar, strict=False))),
        since_ms=new_version_ms,
        phase=4,
    )
    end_ms = now_ms()
    settle(scenario)
    return Milestones(
        normal_ms=normal_ms,
        watching_ms=watching_ms,
        shift_ms=shift_ms,
        new_version_ms=new_version_ms,
        end_ms=end_ms,
    )


def settle(scenario: Scenario) -> None:
    """Wait until the workers have taken everything into account and closed its windows."""
    end_ms = now_ms()
    scenario.say("waiting until every event is accounted for and its window is closed")

    def settled() -> bool:
        view = scenario.watch.look()
        return (
            view is not None
            and view.ledger.settled
            and bool(view.progress)
            and all(report.watermark_ms >= end_ms for report in view.progress)
        )

    scenario.supervisor.wait_for(settled, what="the workers to catch up", seconds=_SETTLE_SECONDS)


def _wait_for_baseline(scenario: Scenario, kind: BaselineKind) -> None:
    def in_force() -> bool:
        view = scenario.watch.look()
        return view is not None and any(baseline.kind == kind for baseline in view.baselines)

    scenario.supervisor.wait_for(
        in_force, what=f"the monitor to take up the baseline of {kind}", seconds=READY_SECONDS
    )


def _send_until_alarm(  # noqa: PLR0913 - one argument for each part
    scenario: Scenario,
    title: str,
    watched: Sequence[Watched],
    prompts: Sequence[Prompt],
    *,
    since_ms: int,
    phase: int,
) -> None:
    def alarmed(view: MonitorView) -> bool:
        return all(map(partial(_alarmed, view, since_ms), watched))

    asks = scenario.asks(prompts, _MOST_REQUESTS_TO_ALARM, phase=phase)
    if scenario.watch.send(title, asks, until=alarmed, linger_seconds=_LINGER_SECONDS):
        passed = duration((now_ms() - since_ms) / 1000)
        scenario.say(f"{' and '.join(watched)}: alarm {passed} after the change")
    else:
        view = scenario.watch.look()
        silent = [one for one in watched if view is None or not _alarmed(view, since_ms, one)]
        scenario.say(f"{' and '.join(silent)}: no alarm on {len(asks)} requests")


def _alarmed(view: MonitorView, since_ms: int, watched: Watched) -> bool:
    return any(time > since_ms for time in alarm_times_ms(view, watched, loud=True))
