"""The demo: a baseline, a shift of topics, a worse model version, and the alarms they raise."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console
from rich.text import Text

from tidegauge.demo.facts import Summary
from tidegauge.demo.monitor_client import MonitorClientError
from tidegauge.demo.parts import check_machine
from tidegauge.demo.phases import run_phases
from tidegauge.demo.promises import Milestones
from tidegauge.demo.prompts import own_prompts, read_prompts, split
from tidegauge.demo.scenario import Scenario, set_up
from tidegauge.demo.server_costs import show_costs
from tidegauge.demo.show import show
from tidegauge.demo.summary import summarise
from tidegauge.monitor.estimates import estimate

__all__ = ["run"]

_BROKEN_PROMISE = 1


def run(
    *,
    prompts_file: str | None,
    leave: bool,
    seed: int,
    folder: str,
    environment: Mapping[str, str],
) -> int:
    """Run the whole demo.

    Args:
        prompts_file: JSONL file with the user's prompts, None for the project's own.
        leave: End after the summary.
        seed: Which topics are held out, and the order of everything.
        folder: Where logs, data and the summary go.
        environment: This process's variables.

    Returns:
        0 if every promise was kept, else 1.

    Raises:
        TidegaugeError: The demo could not be run; the message says why.
    """
    began = time.monotonic()
    console = Console(highlight=False)

    def say(line: str) -> None:
        passed = f"{time.monotonic() - began:4.0f} s  "
        console.print(Text.assemble((passed, "dim"), line), soft_wrap=True)

    check_machine(environment)
    prompts = own_prompts() if prompts_file is None else read_prompts(Path(prompts_file))
    output = Path(folder).resolve()
    for old in ("data", "logs"):
        shutil.rmtree(output / old, ignore_errors=True)
    (output / "summary.json").unlink(missing_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT may be ignored
        signal.signal(number, _interrupt)
    with ExitStack() as stack:
        try:
            scenario = set_up(
                split(prompts, seed=seed),
                output,
                environment,
                seed=seed,
                began=began,
                console=console,
                stack=stack,
                say=say,
            )
            summary = _conclude(scenario, run_phases(scenario))
            (output / "summary.json").write_bytes(
                msgspec.json.format(msgspec.json.encode(summary)) + b"\n"
            )
            show(summary, console)
            _show_costs(scenario, console)
            console.print(Text(f"facts   {output / 'summary.json'}\n"), soft_wrap=True)
            if not leave:
                say("everything keeps running: open the page; Ctrl-C ends it")
                scenario.supervisor.wait_for(lambda: False, what="", seconds=float("inf"))
        except KeyboardInterrupt:
            say("ending every process")
            raise
        finally:
            # From here on nothing may keep the processes from being ended.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
    return 0 if summary.all_kept else _BROKEN_PROMISE


def _conclude(scenario: Scenario, milestones: Milestones) -> Summary:
    """Have the report built, and draw up the summary from the monitor's view."""
    monitor = scenario.watch.monitor
    scenario.say("building the HTML report")
    try:
        report = monitor.build_report(
            (milestones.normal_ms, milestones.shift_ms), (milestones.shift_ms, milestones.end_ms)
        )
    except MonitorClientError as error:
        scenario.say(str(error))
        report = None
    return summarise(
        monitor.view(),
        milestones,
        estimator=estimate,
        page=monitor.address,
        report=report,
        report_file=_file_of(report, scenario.folder / "reports"),
        seconds_to_first_verdict=scenario.watch.seconds_to_first_verdict,
        seconds=time.monotonic() - scenario.watch.began,
    )


def _show_costs(scenario: Scenario, console: Console) -> None:
    try:
        show_costs(scenario.watch.monitor.costs(), console)
    except MonitorClientError as error:
        scenario.say(str(error))


def _file_of(report: str | None, folder: Path) -> str | None:
    """Return where the monitor keeps a report that it serves."""
    if report is None:
        return None
    path = folder / f"{report.rsplit('/', 1)[1]}.html"
    return str(path) if path.exists() else None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
