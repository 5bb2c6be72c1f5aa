"""The real Evidently, given categories that want to be scripts, opened in a real browser."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fastapi import FastAPI
from tests.monitor.browser import CHROMIUM, serve

from tidegauge.adapters.evidently import EvidentlyProcess, Job, Preface, ReportError
from tidegauge.adapters.evidently.child import _furthest
from tidegauge.adapters.evidently.report_process import environment
from tidegauge.monitor.report_queue import ReportQueue, ReportStore
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.reports.rows import Column, Row, Tables, tables

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
    "--dump-dom",
)
ATTACK = "</script><script>document.title='taken'</script>"
IMAGE = "<img src=x onerror=\"document.title='taken'\">"


def rows(spread: float, seed: int) -> list[Row]:
    rng = random.Random(seed)  # noqa: S311 - made-up exchanges
    found: list[Row] = []
    for number in range(200):
        row: Row = {
            "latency_ms": rng.lognormvariate(5, spread),
            "cost_usd": rng.random() / 10_000,
            "error": rng.choice(["none"] * 20 + ["upstream_timeout"]),
            "version": "v1",
        }
        if number % 3 == 0:
            row["time_to_first_token_ms"] = rng.random() * 100
        found.append(row)
    return found


@pytest.fixture(scope="module")
def renderer() -> Iterator[EvidentlyProcess]:
    """A process whose imports every report of these tests shares."""
    process = EvidentlyProcess()
    process.warm()
    yield process
    process.close()


@pytest.fixture(scope="module")
def page(renderer: EvidentlyProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose rows nobody has cleaned before."""
    found = tables(rows(0.5, 1), rows(2.0, 2))
    dirty = Tables(
        columns=(*found.columns, Column(IMAGE, "category")),
        reference=(*found.reference, (ATTACK,) * 200),
        current=(*found.current, tuple((ATTACK, IMAGE, "💳")[n % 3] for n in range(200))),
        rows=(200, 200),
        left_out=(),
        distances=(*found.distances, 1.0),
        by_chance=(*found.by_chance, 0.1),
    )
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    preface = Preface(
        title=f"Two ranges {ATTACK}",
        verdicts=(f"critical: v2 {ATTACK}: answers are worse",),
        facts=(f"fact {IMAGE}", "200 rows"),
        figure="<svg><title>map</title></svg>",
        caption=f"Places {IMAGE}",
    )
    renderer.render(dirty, preface, path)
    return path


def test_the_report_is_whole_and_its_folder_holds_nothing_else(page: Path) -> None:
    assert page.stat().st_size > 1_000_000
    assert list(page.parent.iterdir()) == [page]


def test_our_verdicts_come_first_then_the_columns_that_differ_most(page: Path) -> None:
    text = page.read_text()
    places = [
        text.index(words)
        for words in (
            "answers are worse",
            "latency, ms: ",
            "<title>map</title>",
            "fact &lt;img",
            "no mark that is absent speaks against",
        )
    ]
    assert places == sorted(places)
    assert "columns differ by no more than chance explains" in text
    assert "Dataset Drift" not in text, "no sentence on all columns at once"


@pytest.mark.parametrize(
    ("beyond", "alike", "said"),
    [
        (7, 0, ["1 further column differs, too"]),
        (8, 0, ["2 further columns differ, too"]),
        (1, 1, ["the other column differs by no more than chance explains"]),
        (1, 2, ["the other 2 columns differ by no more than chance explains"]),
        (0, 1, ["the only column differs by no more than chance explains"]),
        (0, 2, ["all 2 columns differ by no more than chance explains"]),
    ],
)
def test_one_column_and_several_are_counted_in_words(
    beyond: int, alike: int, said: list[str]
) -> None:
    columns = beyond + alike
    compared = Tables(
        columns=tuple(Column(f"c{n}", "category") for n in range(columns)),
        reference=(),
        current=(),
        rows=(1, 1),
        left_out=(),
        distances=(0.5,) * beyond + (0.0,) * alike,
        by_chance=(0.1,) * columns,
    )
    assert _furthest(compared)[min(beyond, 6) :] == said


def test_it_loads_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    loads = (r"\bsrc=.?https?:", r"\burl\(.?https?:", r"@import\s+.?(url|https?:)")
    for wanted in loads:
        assert not re.search(wanted, text), wanted


def test_no_category_can_leave_its_string(page: Path) -> None:
    text = page.read_text()
    assert ATTACK not in text
    assert IMAGE not in text
    assert "&lt;/script&gt;" in text, "the heading is escaped, not dropped"


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_the_report_and_runs_nothing_of_its_rows(
    page: Path, tmp_path: Path
) -> None:
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"file://{page}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    assert "<title>taken</title>" not in done.stdout
    assert "latency, ms" in done.stdout
    assert "Two ranges" in done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_report_works_in_the_cage_that_it_is_served_in(page: Path, tmp_path: Path) -> None:
    store = ReportStore(tmp_path / "reports", keep=3)
    report_id, place = store.new_path(1)
    place.parent.mkdir()
    place.write_bytes(page.read_bytes())
    app = FastAPI()
    queue = ReportQueue(store, lambda *_: (), lambda: 1)
    ReportPages(queue, lambda: 1).mount(app, Renderer(0))
    assert CHROMIUM is not None
    with serve(app) as port:
        address = f"http://127.0.0.1:{port}/reports/{report_id}"
        done = subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", address],
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )
    assert "What the monitor says" in done.stdout
    assert "Dataset Drift" not in done.stdout
    assert "latency, ms" in done.stdout


def test_nothing_to_compare_says_so(renderer: EvidentlyProcess, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="0 rows in the reference range and 1"):
        renderer.render(tables([], [{"latency_ms": 1.0}]), Preface(title="t"), tmp_path / "r.html")


def test_a_folder_that_cannot_be_written_says_so(
    renderer: EvidentlyProcess, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = tables([{"latency_ms": 1.0}], [{"latency_ms": 2.0}])
    with pytest.raises(ReportError, match="cannot write the report"):
        renderer.render(found, Preface(title="t"), blocked / "r.html")


def test_a_report_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    found = tables([{"latency_ms": 1.0}], [{"latency_ms": 2.0}])
    with pytest.raises(ReportError, match="did not finish within"):
        EvidentlyProcess(0.01).render(found, Preface(title="t"), tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_fails_says_why_and_the_next_one_is_made(
    renderer: EvidentlyProcess, tmp_path: Path
) -> None:
    good = tables(rows(0.5, 1), rows(0.9, 2))
    short = Tables(
        columns=good.columns,
        reference=good.reference[:1],
        current=good.current,
        rows=good.rows,
        left_out=(),
        distances=good.distances,
    )
    with pytest.raises(ReportError, match="argument 2 is shorter than argument 1"):
        renderer.render(short, Preface(title="t"), tmp_path / "bad.html")
    renderer.render(good, Preface(title="t"), tmp_path / "good.html")
    assert [path.name for path in tmp_path.iterdir()] == ["good.html"]


@pytest.mark.nightly  # it imports Evidently once more
def test_a_process_that_has_ended_meanwhile_is_started_again(tmp_path: Path) -> None:
    process = EvidentlyProcess()
    process.warm()
    process.close()
    found = tables(rows(0.5, 1), rows(2.0, 2))
    process.render(found, Preface(title="t"), tmp_path / "r.html")
    process.close()
    assert (tmp_path / "r.html").exists()


def test_a_report_ends_with_the_one_who_wanted_it(tmp_path: Path) -> None:
    job = Job(
        preface=Preface(title="t"),
        tables=tables(rows(0.5, 1), rows(0.9, 2)),
        path=str(tmp_path / "r.html"),
        errors=str(tmp_path / "stderr"),
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "tidegauge.adapters.evidently.child"], stdin=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.write(msgspec.json.encode(job) + b"\n")
    child.stdin.close()  # as when the parent is gone
    assert child.wait(60) == 1
    assert not (tmp_path / "r.html").exists()


def test_the_process_gets_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_MONITOR_WEBHOOK_SECRET", "hush")
    assert "hush" not in environment().values()
    assert environment()["DO_NOT_TRACK"] == "1"
