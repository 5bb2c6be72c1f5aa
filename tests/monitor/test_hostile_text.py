"""A real browser over pages full of text that wants to be more than text."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from fastapi.responses import HTMLResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.monitor.browser import CHROMIUM, serve
from tests.monitor.made_up_pages import interface

from tidegauge.monitor.web.app import create_app
from tidegauge.monitor.web.segment_page import alarm_query, query
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=2000",
    "--dump-dom",
)
HIT = "/pwned"
ATTACKS = (
    f"<script>fetch('{HIT}')</script>",
    f"<img src=x onerror=\"fetch('{HIT}')\">",
    f"\"><svg onload=fetch('{HIT}')>",
    f"'><body onload=\"fetch('{HIT}')\">",
    f"</style><script>fetch('{HIT}')</script><style>",
    f"</title><script>fetch('{HIT}')</script>",
    f"<link rel=stylesheet href={HIT}><iframe src={HIT}></iframe>",
    f"<meta http-equiv=refresh content=0;url={HIT}>",
    f"{{{{ ''.__class__ }}}} {{% include '{HIT}' %}} ${{7*7}}",
    "\u202egnirts desrever\u202c \u2066isolated\u2069 \u200bzero",
    "مرحبا بالعالم שלום 你好 👩‍👩‍👧‍👦 🇺🇳",
    "a\x00b\x1bc\ud83d",
    "W" * 10_000,
    "\u0301" * 3_000,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Record:
    """Keeps the paths that were asked for, and strips the policy where told to."""

    def __init__(self, app: ASGIApp, *, strip_policy: bool) -> None:
        self._app = app
        self._strip_policy = strip_policy
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.paths.append(scope["path"])

        async def stripped(message: Message) -> None:
            if message["type"] == "http.response.start" and self._strip_policy:
                del MutableHeaders(scope=message)["content-security-policy"]
            await send(message)

        await self._app(scope, receive, stripped)


@pytest.fixture
def hostile(make_view: Callable[..., MonitorView]) -> MonitorView:
    everything = " ".join(ATTACKS[:10])
    view = make_view(
        texts=ATTACKS, title=everything, sentence=everything, who=(ATTACKS[0], *ATTACKS[8:12])
    )
    first = view.segments[0]
    renamed = msgspec.structs.replace(
        first,
        segment=msgspec.structs.replace(
            first.segment, model=ATTACKS[2], version=ATTACKS[1], customer=ATTACKS[0]
        ),
        display_range={
            **first.display_range,
            "vitals": msgspec.structs.replace(
                first.display_range["vitals"],
                totals={
                    **first.display_range["vitals"].totals,
                    "requests_by_customer": dict.fromkeys(ATTACKS, 3),
                },
            ),
        },
    )
    return msgspec.structs.replace(
        view,
        segments=(renamed, *view.segments[1:]),
        silences=tuple(
            msgspec.structs.replace(item, who=ATTACKS[0], note=everything) for item in view.silences
        ),
        progress=tuple(msgspec.structs.replace(p, notices=ATTACKS) for p in view.progress),
        history=tuple(msgspec.structs.replace(h, sentence=everything) for h in view.history),
    )


@pytest.fixture(params=[True, False], ids=["without-policy", "as-served"])
def served(
    request: pytest.FixtureRequest, hostile: MonitorView, estimator: Estimator, now_ms: int
) -> Iterator[tuple[str, Record]]:
    app = create_app(interface(hostile, estimator, now_ms))

    @app.get("/control")
    def control() -> HTMLResponse:
        return HTMLResponse("".join(ATTACKS[:5]))

    record = Record(app, strip_policy=request.param)
    with serve(record) as port:
        yield f"http://127.0.0.1:{port}", record


def visit(url: str, profile: Path) -> str:
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_nothing_that_a_stranger_wrote_is_executed_or_loaded(
    served: tuple[str, Record], tmp_path: Path, hostile: MonitorView
) -> None:
    address, record = served
    overview = visit(f"{address}/?refresh=off", tmp_path / "a")
    detail = visit(f"{address}/segment?{query(hostile.segments[0].segment)}", tmp_path / "b")
    worst = hostile.alerts[0]
    alarm = visit(f"{address}/alarm?{alarm_query(worst.monitor, worst.segment)}", tmp_path / "e")
    assert "(10,000 characters)" in alarm
    incident = visit(f"{address}/i/{worst.alert_id}", tmp_path / "f")
    others = [visit(f"{address}{path}", tmp_path / path[1:]) for path in ("/topics", "/setup")]
    ours = {"/", "/segment", "/alarm", "/topics", "/setup", f"/i/{worst.alert_id}"}
    static = {path for path in record.paths if path.startswith("/static/")}
    assert set(record.paths) == ours | static, "the browser was led to ask for more"
    assert "&lt;script&gt;fetch" in overview
    assert "(10,000 characters)" in others[0]
    assert "\u202e" not in overview
    everything = "".join((overview, detail, alarm, incident, *others))
    assert everything.count("<script") == everything.count('<script src="/static/') == 12
    assert "Most of them come from &lt;script&gt;fetch" in alarm
    assert re.search(r"<th scope=\"row\"[^>]*><bdi>&lt;script&gt;fetch.*</bdi></th>", alarm)
    assert "&lt;script&gt;fetch" in detail
    assert "مرحبا" in others[0]


def test_the_same_text_unescaped_would_have_been_executed(
    served: tuple[str, Record], tmp_path: Path
) -> None:
    address, record = served
    visit(f"{address}/control", tmp_path / "c")
    executed = HIT in record.paths
    # The policy is a second wall: it holds even where nothing was escaped.
    assert executed == record._strip_policy
