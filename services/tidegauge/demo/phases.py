"""The story's acts: normal traffic, a quiet watch, other topics, a worse version."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from tidegauge.demo.promises import Milestones, alarm_times_ms
from tidegauge.demo.prompts import Prompt
from tidegauge.demo.scenario import READY_SECONDS, Scenario
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.formatting import duration
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.processes.deployment import JUDGE_WORKER
from tidegauge.schemas.findings import Signal
from tidegauge.schemas.operations import BaselineKind

__all__ = ["play", "settle"]

_NORMAL_REQUESTS = 160
_QUIET_REQUESTS = 60
_MOST_REQUESTS_TO_ALARM = 400
_LINGER_SECONDS = 40.0
_SETTLE_SECONDS = 300.0
_QUALIFICATION_SECONDS = 600.0


def play(stage: Scenario) -> Milestones:
    """Play every act and return when its turns came.

    Raises:
        DemoError: A service ended, or what the next act needs did not come.
    """
    familiar, strange = stage.parts.familiar, stage.parts.strange
    _wait_for_baseline(stage, "drift")

    normal_ms = now_ms()
    stage.watch.send("normal traffic", stage.asks(familiar, _NORMAL_REQUESTS, act=1))
    stage.say("the judge worker qualifies its judges on the golden set")
    stage.supervisor.wait_ready(JUDGE_WORKER, seconds=_QUALIFICATION_SECONDS)
    settle(stage)
    stage.say("building the baseline of rates from that traffic")
    stage.run(
        "baseline",
        "build",
        "--kind",
        "rates",
        "--activate",
        *("--from", str(normal_ms)),
        *("--to", str(now_ms())),
    )
    _wait_for_baseline(stage, "rates")

    watching_ms = now_ms()
    stage.say("all monitors are live; more of the same traffic must stay quiet")
    quiet = stage.asks(familiar[_NORMAL_REQUESTS:] or familiar, _QUIET_REQUESTS, act=2)
    stage.watch.send("quiet traffic", quiet)

    shift_ms = now_ms()
    stage.say("the topics shift: " + ", ".join(stage.parts.held_out))
    _send_until_alarm(stage, "shifted traffic", "drift", strange, since_ms=shift_ms, act=3)

    swap_ms = now_ms()
    stage.say("the model is swapped for a worse version (temperature 1.6 in place of 0.2)")
    stage.application.swap(stage.gateway)
    mixed = tuple(chain.from_iterable(zip(strange, familiar, strict=False)))
    _send_until_alarm(stage, "traffic to v2", "quality", mixed, since_ms=swap_ms, act=4)
    end_ms = now_ms()
    settle(stage)
    return Milestones(
        normal_ms=normal_ms,
        watching_ms=watching_ms,
        shift_ms=shift_ms,
        swap_ms=swap_ms,
        end_ms=end_ms,
    )


def settle(stage: Scenario) -> None:
    """Wait until the workers have taken everything into account and closed its windows."""
    end_ms = now_ms()
    stage.say("waiting until every event is accounted for and its window is closed")

    def settled() -> bool:
        view = stage.watch.look()
        return (
            view is not None
            and view.ledger.settled
            and bool(view.progress)
            and all(report.watermark_ms >= end_ms for report in view.progress)
        )

    stage.supervisor.wait_for(settled, what="the workers to catch up", seconds=_SETTLE_SECONDS)


def _wait_for_baseline(stage: Scenario, kind: BaselineKind) -> None:
    def in_force() -> bool:
        view = stage.watch.look()
        return view is not None and any(baseline.kind == kind for baseline in view.baselines)

    stage.supervisor.wait_for(
        in_force, what=f"the monitor to take up the baseline of {kind}", seconds=READY_SECONDS
    )


def _send_until_alarm(  # noqa: PLR0913 - an act in one line
    stage: Scenario,
    title: str,
    signal: Signal,
    prompts: Sequence[Prompt],
    *,
    since_ms: int,
    act: int,
) -> None:
    def alarmed(view: MonitorView) -> bool:
        return any(time > since_ms for time in alarm_times_ms(view, signal, loud=True))

    asks = stage.asks(prompts, _MOST_REQUESTS_TO_ALARM, act=act)
    if stage.watch.send(title, asks, until=alarmed, linger_seconds=_LINGER_SECONDS):
        stage.say(f"{signal}: alarm {duration((now_ms() - since_ms) / 1000)} after the change")
    else:
        stage.say(f"{signal}: no alarm on {len(asks)} requests")
