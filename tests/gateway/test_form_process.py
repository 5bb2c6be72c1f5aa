"""Forms are checked in a process that is ended when it takes too long or too much."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.expectations import Expectations
from tidegauge.gateway.policy.checks.answer_forms import Form, check_form, form_of
from tidegauge.gateway.policy.checks.form_process import FormProcess

FORM = Form(json_text=b'{"b": 1}', json_schema=b'{"required": ["a"]}')


def serving(check: str) -> tuple[str, ...]:
    """Return a command that serves with another function in place of the checks."""
    code = (
        "import time\n"
        "from tidegauge.gateway.policy.checks import form_process as process\n"
        "from tidegauge.gateway.policy.checks.answer_forms import form_unchecked\n"
        f"process.check_form = lambda form: {check}\n"
        "process.serve()\n"
    )
    return (sys.executable, "-c", code)


def test_findings_are_those_of_the_checks() -> None:
    process = FormProcess()
    tools = json.dumps([{"function": {"name": "f", "parameters": {"required": ["a"]}}}]).encode()
    calls = json.dumps([{"function": {"name": "f", "arguments": "{}"}}])
    forms = [
        FORM,
        Form(json_object=b"[]"),
        Form(json_object="\ud800".encode("utf-8", "surrogatepass")),
        form_of(Expectations(tools=tools), ParsedAnswer(text="", tool_calls=calls)),
        Form(json_text=b"[" * 100_000, json_schema=b"{}"),
        Form(json_text=b'"\xff"', json_schema=b'{"title": "\xff"}'),
    ]
    for form in forms:
        assert form is not None
        assert process.check(form) == check_form(form) != {}
    process.close()


@pytest.mark.parametrize(
    "check",
    [
        "sum(iter(int, 1))",  # endless, in a call of C
        "sum([len(part) for part in iter(lambda: bytes(1 << 20), None)])",
        "__import__('os').abort()",
    ],
)
def test_a_check_that_takes_too_long_or_too_much_is_ended(check: str) -> None:
    process = FormProcess(serving(check))
    assert process.check(FORM) == {"json_schema": "unchecked: budget"}
    process.close()


def test_the_next_form_gets_a_new_process() -> None:
    process = FormProcess(
        serving("{'json_schema': 'passed'} if form.json_text == b'{}' else sum(iter(int, 1))")
    )
    whole = Form(json_text=b"{}", json_schema=b"{}")
    for _ in range(2):
        assert process.check(FORM) == {"json_schema": "unchecked: budget"}
        assert process.check(whole) == {"json_schema": "passed"}
    process.close()


def test_dear_checks_may_take_a_share_of_the_time() -> None:
    ticks = itertools.count()
    process = FormProcess(clock=lambda: next(ticks) * 0.15)  # 0.15 s between two looks at the clock
    found = [process.check(FORM)["json_schema"] for _ in range(100)]
    assert set(found[:10]) == {"failed"}
    assert "unchecked: busy" in found
    assert 10 < found.count("failed") < 90
    process.close()


def test_without_a_process_forms_are_unchecked_and_it_is_not_tried_for_each() -> None:
    now = [0.0]
    process = FormProcess(("false",), clock=lambda: now[0])
    assert process.check(FORM) == {"json_schema": "unchecked: unavailable"}
    process._command = FormProcess()._command
    assert process.check(FORM) == {"json_schema": "unchecked: unavailable"}
    now[0] += 11
    assert process.check(FORM) == {"json_schema": "failed"}
    process.close()


def test_a_form_that_is_too_large_is_not_sent() -> None:
    process = FormProcess(("false",))
    assert process.check(Form(json_object=b"x" * (5 << 20))) == {"json": "unchecked: size"}


def test_the_process_has_none_of_the_environment_and_ends_with_its_parent() -> None:
    code = (
        "import os\n"
        "from tidegauge.gateway.policy.checks import form_process as process\n"
        "from tidegauge.gateway.policy.checks.answer_forms import Form\n"
        "kept = process.FormProcess()\n"
        "kept.check(Form(json_object=b'{}'))\n"
        "pid = kept._end.peek()[2][0].pid\n"
        "text = open(f'/proc/{pid}/environ').read()\n"
        "print(pid, 'SECRET' in text, flush=True)\n"
        "os._exit(1)\n"
    )
    said = subprocess.run(
        (sys.executable, "-c", code),
        env={"SECRET": "x"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    assert said[1] == "False"
    deadline = time.monotonic() + 10
    while Path(f"/proc/{said[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{said[0]}").exists()
